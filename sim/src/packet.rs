//! The packet harness: deterministic simulation testing of up to 200 nodes.
//!
//! Each node is a [`antiphon_swarm::NodeCore`] behind a shell like the product's. Every control
//! message, span and tracker message is encoded and decoded by the product's codecs; spans are
//! real bytes that are verified chunk by chunk. They travel as packets over access lines with
//! queues and paths with delay, loss, replay, clogs and cuts. Disks, clocks, processes, the
//! tracker and the origin fail; some nodes lie. An oracle watches, and when all faults have ended
//! everybody must play within 5 s. Everything is a function of a [`Schedule`].

mod clock;
mod disk;
mod effects;
mod faults;
pub mod fidelity;
mod frames;
pub mod fuzz;
mod happening;
mod harness;
mod life;
pub mod line;
mod music;
mod node;
mod oracle;
mod origin;
pub mod paths;
mod placement;
mod player;
mod profile;
mod schedule;
mod serving;
mod session;
mod taking;
mod tracker;
mod tracker_client;
pub mod transport;
mod vices;

pub use oracle::{Broken, Kind};
pub use schedule::{Failure, NODES_MAX, Outcome, Schedule};
