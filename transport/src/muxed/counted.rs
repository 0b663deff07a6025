//! A secured socket whose frames are counted on the way through.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

use super::Secured;
use super::frames::{Cursor, Passed};
use super::ledger::Ledger;

#[derive(Debug)]
pub(super) struct Counted {
    socket: Secured,
    ledger: Arc<Ledger>,
    reading: Cursor,
    writing: Cursor,
}

impl Counted {
    pub(super) fn new(socket: Secured, ledger: Arc<Ledger>) -> Self {
        Self {
            socket,
            ledger,
            reading: Cursor::default(),
            writing: Cursor::default(),
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.reading.between() {
            ready!(self.ledger.poll_room(context));
        }
        let most = into.len().min(self.reading.ahead());
        let into = &mut into[..most];
        let read = ready!(Pin::new(&mut self.socket).poll_read(context, into))?;
        if let Passed::Header(frame) = self.reading.pass(&into[..read]) {
            let counted = self.ledger.arriving(frame);
            counted.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let most = bytes.len().min(self.writing.ahead());
        let written = Pin::new(&mut self.socket).poll_write(context, &bytes[..most]);
        self.ledger.blocked(written.is_pending());
        let written = ready!(written)?;
        if let Passed::Body(sent) = self.writing.pass(&bytes[..written])
            && sent > 0
        {
            self.ledger.sent(sent);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}
