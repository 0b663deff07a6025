//! The two directions of a stream.

use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Lost;
use crate::muxed::MuxStream;

/// The way out.
#[derive(Debug)]
pub enum SendStream {
    /// Over QUIC.
    Quic(quinn::SendStream),
    /// Over TCP.
    Tcp(WriteHalf<MuxStream>),
}

impl SendStream {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// If the other side takes no more.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        match self {
            Self::Quic(quic) => quic.write_all(bytes).await.map_err(|_| Lost),
            Self::Tcp(tcp) => tcp.write_all(bytes).await.map_err(|_| Lost),
        }
    }

    /// Nothing follows.
    ///
    /// # Errors
    /// If the other side takes no more.
    pub async fn finish(&mut self) -> Result<(), Lost> {
        match self {
            Self::Quic(quic) => quic.finish().map_err(|_| Lost),
            Self::Tcp(tcp) => tcp.close().await.map_err(|_| Lost),
        }
    }

    /// Waits until closing the connection does not cut off what was written: over QUIC until it
    /// has arrived; over TCP it is sent before the end.
    ///
    /// # Errors
    /// If it cannot arrive any more.
    pub async fn safe_to_close(&mut self) -> Result<(), Lost> {
        match self {
            Self::Quic(quic) => quic.stopped().await.map(drop).map_err(|_| Lost),
            Self::Tcp(_) => Ok(()),
        }
    }
}

/// The way in.
#[derive(Debug)]
pub enum ReceiveStream {
    /// Over QUIC.
    Quic(quinn::RecvStream),
    /// Over TCP.
    Tcp(ReadHalf<MuxStream>),
}

impl ReceiveStream {
    /// Fills `into`.
    ///
    /// # Errors
    /// If the stream ends before.
    pub async fn read_exact(&mut self, into: &mut [u8]) -> Result<(), Lost> {
        match self {
            Self::Quic(quic) => quic.read_exact(into).await.map_err(|_| Lost),
            Self::Tcp(tcp) => tcp.read_exact(into).await.map_err(|_| Lost),
        }
    }

    /// Reads what has arrived, at least a byte.
    ///
    /// # Errors
    /// If the stream has ended.
    pub async fn read_some(&mut self, into: &mut [u8]) -> Result<usize, Lost> {
        let read = match self {
            Self::Quic(quic) => quic.read(into).await.map_err(|_| Lost)?.unwrap_or(0),
            Self::Tcp(tcp) => tcp.read(into).await.map_err(|_| Lost)?,
        };
        match read {
            0 => Err(Lost),
            read => Ok(read),
        }
    }
}

pub(super) fn split(stream: MuxStream) -> (SendStream, ReceiveStream) {
    let (receive, send) = stream.split();
    (SendStream::Tcp(send), ReceiveStream::Tcp(receive))
}
