//! The player as its users see it: tracks in, samples and events out.

// The lint's exception for tests does not reach the functions that tests share.
#![allow(clippy::unwrap_used)]

mod decoding;
mod fixtures;
mod hostile;
mod playing;
mod seeking;
mod stalling;
mod wav_files;
