//! Whole runs of small worlds.

mod conduct;
mod determinism;
mod faults;
mod packet;
mod reports;
mod shared;
mod stories;
mod worlds;
