//! Worlds for the swarm core that ships: virtual time, links, listeners, faults, reports.
//!
//! The simulator drives the very [`antiphon_swarm::NodeCore`] and
//! [`antiphon_swarm::SwarmRegistry`] of the product and holds no swarm decision of its own. See
//! `docs/simulation.md` for what is modelled and what is not.
//!
//! Nothing here reads a clock, asks for entropy or touches files: a run is a function of its
//! scenario and seed, and its reports are strings the caller writes.

pub mod compare;
pub mod engine;
pub mod explain;
pub mod measure;
pub mod net;
pub mod packet;
pub mod report;
pub mod run;

pub mod scenario;
pub mod sweep;
pub mod variant;
pub mod world;
