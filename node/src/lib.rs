//! A running node: transports, chunk store, clients of tracker and origin, and the driver that
//! connects them to the swarm core and the player.
//!
//! [`Node::start`] brings one up; [`NodeHandle`] commands it; the local API ([`api`]) lets other
//! programs on this machine do the same.
//!
//! Not here: decisions about what to ask of whom, which are the core's.

pub mod api;
pub mod clock;
pub mod command;
pub mod config;
mod driver;
pub mod identity;
pub mod licenses;
mod node;
pub mod origin_client;
pub mod peers;
mod pinned_certificate;
mod play_log;
pub mod play_queue;
mod play_source;
pub mod reader;
pub mod session;
pub mod span_io;
pub mod status;
pub mod store;
pub mod tracker_client;
mod two_ways;

pub use config::NodeConfig;
pub use driver::StartError;
pub use node::{Node, NodeHandle};
