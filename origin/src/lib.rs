//! The origin: packages music and serves it.
//!
//! Ingest turns an audio file into encrypted renditions named by their hash; [`server`] gives any
//! span of them to whoever may read, over QUIC and HTTP.
//!
//! Not here: accounts, the catalog, license keys in use, and everything about the swarm.

pub mod ingest;
pub mod library;
pub mod server;
