//! The network: links shared by flows, the time paths take, and who can reach whom.
//!
//! Nothing here knows of tracks or of the swarm core. What is modelled and what is not is listed
//! in `docs/simulation.md`.

pub mod accuracy;
pub mod allocate;
pub mod fluid;
pub mod path;
pub mod reach;
pub mod route;
