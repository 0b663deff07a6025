//! Whole runs of small worlds.

mod determinism;
mod reports;
mod worlds;
