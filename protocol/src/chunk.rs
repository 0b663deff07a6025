//! Chunks, spans and the arithmetic between them and bytes.
//!
//! A chunk is 16 KiB, the unit of verification. A span is 1 to 64 consecutive chunks, the unit of
//! a request. Not here: which chunks to ask for.

use core::ops::Range;

use serde::{Deserialize, Serialize};

use crate::limits::{RENDITION_BYTES_MAX, SPAN_CHUNKS_MAX};
use crate::units::ByteCount;

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

    /// The bytes of one chunk; zero beyond the end.
    #[must_use]
    pub fn chunk_bytes(self, chunk: ChunkIndex) -> usize {
        let start = chunk.byte_offset().min(self.size.0);
        ((start + CHUNK_BYTES).min(self.size.0) - start) as usize
    }
}

/// A set of chunks of one rendition: what a node has, or still wants.
///
/// One bit a chunk, so a four-minute track at 160 kbit/s takes 40 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChunkSet {
    words: Box<[u64]>,
    chunk_count: u32,
    len: u32,
}

impl ChunkSet {
    /// No chunk of a rendition of this geometry.
    #[must_use]
    pub fn empty(geometry: Geometry) -> Self {
        let chunk_count = geometry.chunk_count();
        Self {
            words: vec![0; (chunk_count as usize).div_ceil(64)].into_boxed_slice(),
            chunk_count,
            len: 0,
        }
    }

    /// Every chunk.
    #[must_use]
    pub fn full(geometry: Geometry) -> Self {
        let mut set = Self::empty(geometry);
        for index in 0..set.chunk_count {
            set.insert(ChunkIndex(index));
        }
        set
    }

    /// How many chunks are in the set.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether all are.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == self.chunk_count
    }

    /// How many chunks the rendition has.
    #[must_use]
    pub const fn chunk_count(&self) -> u32 {
        self.chunk_count
    }

    /// Whether `chunk` is in the set; chunks beyond the end never are.
    #[must_use]
    pub fn contains(&self, chunk: ChunkIndex) -> bool {
        self.words
            .get(chunk.0 as usize / 64)
            .is_some_and(|word| word >> (chunk.0 % 64) & 1 == 1)
    }

    /// Whether every chunk of `span` is in the set.
    #[must_use]
    pub fn contains_span(&self, span: Span) -> bool {
        span.chunks().all(|chunk| self.contains(chunk))
    }

    /// Adds `chunk`; true if it was not there. A chunk beyond the end is ignored.
    pub fn insert(&mut self, chunk: ChunkIndex) -> bool {
        if chunk.0 >= self.chunk_count {
            return false;
        }
        let Some(word) = self.words.get_mut(chunk.0 as usize / 64) else {
            return false;
        };
        let bit = 1_u64 << (chunk.0 % 64);
        let new = *word & bit == 0;
        *word |= bit;
        self.len += u32::from(new);
        new
    }

    /// Takes `chunk` out; true if it was there.
    pub fn remove(&mut self, chunk: ChunkIndex) -> bool {
        let Some(word) = self.words.get_mut(chunk.0 as usize / 64) else {
            return false;
        };
        let bit = 1_u64 << (chunk.0 % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        self.len -= u32::from(was);
        was
    }

    /// The first chunk at or after `from` that is not in the set.
    #[must_use]
    pub fn first_missing(&self, from: ChunkIndex) -> Option<ChunkIndex> {
        let mut index = from.0;
        while index < self.chunk_count {
            let word = self.words.get(index as usize / 64)?;
            let missing = !word >> (index % 64);
            if missing != 0 {
                let found = index + missing.trailing_zeros();
                return (found < self.chunk_count).then_some(ChunkIndex(found));
            }
            index = (index / 64 + 1) * 64;
        }
        None
    }

    /// The end of the run of present chunks that starts at `from`; `from` itself if it is missing.
    #[must_use]
    pub fn present_until(&self, from: ChunkIndex) -> ChunkIndex {
        self.first_missing(from)
            .unwrap_or(ChunkIndex(self.chunk_count.max(from.0)))
    }

    /// The chunks in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        (0..self.chunk_count)
            .map(ChunkIndex)
            .filter(|chunk| self.contains(*chunk))
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

    #[test]
    fn sets_count_what_they_hold() {
        let mut set = ChunkSet::empty(geometry(CHUNK_BYTES * 130));
        assert!(set.insert(ChunkIndex(64)) && !set.insert(ChunkIndex(64)));
        assert!(!set.insert(ChunkIndex(130)));
        assert_eq!(set.len(), 1);
        assert_eq!(set.first_missing(ChunkIndex(64)), Some(ChunkIndex(65)));
        assert_eq!(set.present_until(ChunkIndex(64)), ChunkIndex(65));
        assert!(set.remove(ChunkIndex(64)) && set.is_empty());
        let full = ChunkSet::full(geometry(CHUNK_BYTES * 130));
        assert!(full.is_full());
        assert_eq!(full.first_missing(ChunkIndex(0)), None);
        assert_eq!(full.present_until(ChunkIndex(3)), ChunkIndex(130));
    }
}
