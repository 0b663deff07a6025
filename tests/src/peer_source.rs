//! A store of one rendition for peers, honest or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_node::span_io::{ChunkSink, SinkError, SourceError, SpanSource};
use antiphon_protocol::verified::{Item, PARENT_BYTES};
use antiphon_protocol::{ChunkIndex, ContentId, Geometry};

use crate::library::Known;

/// One rendition in memory, given as it is or with a wrong byte in every chunk.
#[derive(Debug)]
pub struct PeerSource {
    content: ContentId,
    sealed: Arc<Vec<u8>>,
    outboard: Arc<Vec<u8>>,
    lies: bool,
    given: AtomicU64,
}

impl PeerSource {
    /// `piece` as it is.
    #[must_use]
    pub fn honest(piece: &Known) -> Arc<Self> {
        Self::new(piece, false)
    }

    /// `piece` with a bit turned in every chunk, under the genuine hashes.
    #[must_use]
    pub fn lying(piece: &Known) -> Arc<Self> {
        Self::new(piece, true)
    }

    fn new(piece: &Known, lies: bool) -> Arc<Self> {
        Arc::new(Self {
            content: piece.content(),
            sealed: Arc::clone(&piece.sealed),
            outboard: Arc::clone(&piece.outboard),
            lies,
            given: AtomicU64::new(0),
        })
    }

    /// Chunks given so far.
    #[must_use]
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }
}

impl SpanSource for PeerSource {
    fn item(
        &self,
        content: ContentId,
        _: Geometry,
        item: Item,
        into: &mut Vec<u8>,
    ) -> Result<(), SourceError> {
        if content != self.content {
            return Err(SourceError::NotHeld);
        }
        let part = |of: &[u8], start: u64, bytes: usize| {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            let end = start.saturating_add(bytes);
            of.get(start..end).map(<[u8]>::to_vec)
        };
        let part = match item {
            Item::Parent { outboard_offset } => part(&self.outboard, outboard_offset, PARENT_BYTES),
            Item::Chunk { chunk, bytes } => {
                self.given.fetch_add(1, Ordering::Relaxed);
                part(&self.sealed, chunk.byte_offset(), bytes)
            }
        };
        into.extend(part.ok_or(SourceError::NotHeld)?);
        if let (true, Item::Chunk { .. }, Some(byte)) = (self.lies, item, into.last_mut()) {
            *byte ^= 1;
        }
        Ok(())
    }
}

/// Counts what comes and keeps nothing: for outsiders that only see whether they are given bytes.
#[derive(Debug, Default)]
pub struct CountingSink {
    chunks: AtomicU64,
}

impl CountingSink {
    /// Verified chunks that came.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }
}

impl ChunkSink for CountingSink {
    fn put_parent(&self, _: ContentId, _: u64, _: &[u8; PARENT_BYTES]) {}

    fn put_chunk(&self, _: ContentId, _: ChunkIndex, _: &[u8]) -> Result<bool, SinkError> {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }
}
