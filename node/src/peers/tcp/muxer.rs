//! A connection over TCP and its streams, as libp2p wants them.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::{Instant, Sleep, sleep_until};
use yamux::{Config, Connection, Mode, Stream};

use super::counted::Counted;
use super::ledger::Ledger;
use super::{Secured, TcpError};
use crate::peers::limits;

pub(in crate::peers) struct Muxer {
    connection: Connection<Counted>,
    ledger: Arc<Ledger>,
    /// Opened by the other side and not taken yet; at most [`limits::STREAMS_MAX`].
    arrived: VecDeque<TcpStream>,
    /// Waits for one of them.
    taker: Option<Waker>,
    /// When the other side is given up.
    given_up: Pin<Box<Sleep>>,
    closing: bool,
}

impl Muxer {
    pub(super) fn new(socket: Secured, mode: Mode) -> Self {
        let ledger = Arc::new(Ledger::new());
        let counted = Counted::new(socket, Arc::clone(&ledger));
        let mut config = Config::default();
        config
            .set_max_num_streams(limits::TCP_STREAMS_MAX)
            // No stream's window grows beyond what it starts with.
            .set_max_connection_receive_window(Some(
                limits::TCP_STREAMS_MAX * yamux::DEFAULT_CREDIT as usize,
            ))
            .set_split_send_size(limits::TCP_FRAME_BYTES_MAX);
        Self {
            connection: Connection::new(counted, config, mode),
            ledger,
            arrived: VecDeque::new(),
            taker: None,
            given_up: Box::pin(sleep_until(Instant::now() + limits::IDLE_TIMEOUT)),
            closing: false,
        }
    }

    /// Bytes unread and bytes unsent.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        self.ledger.kept()
    }

    /// Ready when nothing has come for too long; both sides ping more often than that.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.given_up.as_mut().poll(context));
            let end = Instant::from_std(self.ledger.heard() + limits::IDLE_TIMEOUT);
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.given_up.as_mut().reset(end);
        }
    }
}

impl StreamMuxer for Muxer {
    type Substream = TcpStream;
    type Error = TcpError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<TcpStream, TcpError>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        self.taker = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<TcpStream, TcpError>> {
        let stream = ready!(self.connection.poll_new_outbound(context))?;
        self.ledger.opened(stream.id().val());
        Poll::Ready(Ok(TcpStream::new(stream, Arc::clone(&self.ledger))))
    }

    /// What was written is still sent, but not longer than others may take to read a goodbye: who
    /// reads nothing would keep the connection for ever.
    fn poll_close(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), TcpError>> {
        if !self.closing {
            self.closing = true;
            let end = Instant::now() + limits::LINGER;
            self.given_up.as_mut().reset(end);
        }
        if self.given_up.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.connection.poll_close(context))?;
        Poll::Ready(Ok(()))
    }

    /// Everything of the connection moves in here.
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, TcpError>> {
        if self.poll_silence(context).is_ready() {
            return Poll::Ready(Err(TcpError::Silent));
        }
        loop {
            let stream = ready!(self.connection.poll_next_inbound(context));
            let stream = TcpStream::new(stream.ok_or(TcpError::Closed)??, Arc::clone(&self.ledger));
            // One more than an honest node opens is dropped, which resets it.
            if self.arrived.len() < limits::STREAMS_MAX as usize {
                self.arrived.push_back(stream);
            }
            if let Some(taker) = self.taker.take() {
                taker.wake();
            }
        }
    }
}

pub(in crate::peers) struct TcpStream {
    stream: Stream,
    ledger: Arc<Ledger>,
}

impl TcpStream {
    const fn new(stream: Stream, ledger: Arc<Ledger>) -> Self {
        Self { stream, ledger }
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.ledger.dropped(self.stream.id().val());
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        self.ledger.read(self.stream.id().val(), read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let allowance = self.ledger.poll_allowance(self.stream.id().val(), context);
        let most = bytes.len().min(ready!(allowance));
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..most]))?;
        self.ledger.taken(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
