//! What goes over TCP where a network lets no UDP through: many streams over one socket behind
//! TLS 1.3, with a bound on what each connection keeps in memory; and the connection between node and
//! tracker, which goes that way or over QUIC.
//!
//! Not here: who may connect, and what is said on the streams.

pub mod connection;
pub mod muxed;
pub mod port;
