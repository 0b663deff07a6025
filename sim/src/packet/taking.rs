//! Spans asked of neighbors: request out, parts in, verified item by item, kept.
//! Follows `node/src/peers/fetch.rs` and `pool.rs`.

use antiphon_protocol::codec::{self, LENGTH_BYTES};
use antiphon_protocol::peer::{DataReply, DataRequest, SpanRequest};
use antiphon_protocol::verified::{Item, SpanVerifier, VerifyError};
use antiphon_protocol::{ChunkIndex, ErrorCode};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::{Duration, FetchId, Input};

use crate::packet::frames;
use crate::packet::happening::Task;
use crate::packet::harness::Harness;
use crate::packet::transport::{ConnectionId, Side};

/// Data streams to one neighbor.
const DATA_STREAMS_MAX: usize = 4;
/// A transfer without any progress is given up after this.
const PROGRESS_MICROS: u64 = 10_000_000;
/// How long a canceled transfer may take to run dry.
const DRAIN_MICROS: u64 = 2_000_000;
/// Bytes a canceled transfer may still bring.
const DRAIN_BYTES_MAX: usize = 256 * 1024 + 2 * (16 * 1024 + 64 * 32);

/// A span asked of a peer.
#[derive(Debug)]
pub(crate) struct PeerFetch {
    pub(crate) fetch: FetchId,
    pub(crate) track: usize,
    pub(crate) request: SpanRequest,
    verifier: SpanVerifier,
    accepted: bool,
    chunks_left: u32,
    until: ChunkIndex,
    canceled: bool,
    drained: usize,
    touched: u64,
}

/// What the bytes that are there were good for.
enum Taken {
    Part,
    NotYet,
    Ended(Ending),
}

/// How a transfer ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// The stream is usable again.
    Clean(FetchEvent),
    Corrupt,
    /// The store did not keep a chunk.
    NotKept,
    Misbehaved(&'static str),
    /// Too many bytes after a cancel.
    Broken,
}

impl Harness {
    pub(crate) fn fetch_from_peer(
        &mut self,
        node: u16,
        (fetch, track): (FetchId, usize),
        (id, side): (ConnectionId, Side),
        request: SpanRequest,
    ) {
        let data = &self.music.tracks[track];
        let order = PeerFetch {
            fetch,
            track,
            request,
            verifier: SpanVerifier::new(data.content, data.geometry, request.span),
            accepted: false,
            chunks_left: request.span.count(),
            until: request.span.first(),
            canceled: false,
            drained: 0,
            touched: self.now,
        };
        self.lease(node, id, side, order);
    }

    /// Takes a free stream, a new one, or waits for the next that gets free.
    fn lease(&mut self, node: u16, id: ConnectionId, side: Side, mut order: PeerFetch) {
        let entry = &mut self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get_mut(&id) else {
            return;
        };
        let stream = match session.idle.pop() {
            Some(stream) => stream,
            None if session.own.len() < DATA_STREAMS_MAX => {
                let stream = self.network.open_stream(id);
                session.own.insert(stream);
                stream
            }
            None => {
                let fetch = order.fetch;
                session.waiting.push_back(order);
                return self.later(node, PROGRESS_MICROS, Task::WaitBy(id, fetch));
            }
        };
        order.touched = self.now;
        let request = DataRequest::Span(order.request);
        frames::put(&mut self.network, id, side, stream, &request);
        entry.fetches.insert((id, stream), order);
        self.later(node, PROGRESS_MICROS, Task::FetchBy(id, stream));
    }

    pub(crate) fn wait_by(&mut self, node: u16, id: ConnectionId, fetch: FetchId) {
        let entry = &mut self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get_mut(&id) else {
            return;
        };
        let before = session.waiting.len();
        session.waiting.retain(|order| order.fetch != fetch);
        if session.waiting.len() < before {
            let event = FetchEvent::Failed;
            self.tell(node, Input::Fetch { fetch, event });
        }
    }

    pub(crate) fn fetch_by(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let now = self.now;
        let Some(order) = self.nodes[usize::from(node)].fetches.get(&(id, stream)) else {
            return;
        };
        let patience = if order.canceled {
            DRAIN_MICROS
        } else {
            PROGRESS_MICROS
        };
        let due = order.touched + patience;
        if due <= now {
            self.end_fetch(node, id, stream, Ending::Broken);
        } else {
            self.later(node, due - now, Task::FetchBy(id, stream));
        }
    }

    /// The core does not want it any more.
    pub(crate) fn cancel_peer_fetch(&mut self, node: u16, fetch: FetchId) {
        let entry = &mut self.nodes[usize::from(node)];
        for session in entry.sessions.values_mut() {
            session.waiting.retain(|order| order.fetch != fetch);
        }
        let found = entry
            .fetches
            .iter_mut()
            .find(|(_, order)| order.fetch == fetch && !order.canceled);
        let Some((key, order)) = found else {
            return;
        };
        let (id, stream) = *key;
        (order.canceled, order.touched) = (true, self.now);
        let Some(side) = entry.sessions.get(&id).map(|session| session.side) else {
            return;
        };
        frames::put(&mut self.network, id, side, stream, &DataRequest::Cancel);
        self.later(node, DRAIN_MICROS, Task::FetchBy(id, stream));
    }

    pub(crate) fn receive_span(&mut self, node: u16, id: ConnectionId, side: Side, stream: u16) {
        loop {
            let Some(mut order) = self.nodes[usize::from(node)].fetches.remove(&(id, stream))
            else {
                if !self.network.readable(id, side, stream).is_empty() {
                    // Bytes nobody asked for.
                    self.expect_vice(node, id, "bytes on a stream at rest");
                    self.misbehaved(node, id, ErrorCode::MALFORMED);
                }
                return;
            };
            let taken = self.take_part(node, id, side, stream, &mut order);
            self.nodes[usize::from(node)]
                .fetches
                .insert((id, stream), order);
            match taken {
                Taken::Part => {}
                Taken::NotYet => return,
                Taken::Ended(ending) => return self.end_fetch(node, id, stream, ending),
            }
        }
    }

    fn take_part(
        &mut self,
        node: u16,
        id: ConnectionId,
        side: Side,
        stream: u16,
        order: &mut PeerFetch,
    ) -> Taken {
        if !order.accepted {
            let reply = frames::take::<DataReply>(&mut self.network, id, side, stream);
            return match reply {
                Ok(None) => Taken::NotYet,
                Ok(Some((DataReply::Accept, _))) => {
                    (order.accepted, order.touched) = (true, self.now);
                    self.tell_fetch(node, order, FetchEvent::Accepted);
                    Taken::Part
                }
                Ok(Some((DataReply::Decline { code, retry_after }, _))) => {
                    let retry_after = Duration::from_millis(u64::from(retry_after.clamped().0));
                    Taken::Ended(Ending::Clean(FetchEvent::Declined { code, retry_after }))
                }
                Err(_) => Taken::Ended(Ending::Misbehaved("a reply that is none")),
            };
        }
        let bytes = self.network.readable(id, side, stream);
        let Some(header) = bytes.first_chunk::<LENGTH_BYTES>() else {
            return Taken::NotYet;
        };
        let Ok(length) = codec::part_len(*header) else {
            return Taken::Ended(Ending::Misbehaved("a part that is too long"));
        };
        if length == 0 {
            self.network.consume(id, side, stream, LENGTH_BYTES);
            return Taken::Ended(Ending::Clean(FetchEvent::Failed));
        }
        if order.canceled {
            if bytes.len() < LENGTH_BYTES + length {
                return Taken::NotYet;
            }
            self.network
                .consume(id, side, stream, LENGTH_BYTES + length);
            return drained(order, length);
        }
        let Some(part) = bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
            return Taken::NotYet;
        };
        order.touched = self.now;
        let checked = check_part(&mut order.verifier, part);
        match checked {
            Ok((chunk, start)) => {
                let kept = self.keep(node, order.track, chunk, id, stream, side, start);
                self.network
                    .consume(id, side, stream, LENGTH_BYTES + length);
                if !kept {
                    return Taken::Ended(Ending::NotKept);
                }
                order.until = ChunkIndex(chunk.0 + 1);
                order.chunks_left = order.chunks_left.saturating_sub(1);
                if order.verifier.wanted().is_none() {
                    return Taken::Ended(Ending::Clean(FetchEvent::Done));
                }
                let until = order.until;
                self.tell_fetch(node, order, FetchEvent::Verified { until });
                Taken::Part
            }
            Err(ending) => Taken::Ended(ending),
        }
    }

    /// A chunk of the part at the front of a stream passed verification.
    #[expect(clippy::too_many_arguments, reason = "where the bytes lie takes five")]
    fn keep(
        &mut self,
        node: u16,
        track: usize,
        chunk: ChunkIndex,
        id: ConnectionId,
        stream: u16,
        side: Side,
        start: usize,
    ) -> bool {
        let bytes = self.network.readable(id, side, stream);
        let length = self.music.tracks[track].geometry.chunk_bytes(chunk);
        let start = LENGTH_BYTES + start;
        let genuine =
            bytes.get(start..start + length) == Some(self.music.tracks[track].chunk(chunk));
        self.store(node, track, chunk, genuine, true)
    }

    fn tell_fetch(&mut self, node: u16, order: &PeerFetch, event: FetchEvent) {
        if !order.canceled {
            let fetch = order.fetch;
            self.tell(node, Input::Fetch { fetch, event });
        }
    }

    fn end_fetch(&mut self, node: u16, id: ConnectionId, stream: u16, ending: Ending) {
        let entry = &mut self.nodes[usize::from(node)];
        let Some(order) = entry.fetches.remove(&(id, stream)) else {
            return;
        };
        let Some(session) = entry.sessions.get_mut(&id) else {
            return;
        };
        let side = session.side;
        let event = match ending {
            Ending::Clean(event) => {
                session.idle.push(stream);
                event
            }
            Ending::Corrupt => FetchEvent::Corrupt,
            Ending::NotKept | Ending::Misbehaved(_) | Ending::Broken => FetchEvent::Failed,
        };
        if !matches!(ending, Ending::Clean(_)) {
            session.own.remove(&stream);
            self.network.reset(id, side, stream);
        }
        self.oracle.corrupt_received += u64::from(matches!(ending, Ending::Corrupt));
        self.tell_fetch(node, &order, event);
        match ending {
            Ending::Corrupt => self.expect_vice(node, id, "wrong bytes"),
            Ending::Misbehaved(what) => {
                self.expect_vice(node, id, what);
                return self.misbehaved(node, id, ErrorCode::MALFORMED);
            }
            _ => {}
        }
        let entry = &mut self.nodes[usize::from(node)];
        if let Some(session) = entry.sessions.get_mut(&id)
            && let Some(waiting) = session.waiting.pop_front()
        {
            self.lease(node, id, side, waiting);
        }
    }

    /// The connection is over: its fetches fail.
    pub(crate) fn drop_fetches(&mut self, node: u16, id: ConnectionId) {
        let entry = &mut self.nodes[usize::from(node)];
        let keys: Vec<_> = entry
            .fetches
            .range((id, 0)..=(id, u16::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            let order = self.nodes[usize::from(node)].fetches.remove(&key);
            if let Some(order) = order {
                self.tell_fetch(node, &order, FetchEvent::Failed);
            }
        }
    }
}

fn drained(order: &mut PeerFetch, length: usize) -> Taken {
    order.drained += length;
    order.chunks_left = order.chunks_left.saturating_sub(1);
    if order.drained > DRAIN_BYTES_MAX {
        return Taken::Ended(Ending::Broken);
    }
    if order.chunks_left == 0 {
        return Taken::Ended(Ending::Clean(FetchEvent::Failed));
    }
    Taken::Part
}

/// Verifies one part: inner nodes and then exactly one chunk. Where the chunk's bytes begin.
fn check_part(verifier: &mut SpanVerifier, part: &[u8]) -> Result<(ChunkIndex, usize), Ending> {
    const MALFORMED: Ending = Ending::Misbehaved("a part of the wrong length");
    let mut rest = part;
    loop {
        let wanted = verifier.wanted().ok_or(MALFORMED)?;
        let (bytes, after) = rest.split_at_checked(wanted.bytes()).ok_or(MALFORMED)?;
        let start = part.len() - rest.len();
        rest = after;
        match verifier.accept(bytes) {
            Ok(Item::Parent { .. }) => {}
            Ok(Item::Chunk { chunk, .. }) if rest.is_empty() => return Ok((chunk, start)),
            Ok(Item::Chunk { .. }) => return Err(MALFORMED),
            Err(VerifyError::Corrupt(_)) => return Err(Ending::Corrupt),
            Err(_) => return Err(MALFORMED),
        }
    }
}
