//! A running node: transports, chunk store, clients of tracker and origin, and the driver that
//! connects them to the swarm core.
//!
//! Not here: decisions about what to ask of whom, which are the core's.

pub mod peers;
pub mod origin_client;
pub mod span_io;
pub mod tracker_client;
pub mod reader;
pub mod store;
