//! The tracker as nodes meet it: over QUIC, TCP and HTTP, on loopback.

mod access;
mod catalog;
mod client;
mod impostors;
mod introductions;
mod limits;
mod login;
mod open;
mod restart;
mod swarm;
mod tcp;
mod world;
