//! A fixed buffer that gathers what a stream has and gives it out from the front.
//!
//! Parts are hashed where they lie; the only copy is moving an incomplete part to the front.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use antiphon_protocol::codec::{self, LENGTH_BYTES, Message};
use futures::AsyncRead;

use super::frame::FrameError;

#[derive(Debug)]
pub(super) struct ReadBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            bytes: vec![0; capacity].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// What is there.
    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Drops the first `count` bytes of what is there.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Reads what the stream has until at least `min` bytes are there. Nothing is lost when the
    /// caller stops polling.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        min: usize,
    ) -> Poll<io::Result<()>> {
        while self.filled().len() < min {
            if self.bytes.len() - self.start < min || self.end == self.bytes.len() {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            let space = self.bytes.get_mut(self.end..).unwrap_or_default();
            if space.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            }
            let count = ready!(Pin::new(&mut *stream).poll_read(cx, space))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.end += count;
        }
        Poll::Ready(Ok(()))
    }

    /// [`ReadBuffer::poll_fill`] as a future; cancel safe.
    pub(super) async fn fill(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        min: usize,
    ) -> io::Result<()> {
        poll_fn(|cx| self.poll_fill(cx, stream, min)).await
    }

    /// Reads one frame. Nothing is lost when the caller stops polling.
    pub(super) fn poll_frame<M: Message>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Poll<Result<M, FrameError>> {
        ready!(self.poll_fill(cx, stream, LENGTH_BYTES))?;
        let header = self.header().expect("four bytes are there");
        let len = codec::payload_len::<M>(header)?;
        ready!(self.poll_fill(cx, stream, LENGTH_BYTES + len))?;
        let frame = self.filled();
        let message = codec::decode(frame.get(LENGTH_BYTES..LENGTH_BYTES + len).unwrap_or(&[]));
        self.consume(LENGTH_BYTES + len);
        Poll::Ready(Ok(message?))
    }

    /// [`ReadBuffer::poll_frame`] as a future; cancel safe.
    pub(super) async fn frame<M: Message>(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<M, FrameError> {
        poll_fn(|cx| self.poll_frame(cx, stream)).await
    }

    /// The length in front of the next frame or part, if it is there.
    pub(super) fn header(&self) -> Option<[u8; LENGTH_BYTES]> {
        self.filled().first_chunk().copied()
    }
}
