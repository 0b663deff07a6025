//! Chunks, spans and the arithmetic between them and bytes.
//!
//! A chunk is 16 KiB, the unit of verification. A span is 1 to 64 consecutive chunks, the unit of
//! a request. Not here: which chunks to ask for.

use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::limits::{RENDITION_BYTES_MAX, SPAN_CHUNKS_MAX};
use crate::units::ByteCount;

pub use crate::chunk_set::ChunkSet;

/// Bytes of a chunk: what the published design exchanged, and one BLAKE3 chunk group.
pub const CHUNK_BYTES: u64 = 16 * 1024;

/// The position of a chunk in its rendition.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ChunkIndex(pub u32);

impl ChunkIndex {
    /// The chunk that holds the byte at `offset`.
    #[must_use]
    pub const fn of_byte(offset: u64) -> Self {
        let index = offset / CHUNK_BYTES;
        Self(if index > u32::MAX as u64 {
            u32::MAX
        } else {
            index as u32
        })
    }

    /// The offset of the chunk's first byte.
    #[must_use]
    pub const fn byte_offset(self) -> u64 {
        self.0 as u64 * CHUNK_BYTES
    }
}

/// Consecutive chunks asked of one source in one request: 1 to 64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    first: u32,
    count: u32,
}

impl Span {
    /// A span, or nothing if `count` is not 1..=64 or the end does not fit.
    #[must_use]
    pub const fn new(first: ChunkIndex, count: u32) -> Option<Self> {
        if count == 0 || count > SPAN_CHUNKS_MAX || first.0.checked_add(count).is_none() {
            return None;
        }
        Some(Self {
            first: first.0,
            count,
        })
    }

    /// The first chunk.
    #[must_use]
    pub const fn first(self) -> ChunkIndex {
        ChunkIndex(self.first)
    }

    /// How many chunks, 1..=64.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The chunk after the last.
    #[must_use]
    pub const fn end(self) -> ChunkIndex {
        ChunkIndex(self.first + self.count)
    }

    /// Whether `chunk` is inside.
    #[must_use]
    pub const fn contains(self, chunk: ChunkIndex) -> bool {
        chunk.0 >= self.first && chunk.0 < self.first + self.count
    }

    /// The chunks, in order.
    pub fn chunks(self) -> impl DoubleEndedIterator<Item = ChunkIndex> + ExactSizeIterator {
        (self.first..self.first + self.count).map(ChunkIndex)
    }
}

/// The size of one rendition, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    size: ByteCount,
}

impl Geometry {
    /// The geometry of `size` bytes, or nothing if that is zero or over
    /// [`RENDITION_BYTES_MAX`].
    #[must_use]
    pub const fn new(size: ByteCount) -> Option<Self> {
        if size.0 == 0 || size.0 > RENDITION_BYTES_MAX.0 {
            return None;
        }
        Some(Self { size })
    }

    /// All bytes.
    #[must_use]
    pub const fn size(self) -> ByteCount {
        self.size
    }

    /// All chunks; at least one.
    #[must_use]
    pub const fn chunk_count(self) -> u32 {
        self.size.0.div_ceil(CHUNK_BYTES) as u32
    }

    /// Whether the whole span lies inside.
    #[must_use]
    pub const fn contains(self, span: Span) -> bool {
        span.end().0 <= self.chunk_count()
    }

    /// The bytes of `span` that exist: its last chunk may be short. Empty beyond the end.
    #[must_use]
    pub fn byte_range(self, span: Span) -> Range<u64> {
        let start = span.first().byte_offset().min(self.size.0);
        start..span.end().byte_offset().min(self.size.0)
    }

    /// How many bytes the chunks from `first` on and before `end` have, as far as they exist.
    #[must_use]
    pub fn bytes_between(self, first: ChunkIndex, end: ChunkIndex) -> u64 {
        let at = |chunk: ChunkIndex| chunk.byte_offset().min(self.size.0);
        at(end).saturating_sub(at(first))
    }

    /// The bytes of one chunk; zero beyond the end.
    #[must_use]
    pub fn chunk_bytes(self, chunk: ChunkIndex) -> usize {
        self.bytes_between(chunk, ChunkIndex(chunk.0.saturating_add(1))) as usize
    }
}

/// How a [`Span`] is written on the wire; checked on the way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct WireSpan {
    first: u32,
    count: u8,
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireSpan {
            first: self.first,
            count: self.count as u8,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireSpan::deserialize(deserializer)?;
        Self::new(ChunkIndex(wire.first), u32::from(wire.count))
            .ok_or_else(|| serde::de::Error::custom("a span has 1 to 64 chunks"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(bytes: u64) -> Geometry {
        Geometry::new(ByteCount(bytes)).expect("a legal size")
    }

    #[test]
    fn a_span_has_one_to_sixty_four_chunks() {
        assert!(Span::new(ChunkIndex(0), 0).is_none());
        assert!(Span::new(ChunkIndex(0), 65).is_none());
        assert!(Span::new(ChunkIndex(u32::MAX), 1).is_none());
        assert_eq!(
            Span::new(ChunkIndex(5), 64).map(Span::end),
            Some(ChunkIndex(69))
        );
    }

    #[test]
    fn the_last_chunk_may_be_short() {
        let geometry = geometry(CHUNK_BYTES * 2 + 1);
        assert_eq!(geometry.chunk_count(), 3);
        assert_eq!(geometry.chunk_bytes(ChunkIndex(2)), 1);
        assert_eq!(geometry.chunk_bytes(ChunkIndex(3)), 0);
        let span = Span::new(ChunkIndex(1), 2).expect("legal");
        assert_eq!(geometry.byte_range(span), CHUNK_BYTES..CHUNK_BYTES * 2 + 1);
    }
}
