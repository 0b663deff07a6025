//! A connection whose other side may not stop reading for long.
//!
//! hyper bounds how long a request may take to arrive, but not how long an answer may take to
//! leave: whoever stops reading would hold a place and two pieces for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Bytes that must leave within each time limit, so that a trickle does not count as progress:
/// at the default limit, a quarter of the lowest rung's rate. Guess.
const PROGRESS_BYTES: usize = 32 * 1024;

/// Fails a write when too little has left for too long.
#[derive(Debug)]
pub(super) struct Unstalled<T> {
    inner: T,
    limit: Duration,
    /// Bytes that left since `deadline` was set.
    progress: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<T> Unstalled<T> {
    pub(super) const fn new(inner: T, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            progress: 0,
            deadline: None,
        }
    }

    /// Passes on what the connection did with a write, unless it has taken too long.
    fn judge(
        &mut self,
        written: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Pending = written else {
            if let Poll::Ready(Ok(bytes)) = &written {
                self.progress = self.progress.saturating_add(*bytes);
                if self.progress >= PROGRESS_BYTES {
                    self.deadline = None;
                }
            }
            return written;
        };
        let limit = self.limit;
        let progress = &mut self.progress;
        let deadline = self.deadline.get_or_insert_with(|| {
            *progress = 0;
            Box::pin(sleep(limit))
        });
        ready!(deadline.as_mut().poll(cx));
        deadline.as_mut().reset(Instant::now() + limit);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Unstalled<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Unstalled<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_reader_that_stops_or_trickles_ends_the_write() {
        for trickle in [0, 1] {
            let (near, mut far) = duplex(64);
            let mut near = Unstalled::new(near, Duration::from_millis(50));
            let reader = tokio::spawn(async move {
                let mut byte = [0; 1];
                while trickle > 0 && far.read(&mut byte).await.is_ok_and(|bytes| bytes > 0) {
                    sleep(Duration::from_millis(5)).await;
                }
                far
            });
            let error = near.write_all(&[7; 64 * 1024]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            drop(near);
            reader.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_steady_reader_gets_everything() {
        let (near, mut far) = duplex(64);
        let mut near = Unstalled::new(near, Duration::from_secs(5));
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.map(|_| all)
        });
        near.write_all(&[7; 64 * 1024]).await.unwrap();
        drop(near);
        assert_eq!(reader.await.unwrap().unwrap(), vec![7; 64 * 1024]);
    }
}
