//! Whole-system tests: real processes on loopback, or in network namespaces.
#![allow(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod corrupt_peer;
mod fallback;
mod first_play;
mod full_disk;
mod ingest_bad_input;
mod licensing;
#[cfg(target_os = "linux")]
mod nat;
#[cfg(target_os = "linux")]
mod no_udp;
mod origin_outage;
mod peer_assist;
mod placement;
mod queues;
mod restart;
mod tracker_outage;
