//! One data stream that a neighbor opened: its requests, one at a time, and our answers.

use std::future::{pending, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use antiphon_protocol::codec::{self, LENGTH_BYTES};
use antiphon_protocol::limits::SPAN_FRAME_BYTES_MAX;
use antiphon_protocol::peer::{DataReply, DataRequest, SpanRequest};
use antiphon_protocol::verified::{self, Item};
use antiphon_protocol::{ByteCount, ContentId, ErrorCode, Geometry, Millis};
use antiphon_swarm::UploadId;
use futures::{AsyncWrite, AsyncWriteExt};
use libp2p::Stream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::frame::FrameError;
use super::hub::{Decision, Hub, Neighbor};
use super::read_buffer::ReadBuffer;
use super::{Misbehavior, PeerEvent, limits};
use crate::span_io::{SourceError, SpanSource};

/// When to ask again if too many spans are under way: about one span at a modest uplink; guess.
const BUSY_RETRY: Millis = Millis(200);

/// Serves the stream until it or the neighbor ends.
pub(super) async fn serve_stream(hub: Arc<Hub>, neighbor: Arc<Neighbor>, stream: Stream) {
    let mut server = Server {
        hub: &hub,
        neighbor: &neighbor,
        stream,
        requests: ReadBuffer::new(LENGTH_BYTES + SPAN_FRAME_BYTES_MAX),
        active: None,
    };
    let end = tokio::select! {
        biased;
        () = neighbor.over.cancelled() => Ok(()),
        end = server.run() => end,
    };
    server.finish(false).await;
    if let Err(FrameError::Decode(_)) = end {
        neighbor.misbehaved(&hub, Misbehavior::Malformed).await;
    }
}

struct Server<'a> {
    hub: &'a Arc<Hub>,
    neighbor: &'a Neighbor,
    stream: Stream,
    requests: ReadBuffer,
    active: Option<Active>,
}

/// The span under way.
struct Active {
    upload: UploadId,
    accepted: bool,
    sent: ByteCount,
}

/// What ended the wait for a decision.
enum Decided {
    Accept(ContentId, Geometry),
    Decline(ErrorCode, Millis),
}

impl Server<'_> {
    async fn run(&mut self) -> Result<(), FrameError> {
        loop {
            match self.requests.frame(&mut self.stream).await? {
                DataRequest::Span(request) => self.answer(request).await?,
                // It crossed the end of the span it meant.
                DataRequest::Cancel => {}
            }
        }
    }

    async fn answer(&mut self, request: SpanRequest) -> Result<(), FrameError> {
        if let Err((code, retry_after)) = self.admit() {
            return self.reply(DataReply::Decline { code, retry_after }).await;
        }
        let Some((upload, decision, end)) = self.hub.upload_begins() else {
            self.release();
            let (code, retry_after) = (ErrorCode::BUSY, BUSY_RETRY);
            return self.reply(DataReply::Decline { code, retry_after }).await;
        };
        self.active = Some(Active {
            upload,
            accepted: false,
            sent: ByteCount::ZERO,
        });
        let node = self.neighbor.node;
        let asked = PeerEvent::SpanAsked {
            upload,
            node,
            request,
        };
        self.hub.tell(asked).await;
        let complete = match self.decision(decision).await? {
            Decided::Decline(code, retry_after) => {
                self.reply(DataReply::Decline { code, retry_after }).await?;
                false
            }
            Decided::Accept(content, geometry) => {
                if let Some(active) = &mut self.active {
                    active.accepted = true;
                }
                self.send_span(request, content, geometry, end).await?
            }
        };
        self.finish(complete).await;
        Ok(())
    }

    /// Counts a span in, if the neighbor may ask for one now.
    fn admit(&self) -> Result<(), (ErrorCode, Millis)> {
        let mut asks = self.neighbor.asks();
        if let Err(wait) = asks.rate.take(1, Instant::now()) {
            return Err((ErrorCode::RATE_LIMITED, millis(wait)));
        }
        if !self.hub.limits.uploads || asks.under_way >= self.hub.limits.spans_in_flight {
            return Err((ErrorCode::BUSY, BUSY_RETRY));
        }
        asks.under_way += 1;
        Ok(())
    }

    fn release(&self) {
        let mut asks = self.neighbor.asks();
        asks.under_way = asks.under_way.saturating_sub(1);
    }

    /// Counts the span under way out and reports its end, if the driver waits for that.
    async fn finish(&mut self, complete: bool) {
        if let Some(active) = self.active.take() {
            self.release();
            self.hub.upload_ends(active.upload);
            if active.accepted {
                self.hub
                    .tell(PeerEvent::UploadEnded {
                        upload: active.upload,
                        sent: active.sent,
                        complete,
                    })
                    .await;
            }
        }
    }

    /// Waits for the driver's decision, the asker's cancel or the deadline.
    async fn decision(
        &mut self,
        decision: oneshot::Receiver<Decision>,
    ) -> Result<Decided, FrameError> {
        let decided = timeout(limits::PROGRESS_TIMEOUT, decision);
        tokio::select! {
            biased;
            decided = decided => Ok(match decided {
                Ok(Ok(Decision::Accept { content, geometry })) => Decided::Accept(content, geometry),
                Ok(Ok(Decision::Decline { code, retry_after })) => Decided::Decline(code, retry_after),
                Ok(Err(_)) | Err(_) => Decided::Decline(ErrorCode::BUSY, BUSY_RETRY),
            }),
            request = self.requests.frame(&mut self.stream) => match request? {
                DataRequest::Cancel => Ok(Decided::Decline(ErrorCode::CANCELED, Millis(0))),
                DataRequest::Span(_) => Err(out_of_turn(self.hub, self.neighbor).await),
            },
        }
    }

    async fn reply(&mut self, reply: DataReply) -> Result<(), FrameError> {
        self.write(&codec::encode(&reply)).await?;
        Ok(())
    }

    /// Sends the span; true if all of it left.
    async fn send_span(
        &mut self,
        request: SpanRequest,
        content: ContentId,
        geometry: Geometry,
        end: CancellationToken,
    ) -> Result<bool, FrameError> {
        let mut items: Vec<Item> = verified::items(geometry, request.span).collect();
        if items.is_empty() {
            let (code, retry_after) = (ErrorCode::INVALID, Millis(0));
            self.reply(DataReply::Decline { code, retry_after }).await?;
            return Ok(false);
        }
        let mut batch = Batch {
            content,
            geometry,
            bytes: codec::encode(&DataReply::Accept),
            parts: Vec::new(),
            failed: false,
        };
        // The first batch is one chunk, so that its bytes leave without waiting for others.
        let mut chunks = 1;
        while !items.is_empty() {
            let now = split_batch(&mut items, chunks);
            batch = batch.read(self.hub, now).await;
            let mut from = 0;
            for part in std::mem::take(&mut batch.parts) {
                let canceled = {
                    let bytes = batch.bytes.get(from..part.end).unwrap_or_default();
                    self.write_watching(bytes, &end).await?
                };
                from = part.end;
                if let Some(active) = &mut self.active {
                    let bytes = part.end.saturating_sub(part.start);
                    active.sent = active.sent.saturating_add(ByteCount(bytes as u64));
                }
                let last = items.is_empty() && part.end == batch.bytes.len();
                if canceled && !last {
                    return self.end_early().await;
                }
            }
            if batch.failed {
                // What was read is out; an Accept without any part goes out here.
                let rest = batch.bytes.get(from..).unwrap_or_default();
                self.write(rest).await?;
                return self.end_early().await;
            }
            batch.bytes.clear();
            chunks = limits::UPLOAD_BATCH_CHUNKS;
        }
        self.stream.flush().await.map_err(FrameError::Stream)?;
        Ok(true)
    }

    /// Ends the span with an empty part.
    async fn end_early(&mut self) -> Result<bool, FrameError> {
        self.write(&[0; LENGTH_BYTES]).await?;
        Ok(false)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(limits::PROGRESS_TIMEOUT, written)
            .await
            .map_err(timed_out)?
    }

    /// Writes whole parts; true if the asker or the driver wants no more after them.
    async fn write_watching(
        &mut self,
        bytes: &[u8],
        end: &CancellationToken,
    ) -> Result<bool, FrameError> {
        let (stream, requests) = (&mut self.stream, &mut self.requests);
        let (mut written, mut request) = (0, None);
        let write = poll_fn(|cx| {
            if request.is_none()
                && let Poll::Ready(frame) = requests.poll_frame::<DataRequest>(cx, stream)
            {
                request = Some(frame?);
            }
            while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
                let count = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
                if count == 0 {
                    return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
                }
                written += count;
            }
            Poll::Ready(Ok::<_, FrameError>(()))
        });
        match timeout(limits::PROGRESS_TIMEOUT, write).await {
            Ok(result) => result?,
            Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
        match request {
            None => Ok(end.is_cancelled()),
            Some(DataRequest::Cancel) => Ok(true),
            Some(DataRequest::Span(_)) => Err(out_of_turn(self.hub, self.neighbor).await),
        }
    }
}

/// Reports a second span asked for on a stream where one is under way.
async fn out_of_turn(hub: &Hub, neighbor: &Neighbor) -> FrameError {
    neighbor.misbehaved(hub, Misbehavior::OutOfTurn).await;
    FrameError::Stream(io::ErrorKind::InvalidData.into())
}

fn millis(time: Duration) -> Millis {
    Millis(u32::try_from(time.as_millis()).unwrap_or(u32::MAX)).clamped()
}

/// Takes the items of the first `chunks` chunks out of `items`.
fn split_batch(items: &mut Vec<Item>, chunks: usize) -> Vec<Item> {
    let is_chunk = |item: &Item| matches!(item, Item::Chunk { .. });
    let mut ends = items.iter().enumerate().filter(|(_, item)| is_chunk(item));
    let end = ends
        .nth(chunks.saturating_sub(1))
        .map_or(items.len(), |(index, _)| index + 1);
    let rest = items.split_off(end);
    std::mem::replace(items, rest)
}

/// Some parts of a span, encoded.
struct Batch {
    content: ContentId,
    geometry: Geometry,
    /// The parts one after the other, each with its length in front.
    bytes: Vec<u8>,
    /// Where each part lies, in order.
    parts: Vec<Range<usize>>,
    /// Whether the store failed after the last part.
    failed: bool,
}

impl Batch {
    /// Appends these items, read where blocking is allowed.
    async fn read(mut self, hub: &Hub, items: Vec<Item>) -> Self {
        let source = Arc::clone(&hub.source);
        let read = tokio::task::spawn_blocking(move || {
            self.failed = self.append(&items, &*source).is_err();
            self
        });
        match read.await {
            Ok(batch) => batch,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is being shut down and this task with it.
            Err(_) => pending().await,
        }
    }

    fn append(&mut self, items: &[Item], source: &dyn SpanSource) -> Result<(), SourceError> {
        let is_chunk = |item: &Item| matches!(item, Item::Chunk { .. });
        let len_of = |part: &[Item]| part.iter().map(|item| item.bytes()).sum::<usize>();
        let parts = || items.split_inclusive(is_chunk);
        self.bytes
            .reserve(parts().map(|part| LENGTH_BYTES + len_of(part)).sum());
        for part in parts() {
            let (start, len) = (self.bytes.len(), len_of(part));
            let header = u32::try_from(len).map_err(|_| SourceError::Read)?;
            self.bytes.extend_from_slice(&header.to_le_bytes());
            let appended = source.items(self.content, self.geometry, part, &mut self.bytes);
            let whole = self.bytes.len() == start + LENGTH_BYTES + len;
            if appended.is_err() || !whole {
                self.bytes.truncate(start);
                return appended.and(Err(SourceError::Read));
            }
            self.parts.push(start..self.bytes.len());
        }
        Ok(())
    }
}
