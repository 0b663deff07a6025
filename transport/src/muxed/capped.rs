//! A socket that gives a stranger only so many bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// Until it is known who the other side is.
#[derive(Debug)]
pub struct Capped {
    socket: Compat<TcpStream>,
    /// What may still come; no end once it is known who the other side is.
    left: Option<usize>,
}

impl Capped {
    /// A socket of which `cap` bytes may come.
    #[must_use]
    pub fn new(socket: TcpStream, cap: usize) -> Self {
        Self {
            socket: socket.compat(),
            left: Some(cap),
        }
    }

    /// From here on there is no end.
    pub fn lift(&mut self) {
        self.left = None;
    }
}

impl AsyncRead for Capped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(left) = self.left else {
            return Pin::new(&mut self.socket).poll_read(context, into);
        };
        if left == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a handshake longer than any of ours",
            )));
        }
        let most = left.min(into.len());
        let read = ready!(Pin::new(&mut self.socket).poll_read(context, &mut into[..most]))?;
        self.left = Some(left - read);
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Capped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}
