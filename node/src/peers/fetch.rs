//! One span asked of a neighbor: request out, parts in, verified item by item into the sink.

use std::sync::Arc;

use antiphon_protocol::codec::{self, LENGTH_BYTES};
use antiphon_protocol::peer::{DataReply, DataRequest};
use antiphon_protocol::verified::{Item, SpanVerifier, VerifyError};
use antiphon_protocol::{ChunkIndex, Span};
use antiphon_swarm::Duration as CoreDuration;
use antiphon_swarm::node::input::FetchEvent;
use futures::AsyncWriteExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::frame::FrameError;
use super::hub::{Hub, Neighbor};
use super::pool::Lease;
use super::read_buffer::ReadBuffer;
use super::{FetchOrder, Misbehavior, PeerEvent, limits};
use crate::span_io::VerifiedItems;

pub(super) async fn run(
    hub: Arc<Hub>,
    neighbor: Arc<Neighbor>,
    order: FetchOrder,
    canceled: CancellationToken,
) {
    let mut buffer = hub.buffer();
    let end = tokio::select! {
        biased;
        () = neighbor.over.cancelled() => Err(Stop::Broken),
        end = transfer(&hub, &neighbor, &order, &canceled, &mut buffer) => end,
    };
    hub.return_buffer(buffer);
    hub.fetch_ends(order.fetch);
    let event = match end {
        Ok(event) => event,
        Err(Stop::Canceled) => return,
        Err(Stop::Broken | Stop::NotKept) => FetchEvent::Failed,
        Err(Stop::Corrupt) => FetchEvent::Corrupt,
        Err(Stop::Misbehaved(what)) => {
            neighbor.misbehaved(&hub, what).await;
            FetchEvent::Failed
        }
    };
    if !canceled.is_cancelled() {
        let fetch = order.fetch;
        hub.tell(PeerEvent::Fetch { fetch, event }).await;
    }
}

/// Why a transfer ended without an answer that leaves its stream usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The stream broke or made no progress.
    Broken,
    /// The bytes are not the content's.
    Corrupt,
    /// Not a legal answer.
    Misbehaved(Misbehavior),
    /// The store did not keep a chunk.
    NotKept,
    /// The core does not want it any more.
    Canceled,
}

impl From<FrameError> for Stop {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Stream(_) => Self::Broken,
            FrameError::Decode(_) => Self::Misbehaved(Misbehavior::Malformed),
        }
    }
}

async fn transfer(
    hub: &Hub,
    neighbor: &Neighbor,
    order: &FetchOrder,
    canceled: &CancellationToken,
    buffer: &mut ReadBuffer,
) -> Result<FetchEvent, Stop> {
    if !order.geometry.contains(order.request.span) {
        return Err(Stop::Broken);
    }
    let lease = tokio::select! {
        biased;
        () = canceled.cancelled() => return Err(Stop::Canceled),
        lease = timeout(limits::PROGRESS_TIMEOUT, neighbor.pool.take()) => lease,
    };
    let mut lease = lease.ok().flatten().ok_or(Stop::Broken)?;
    let request = DataRequest::Span(order.request);
    write(&mut lease, &request).await?;
    let mut parts = Parts::new(order);
    let ending = tokio::select! {
        biased;
        () = canceled.cancelled() => None,
        ending = receive(hub, order, &mut lease, buffer, &mut parts) => Some(ending?),
    };
    let ending = match ending {
        Some(ending) => ending,
        None => {
            write(&mut lease, &DataRequest::Cancel).await?;
            let drained = timeout(limits::DRAIN_TIMEOUT, drain(&mut lease, buffer, &mut parts));
            drained.await.map_err(|_| Stop::Broken)??;
            FetchEvent::Failed
        }
    };
    if !buffer.filled().is_empty() {
        return Err(Stop::Misbehaved(Misbehavior::OutOfTurn));
    }
    neighbor.pool.give_back(lease);
    match canceled.is_cancelled() {
        true => Err(Stop::Canceled),
        false => Ok(ending),
    }
}

async fn write(lease: &mut Lease, request: &DataRequest) -> Result<(), Stop> {
    let frame = codec::encode(request);
    let written = async {
        lease.stream.write_all(&frame).await?;
        lease.stream.flush().await
    };
    match timeout(limits::PROGRESS_TIMEOUT, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Stop::Broken),
    }
}

/// Receives the answer. What it leaves behind when it is dropped half way is in `buffer` and
/// `parts`, so that [`drain`] can go on from there.
async fn receive(
    hub: &Hub,
    order: &FetchOrder,
    lease: &mut Lease,
    buffer: &mut ReadBuffer,
    parts: &mut Parts,
) -> Result<FetchEvent, Stop> {
    let fetch = order.fetch;
    let reply = timeout(
        limits::PROGRESS_TIMEOUT,
        buffer.frame::<DataReply>(&mut lease.stream),
    );
    match reply.await.map_err(|_| Stop::Broken)?? {
        DataReply::Decline { code, retry_after } => {
            return Ok(FetchEvent::Declined {
                code,
                retry_after: CoreDuration::from_millis(u64::from(retry_after.clamped().0)),
            });
        }
        DataReply::Accept => parts.accepted = true,
    }
    let event = FetchEvent::Accepted;
    hub.tell(PeerEvent::Fetch { fetch, event }).await;
    loop {
        let before = parts.until;
        let next = parts.take(hub, order, buffer)?;
        if parts.until != before {
            let until = parts.until;
            let event = FetchEvent::Verified { until };
            // A busy driver hears of these chunks with the next ones or with the end.
            let _ = hub.events.try_send(PeerEvent::Fetch { fetch, event });
        }
        let min = match next {
            Next::Needs(min) => min,
            Next::Complete => return Ok(FetchEvent::Done),
            Next::EndedEarly => return Ok(FetchEvent::Failed),
        };
        let filled = timeout(
            limits::PROGRESS_TIMEOUT,
            buffer.fill(&mut lease.stream, min),
        );
        filled
            .await
            .map_err(|_| Stop::Broken)?
            .map_err(|_| Stop::Broken)?;
    }
}

/// Reads what is left of a canceled transfer, so that its stream can be used again.
async fn drain(lease: &mut Lease, buffer: &mut ReadBuffer, parts: &mut Parts) -> Result<(), Stop> {
    if !parts.accepted {
        match buffer.frame::<DataReply>(&mut lease.stream).await? {
            DataReply::Decline { .. } => return Ok(()),
            DataReply::Accept => parts.accepted = true,
        }
    }
    let mut bytes = 0_usize;
    while parts.chunks_left > 0 {
        buffer
            .fill(&mut lease.stream, LENGTH_BYTES)
            .await
            .map_err(|_| Stop::Broken)?;
        let part = part_len(buffer)?.unwrap_or(0);
        buffer
            .fill(&mut lease.stream, LENGTH_BYTES + part)
            .await
            .map_err(|_| Stop::Broken)?;
        buffer.consume(LENGTH_BYTES + part);
        bytes += part;
        if part == 0 {
            return Ok(());
        }
        if bytes > limits::DRAIN_BYTES_MAX {
            return Err(Stop::Broken);
        }
        parts.chunks_left -= 1;
    }
    Ok(())
}

/// The length of the part at the front of the buffer, if it is there.
fn part_len(buffer: &ReadBuffer) -> Result<Option<usize>, Stop> {
    len_of_part(buffer.filled())
}

/// The length of the part at the front of these bytes, if it is there.
fn len_of_part(bytes: &[u8]) -> Result<Option<usize>, Stop> {
    let Some(header) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    match usize::try_from(u32::from_le_bytes(*header)) {
        Ok(len) if len <= limits::PART_BYTES_MAX => Ok(Some(len)),
        _ => Err(Stop::Misbehaved(Misbehavior::Malformed)),
    }
}

/// How far the parts of an answer have come.
struct Parts {
    verifier: SpanVerifier,
    accepted: bool,
    chunks_left: u32,
    /// The chunk after the last one that was kept.
    until: ChunkIndex,
}

/// What follows once all whole parts are out of the buffer.
enum Next {
    /// So many bytes must be there first.
    Needs(usize),
    /// Everything has arrived.
    Complete,
    /// The holder sends no more.
    EndedEarly,
}

impl Parts {
    fn new(order: &FetchOrder) -> Self {
        let span: Span = order.request.span;
        Self {
            verifier: SpanVerifier::new(order.content, order.geometry, span),
            accepted: false,
            chunks_left: span.count(),
            until: span.first(),
        }
    }

    /// Takes all whole parts out of the buffer, verifies them and hands their items to the sink
    /// together. What is genuine is kept even if something wrong follows.
    fn take(
        &mut self,
        hub: &Hub,
        order: &FetchOrder,
        buffer: &mut ReadBuffer,
    ) -> Result<Next, Stop> {
        let mut items = VerifiedItems::default();
        let mut rest = buffer.filled();
        let next = self.verify_all(&mut rest, &mut items);
        if let Some((last, _)) = items.chunks.last() {
            let kept = hub.sink.put_all(order.content, &items);
            kept.map_err(|_| Stop::NotKept)?;
            self.until = ChunkIndex(last.0.saturating_add(1));
        }
        let used = buffer.filled().len() - rest.len();
        buffer.consume(used);
        next
    }

    /// Verifies the whole parts at the front of `bytes` and takes them off.
    fn verify_all<'a>(
        &mut self,
        bytes: &mut &'a [u8],
        items: &mut VerifiedItems<'a>,
    ) -> Result<Next, Stop> {
        while self.verifier.wanted().is_some() {
            let Some(len) = len_of_part(bytes)? else {
                return Ok(Next::Needs(LENGTH_BYTES));
            };
            let Some((part, rest)) = bytes.split_at_checked(LENGTH_BYTES + len) else {
                return Ok(Next::Needs(LENGTH_BYTES + len));
            };
            *bytes = rest;
            if len == 0 {
                return Ok(Next::EndedEarly);
            }
            self.verify(part.get(LENGTH_BYTES..).unwrap_or_default(), items)?;
        }
        Ok(Next::Complete)
    }

    /// Verifies one part: inner nodes and then exactly one chunk.
    fn verify<'a>(&mut self, part: &'a [u8], items: &mut VerifiedItems<'a>) -> Result<(), Stop> {
        const MALFORMED: Stop = Stop::Misbehaved(Misbehavior::Malformed);
        let mut rest = part;
        loop {
            let wanted = self.verifier.wanted().ok_or(MALFORMED)?;
            let (bytes, after) = rest.split_at_checked(wanted.bytes()).ok_or(MALFORMED)?;
            rest = after;
            match self.verifier.accept(bytes) {
                Ok(Item::Parent { outboard_offset }) => {
                    let node = bytes.try_into().map_err(|_| MALFORMED)?;
                    items.nodes.push((outboard_offset, node));
                }
                Ok(Item::Chunk { chunk, .. }) => {
                    items.chunks.push((chunk, bytes));
                    self.chunks_left = self.chunks_left.saturating_sub(1);
                    return if rest.is_empty() {
                        Ok(())
                    } else {
                        Err(MALFORMED)
                    };
                }
                Err(VerifyError::Corrupt(_)) => return Err(Stop::Corrupt),
                Err(_) => return Err(MALFORMED),
            }
        }
    }
}
