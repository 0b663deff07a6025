//! Whole-system tests: real processes on loopback.
#![allow(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod corrupt_peer;
mod fallback;
mod first_play;
mod full_disk;
mod ingest_bad_input;
mod licensing;
mod origin_outage;
mod peer_assist;
mod placement;
mod restart;
mod tracker_outage;
