//! The origin server over real sockets.

mod connecting;
mod http;
mod latency;
mod spans;
mod stage;
