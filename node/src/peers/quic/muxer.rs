//! A connection and its streams, as libp2p wants them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use futures::{AsyncRead, AsyncWrite, FutureExt};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, VarInt};

use super::QuicError;

/// Says nothing about why: that was in `Bye`.
const CLOSED: VarInt = VarInt::from_u32(0);

type Opening = BoxFuture<'static, Result<(SendStream, RecvStream), ConnectionError>>;

pub(in crate::peers) struct Muxer {
    pub(super) connection: Connection,
    inbound: Option<Opening>,
    outbound: Option<Opening>,
    /// Tells whoever counts them that this connection is there.
    token: Option<Arc<()>>,
}

impl Muxer {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            inbound: None,
            outbound: None,
            token: None,
        }
    }

    /// Holds `token` as long as the connection is there.
    pub(in crate::peers) fn holding(mut self, token: Arc<()>) -> Self {
        self.token = Some(token);
        self
    }
}

impl StreamMuxer for Muxer {
    type Substream = QuicStream;
    type Error = QuicError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<QuicStream, QuicError>> {
        let connection = self.connection.clone();
        let opening = self
            .inbound
            .get_or_insert_with(|| async move { connection.accept_bi().await }.boxed());
        let opened = ready!(opening.poll_unpin(context));
        self.inbound = None;
        Poll::Ready(Ok(QuicStream::new(opened?)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<QuicStream, QuicError>> {
        let connection = self.connection.clone();
        let opening = self
            .outbound
            .get_or_insert_with(|| async move { connection.open_bi().await }.boxed());
        let opened = ready!(opening.poll_unpin(context));
        self.outbound = None;
        Poll::Ready(Ok(QuicStream::new(opened?)))
    }

    fn poll_close(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Result<(), QuicError>> {
        // The endpoint sends what is left to say; there is nothing to wait for.
        self.connection.close(CLOSED, &[]);
        Poll::Ready(Ok(()))
    }

    fn poll(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, QuicError>> {
        // Addresses do not change without migration; the end shows when streams are waited for.
        Poll::Pending
    }
}

pub(in crate::peers) struct QuicStream {
    send: SendStream,
    receive: RecvStream,
}

impl QuicStream {
    fn new((send, receive): (SendStream, RecvStream)) -> Self {
        Self { send, receive }
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.receive
            .poll_read(context, into)
            .map_err(io::Error::from)
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send)
            .poll_write(context, bytes)
            .map_err(io::Error::from)
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An error says that it was closed before, which is as good.
        let _ = self.send.finish();
        Poll::Ready(Ok(()))
    }
}
