//! Whole runs of small worlds.

mod determinism;
mod worlds;
