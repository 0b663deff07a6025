//! Spans in flight.
//!
//! Not here: why they were asked.

use antiphon_protocol::{CHUNK_BYTES, ChunkIndex, Span};

use crate::key::{FetchId, PeerKey, RenditionKey};
use crate::limits::REQUESTS_MAX;
use crate::memory::bring_range;
use crate::node::output::Source;
use crate::time::Instant;

/// One span asked of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) id: FetchId,
    pub(crate) rendition: RenditionKey,
    pub(crate) source: Source,
    pub(crate) span: Span,
    /// Whether it deliberately asks for chunks another request covers too.
    pub(crate) hedge: bool,
    /// Whether it was counted as late.
    pub(crate) late: bool,
    /// The chunk after the last verified one.
    pub(crate) until: u32,
    pub(crate) sent: Instant,
    /// When the source last gave a sign: accept or chunk; `sent` at first.
    pub(crate) progress: Instant,
    /// When the first chunk was there.
    pub(crate) first: Option<Instant>,
}

impl Request {
    /// Chunks not verified yet.
    pub(crate) const fn rest(&self) -> core::ops::Range<u32> {
        self.until..self.span.end().0
    }

    pub(crate) const fn covers(&self, chunk: ChunkIndex) -> bool {
        self.until <= chunk.0 && chunk.0 < self.span.end().0
    }

    pub(crate) const fn bytes_left(&self) -> u64 {
        (self.span.end().0 - self.until) as u64 * CHUNK_BYTES
    }

    pub(crate) const fn chunks_done(&self) -> u32 {
        self.until - self.span.first().0
    }
}

/// All spans in flight, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    list: Vec<Request>,
    next: u64,
}

impl Requests {
    /// The id of a new request; the caller has checked that there is room.
    pub(crate) fn push(&mut self, mut request: Request) -> FetchId {
        assert!(
            self.list.len() < REQUESTS_MAX,
            "requests are bounded before they are made"
        );
        request.id = FetchId(self.next);
        self.next += 1;
        self.list.push(request);
        request.id
    }

    /// Brings near the oldest of them, mostly all. Guess.
    pub(crate) fn bring(&self) {
        bring_range(&self.list, 0, 3);
    }

    pub(crate) fn by_id(&self, id: FetchId) -> Option<&Request> {
        self.list.iter().find(|request| request.id == id)
    }

    pub(crate) fn by_id_mut(&mut self, id: FetchId) -> Option<&mut Request> {
        self.list.iter_mut().find(|request| request.id == id)
    }

    pub(crate) fn remove(&mut self, id: FetchId) -> Option<Request> {
        let at = self.list.iter().position(|request| request.id == id)?;
        Some(self.list.remove(at))
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Request> {
        self.list.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Those for one rendition.
    pub(crate) fn of(&self, rendition: RenditionKey) -> impl Iterator<Item = &Request> {
        self.list.iter().filter(move |r| r.rendition == rendition)
    }

    /// Their ids, to change requests while going through them.
    pub(crate) fn ids(&self, rendition: RenditionKey) -> impl Iterator<Item = FetchId> + use<> {
        let mut ids = [None; REQUESTS_MAX];
        for (place, request) in ids.iter_mut().zip(self.of(rendition)) {
            *place = Some(request.id);
        }
        ids.into_iter().flatten()
    }

    /// How many requests cover `chunk`: those that are not late, and all.
    pub(crate) fn copies(&self, rendition: RenditionKey, chunk: ChunkIndex) -> (usize, usize) {
        let covers = |r: &&Request| r.rendition == rendition && r.covers(chunk);
        let live = self
            .list
            .iter()
            .filter(covers)
            .filter(|request| !request.late)
            .count();
        (live, self.list.iter().filter(covers).count())
    }

    /// The end of the run from `from` on that nobody was asked for, at most `end`; if `from` is
    /// asked for, `Err` with the end of what is.
    pub(crate) fn unasked_until(
        &self,
        rendition: RenditionKey,
        from: u32,
        end: u32,
    ) -> Result<u32, u32> {
        let mut until = end;
        for request in self.list.iter().filter(|r| r.rendition == rendition) {
            let rest = request.rest();
            if rest.contains(&from) {
                return Err(rest.end);
            }
            if rest.start > from && rest.start < rest.end {
                until = until.min(rest.start);
            }
        }
        Ok(until)
    }

    /// Spans in flight to a peer.
    pub(crate) fn to_peer(&self, peer: PeerKey) -> usize {
        self.list
            .iter()
            .filter(|r| r.source == Source::Peer(peer))
            .count()
    }

    /// Bytes still to come from a source.
    pub(crate) fn queued(&self, source: Source) -> u64 {
        let of = self.list.iter().filter(|r| r.source == source);
        of.map(Request::bytes_left).sum()
    }

    pub(crate) fn to_peers(&self) -> usize {
        self.list
            .iter()
            .filter(|r| matches!(r.source, Source::Peer(_)))
            .count()
    }

    pub(crate) fn to_origin(&self) -> usize {
        self.list.len() - self.to_peers()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Request>()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.list.len() > REQUESTS_MAX {
            return Err("too many requests".to_owned());
        }
        for (at, a) in self.list.iter().enumerate() {
            for b in &self.list[at + 1..] {
                let apart = a.rendition != b.rendition
                    || a.rest().end <= b.rest().start
                    || b.rest().end <= a.rest().start;
                if !apart && !a.hedge && !b.hedge {
                    return Err(format!("{a:?} and {b:?} ask for the same chunks"));
                }
            }
        }
        Ok(())
    }
}
