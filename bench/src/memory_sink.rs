//! Ends of a transfer without a disk: a sink that only counts, and a source in memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use antiphon_node::span_io::{ChunkSink, SinkError, SourceError, SpanSource};
use antiphon_protocol::verified::{Item, PARENT_BYTES};
use antiphon_protocol::{ChunkIndex, ContentId, Geometry};
use bytes::Bytes;

/// Counts verified bytes and remembers when the first came.
#[derive(Debug, Default)]
pub struct CountingSink {
    bytes: AtomicU64,
    first: Mutex<Option<Instant>>,
}

impl CountingSink {
    /// Verified bytes so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// When the first chunk since the last call came; forgets it.
    pub fn take_first(&self) -> Option<Instant> {
        self.first.lock().expect("nobody panics with it").take()
    }
}

impl ChunkSink for CountingSink {
    fn put_parent(&self, _: ContentId, _: u64, _: &[u8; PARENT_BYTES]) {}

    fn put_chunk(&self, _: ContentId, _: ChunkIndex, data: &[u8]) -> Result<bool, SinkError> {
        self.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        let mut first = self.first.lock().expect("nobody panics with it");
        first.get_or_insert_with(Instant::now);
        Ok(true)
    }
}

/// One rendition in memory.
#[derive(Debug)]
pub struct MemorySource {
    pub data: Bytes,
    pub outboard: Vec<u8>,
}

impl SpanSource for MemorySource {
    fn item(
        &self,
        _: ContentId,
        _: Geometry,
        item: Item,
        into: &mut Vec<u8>,
    ) -> Result<(), SourceError> {
        let (from, start) = match item {
            Item::Parent { outboard_offset } => (&self.outboard[..], outboard_offset),
            Item::Chunk { chunk, .. } => (&self.data[..], chunk.byte_offset()),
        };
        let start = usize::try_from(start).map_err(|_| SourceError::NotHeld)?;
        let bytes = from.get(start..start + item.bytes());
        into.extend_from_slice(bytes.ok_or(SourceError::NotHeld)?);
        Ok(())
    }
}

/// A source of nothing, for nodes that only fetch.
#[derive(Debug)]
pub struct NothingHeld;

impl SpanSource for NothingHeld {
    fn item(&self, _: ContentId, _: Geometry, _: Item, _: &mut Vec<u8>) -> Result<(), SourceError> {
        Err(SourceError::NotHeld)
    }
}
