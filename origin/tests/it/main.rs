//! The origin's integration tests.

mod delay_proxy;
mod ingest;
mod server;
