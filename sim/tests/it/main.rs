//! Whole runs of small worlds.

mod determinism;
mod faults;
mod reports;
mod worlds;
