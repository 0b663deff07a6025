//! The transport between nodes, over real sockets on loopback.

mod admission;
mod hostile;
mod introductions;
mod rig;
mod spans;
mod tcp;
