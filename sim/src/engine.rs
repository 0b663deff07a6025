//! The engine: what happens next, chance, and the proof that two runs were the same.
//!
//! Knows nothing of networks or music.

pub mod bench;
pub mod digest;
pub mod queue;
pub mod random;
