//! The origin's integration tests.
#![allow(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod delay_proxy;
mod ingest;
mod server;
