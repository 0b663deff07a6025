//! The connection between a node and the tracker, whichever way it goes: what is asked and said on
//! it is the same over QUIC and over TCP.

mod stream;
mod tcp;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use antiphon_protocol::identity::CHANNEL_LABEL;

pub use self::stream::{ReceiveStream, SendStream};
pub use self::tcp::{FRAME_BYTES_MAX, TcpConnection, TcpLimits};

/// A connection. Clones share it; it ends with the last, or when it is closed.
#[derive(Clone, Debug)]
pub enum Connection {
    /// Over QUIC.
    Quic(quinn::Connection),
    /// Over TLS and TCP.
    Tcp(TcpConnection),
}

impl Connection {
    /// A stream of ours, for a request and its reply.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn open(&self) -> Result<(SendStream, ReceiveStream), Lost> {
        match self {
            Self::Quic(quic) => {
                let (send, receive) = quic.open_bi().await?;
                Ok((SendStream::Quic(send), ReceiveStream::Quic(receive)))
            }
            Self::Tcp(tcp) => Ok(stream::split(tcp.open().await?)),
        }
    }

    /// The next stream that the other side has opened for a request. One task accepts.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn accept(&self) -> Result<(SendStream, ReceiveStream), Lost> {
        match self {
            Self::Quic(quic) => {
                let (send, receive) = quic.accept_bi().await?;
                Ok((SendStream::Quic(send), ReceiveStream::Quic(receive)))
            }
            Self::Tcp(tcp) => Ok(stream::split(tcp.accept_stream().await?)),
        }
    }

    /// A stream of ours that has no answer.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn open_one_way(&self) -> Result<SendStream, Lost> {
        match self {
            Self::Quic(quic) => Ok(SendStream::Quic(quic.open_uni().await?)),
            Self::Tcp(tcp) => Ok(stream::split(tcp.open().await?).0),
        }
    }

    /// The next stream of the other side that wants no answer. Who opens these accepts no others.
    /// One task accepts.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn accept_one_way(&self) -> Result<ReceiveStream, Lost> {
        match self {
            Self::Quic(quic) => Ok(ReceiveStream::Quic(quic.accept_uni().await?)),
            Self::Tcp(tcp) => Ok(stream::split(tcp.accept_stream().await?).1),
        }
    }

    /// The bytes that only the two ends of this very connection know.
    #[must_use]
    pub fn channel(&self) -> Option<[u8; 32]> {
        match self {
            Self::Quic(quic) => {
                let mut channel = [0; 32];
                let exported = quic.export_keying_material(&mut channel, CHANNEL_LABEL, b"");
                exported.is_ok().then_some(channel)
            }
            Self::Tcp(tcp) => Some(tcp.channel()),
        }
    }

    /// Where the other side is now.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        match self {
            Self::Quic(quic) => quic.remote_address(),
            Self::Tcp(tcp) => tcp.remote_address(),
        }
    }

    /// The round trip: over QUIC the present one, over TCP that of the handshake.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        match self {
            Self::Quic(quic) => quic.rtt(),
            Self::Tcp(tcp) => tcp.rtt(),
        }
    }

    /// Ends the connection. Over TCP what was written is still sent, and no code.
    pub fn close(&self, code: u32) {
        match self {
            Self::Quic(quic) => quic.close(code.into(), b""),
            Self::Tcp(tcp) => tcp.close(),
        }
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        match self {
            Self::Quic(quic) => {
                quic.closed().await;
            }
            Self::Tcp(tcp) => tcp.closed().await,
        }
    }
}

/// A connection or a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection or the stream has ended")]
pub struct Lost;

impl From<quinn::ConnectionError> for Lost {
    fn from(_: quinn::ConnectionError) -> Self {
        Self
    }
}
