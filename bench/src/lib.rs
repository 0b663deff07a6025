//! Antiphon beside its peers, measured side by side in one run.
//!
//! One binary an area in `src/bin`: it starts itself again as the second (and third) process of a
//! measurement, prints a table and writes `report/AREA.json`. The rest is what they share. Inputs
//! are bounded, everything is on loopback, ports are taken by the system.
//!
//! Not here: tests of correctness, and figures of simulated worlds.

pub mod certificate;
pub mod delay;
pub mod engine;
pub mod memory_sink;
pub mod network;
pub mod payload;
pub mod process;
pub mod report;
pub mod statistics;
pub mod ticket;
pub mod wav;
