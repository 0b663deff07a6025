//! Fuzzing of everything that decodes bytes of others.
//!
//! `cargo +nightly fuzz run TARGET` in this folder's parent runs one target under libFuzzer. The
//! same bodies run over `corpus/` in the tests of `antiphon-protocol`, on stable.
#![forbid(unsafe_code)]

pub mod targets;
