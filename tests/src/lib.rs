//! What the whole-system tests are made with: the real `antiphon` program in processes of its own,
//! a library of made music, listeners, and outsiders that speak the protocols themselves.
//!
//! Everything is on loopback, or in network namespaces of its own ([`place`]), with ports the system
//! chooses, in scratch folders, and ends with the test. Nothing here knows how long anything takes:
//! tests wait for events, with a deadline.
//!
//! Not here: tests (`it/`), and anything that ships.

pub mod library;
pub mod listener;
pub mod local_api;
pub mod music;
#[cfg(target_os = "linux")]
pub mod nat;
pub mod network;
pub mod outsider;
pub mod part;
pub mod peer_source;
#[cfg(target_os = "linux")]
pub mod place;
pub mod program;
pub mod scratch;
pub mod wait;
pub mod wav_file;
