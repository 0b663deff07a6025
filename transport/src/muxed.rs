//! Streams over one secured socket: yamux, counted.

mod capped;
mod counted;
mod frames;
mod ledger;
mod muxer;
mod stream;

use std::time::Duration;

use futures_rustls::TlsStream;

pub use self::capped::Capped;
pub use self::muxer::{MuxError, Muxer};
pub use self::stream::MuxStream;
pub use yamux::Mode;

/// yamux's name, for whoever agrees on it in the handshake of TLS.
pub const ALPN: &[u8] = b"/yamux/1.0.0";

/// Bytes of one stream that may be unread; no stream's window grows beyond this.
pub const STREAM_WINDOW_BYTES: usize = yamux::DEFAULT_CREDIT as usize;

/// A socket after the handshake of TLS.
pub type Secured = TlsStream<Capped>;

/// What one connection may cost, and how long it may be silent.
#[derive(Clone, Copy, Debug)]
pub struct MuxLimits {
    /// Streams of both sides, with those that are being closed.
    pub streams: usize,
    /// Streams of the other side that nobody has taken yet; one more is reset.
    pub arrived: usize,
    /// Longest frame taken, and sent.
    pub frame_bytes: usize,
    /// Bytes kept unread before the socket is left alone.
    pub unread_bytes: usize,
    /// Bytes kept until the system takes them.
    pub unsent_bytes: usize,
    /// The other side is given up after so much silence.
    pub idle: Duration,
    /// Between looks at whether a ping is due, if the streams alone do not keep the connection
    /// alive; yamux itself pings no more often than every ten seconds.
    pub ping_look: Option<Duration>,
    /// What was written is still sent for so long when the connection is closed.
    pub linger: Duration,
}
