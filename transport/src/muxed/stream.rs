//! One stream, counted.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use yamux::Stream;

use super::ledger::Ledger;

/// Bytes both ways; closing ends only the way out. Dropped, it ends.
#[derive(Debug)]
pub struct MuxStream {
    stream: Stream,
    ledger: Arc<Ledger>,
}

impl MuxStream {
    pub(super) const fn new(stream: Stream, ledger: Arc<Ledger>) -> Self {
        Self { stream, ledger }
    }
}

impl Drop for MuxStream {
    fn drop(&mut self) {
        self.ledger.dropped(self.stream.id().val());
    }
}

impl AsyncRead for MuxStream {
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

impl AsyncWrite for MuxStream {
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
