//! Sets of chunks: what of a rendition is there, or still wanted.

use crate::chunk::{CHUNK_BYTES, ChunkIndex, Geometry, Span};

/// Chunks that one word of a set stands for.
const WORD_CHUNKS: u32 = u64::BITS;

/// A set of chunks of one rendition: what a node has, or still wants.
///
/// What is there from the start on without a gap, as of most tracks that were begun, takes no memory
/// of its own. Otherwise it is one bit a chunk, so a four-minute track at 160 kbit/s takes 40 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChunkSet {
    /// A bit for each chunk; no words at all if the set is the first `len` chunks.
    words: Box<[u64]>,
    chunk_count: u32,
    len: u32,
}

impl ChunkSet {
    /// No chunk of a rendition of this geometry.
    #[must_use]
    pub fn empty(geometry: Geometry) -> Self {
        Self {
            words: Box::default(),
            chunk_count: geometry.chunk_count(),
            len: 0,
        }
    }

    /// Every chunk.
    #[must_use]
    pub fn full(geometry: Geometry) -> Self {
        let len = geometry.chunk_count();
        Self {
            len,
            ..Self::empty(geometry)
        }
    }

    /// The first `chunks` chunks; all if there are no more.
    #[must_use]
    pub fn run(geometry: Geometry, chunks: u32) -> Self {
        let all = Self::full(geometry);
        let len = chunks.min(all.len);
        Self { len, ..all }
    }

    /// Whether it is the first so many chunks: none is missing before the last one that is there.
    #[must_use]
    pub const fn is_run(&self) -> bool {
        self.words.is_empty()
    }

    /// The words that stand for it, a bit for each chunk from the lowest on; none if it is a run.
    #[must_use]
    pub const fn words(&self) -> &[u64] {
        &self.words
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
        if self.is_run() {
            return chunk.0 < self.len;
        }
        self.word(chunk.0 / WORD_CHUNKS)
            .is_some_and(|word| word >> (chunk.0 % WORD_CHUNKS) & 1 == 1)
    }

    /// Whether every chunk of `span` is in the set.
    #[must_use]
    pub fn contains_span(&self, span: Span) -> bool {
        self.count_in(span) == span.count()
    }

    /// How many chunks of `span` are in the set.
    #[must_use]
    pub fn count_in(&self, span: Span) -> u32 {
        self.count_between(span.first(), span.end())
    }

    /// Adds `chunk`; true if it was not there. A chunk beyond the end is ignored.
    pub fn insert(&mut self, chunk: ChunkIndex) -> bool {
        self.insert_range(chunk, ChunkIndex(chunk.0.saturating_add(1))) == 1
    }

    /// Takes `chunk` out; true if it was there.
    pub fn remove(&mut self, chunk: ChunkIndex) -> bool {
        if !self.contains(chunk) {
            return false;
        }
        if self.is_run() && chunk.0 + 1 == self.len {
            self.len -= 1;
            return true;
        }
        self.flip(chunk);
        self.len -= 1;
        self.simplify();
        true
    }

    /// Adds every chunk of `span` that exists; how many of them were not there.
    pub fn insert_span(&mut self, span: Span) -> u32 {
        self.insert_range(span.first(), span.end())
    }

    /// Adds every chunk from `first` on and before `end` that exists; how many of them were not there.
    pub fn insert_range(&mut self, first: ChunkIndex, end: ChunkIndex) -> u32 {
        let (first, end) = (first.0, end.0.min(self.chunk_count));
        if first >= end {
            return 0;
        }
        if self.is_run() && first <= self.len {
            let new = end.saturating_sub(self.len);
            self.len += new;
            return new;
        }
        self.spread();
        let mut new = 0;
        for at in first / WORD_CHUNKS..end.div_ceil(WORD_CHUNKS) {
            let from = at * WORD_CHUNKS;
            let wanted = mask(end - from) & !mask(first.saturating_sub(from));
            if let Some(word) = self.words.get_mut(at as usize) {
                new += (wanted & !*word).count_ones();
                *word |= wanted;
            }
        }
        self.len += new;
        self.simplify();
        new
    }

    /// Bytes of the chunks in the set, of a rendition of this geometry.
    #[must_use]
    pub fn bytes(&self, geometry: Geometry) -> u64 {
        let last = ChunkIndex(geometry.chunk_count() - 1);
        let whole = u64::from(self.len) * CHUNK_BYTES;
        // Only the last one is shorter.
        let short = CHUNK_BYTES - geometry.chunk_bytes(last) as u64;
        whole - if self.contains(last) { short } else { 0 }
    }

    /// How many chunks from `first` on and before `end` are in the set.
    #[must_use]
    pub fn count_between(&self, first: ChunkIndex, end: ChunkIndex) -> u32 {
        if self.is_run() {
            return end.0.min(self.len).saturating_sub(first.0);
        }
        let words = first.0 / WORD_CHUNKS..end.0.min(self.chunk_count).div_ceil(WORD_CHUNKS);
        let among = words.map(|at| {
            let from = at * WORD_CHUNKS;
            let asked = mask(end.0.saturating_sub(from)) & !mask(first.0.saturating_sub(from));
            self.word(at).map_or(0, |word| (word & asked).count_ones())
        });
        among.sum()
    }

    /// The first chunk at or after `from` that is not in the set.
    #[must_use]
    pub fn first_missing(&self, from: ChunkIndex) -> Option<ChunkIndex> {
        if self.is_run() {
            let missing = from.0.max(self.len);
            return (missing < self.chunk_count).then_some(ChunkIndex(missing));
        }
        self.first_bit(from, |word| !word)
    }

    /// The first chunk at or after `from` that is in the set.
    #[must_use]
    pub fn first_present(&self, from: ChunkIndex) -> Option<ChunkIndex> {
        if self.is_run() {
            return (from.0 < self.len).then_some(from);
        }
        self.first_bit(from, |word| word)
    }

    fn first_bit(&self, from: ChunkIndex, look: impl Fn(u64) -> u64) -> Option<ChunkIndex> {
        let mut index = from.0;
        while index < self.chunk_count {
            let word = self.word(index / WORD_CHUNKS)?;
            let found = look(word) >> (index % WORD_CHUNKS);
            if found != 0 {
                let found = index + found.trailing_zeros();
                return (found < self.chunk_count).then_some(ChunkIndex(found));
            }
            index = (index / WORD_CHUNKS + 1) * WORD_CHUNKS;
        }
        None
    }

    /// The bits of so many chunks from a multiple of them on.
    fn word(&self, at: u32) -> Option<u64> {
        if self.is_run() {
            let from = at.saturating_mul(WORD_CHUNKS);
            return (from < self.chunk_count).then(|| mask(self.len.saturating_sub(from)));
        }
        self.words.get(at as usize).copied()
    }

    /// Takes words, if there are none.
    fn spread(&mut self) {
        if self.is_run() {
            let words = 0..self.chunk_count.div_ceil(WORD_CHUNKS);
            self.words = words.filter_map(|at| self.word(at)).collect();
        }
    }

    fn flip(&mut self, chunk: ChunkIndex) {
        self.spread();
        if let Some(word) = self.words.get_mut((chunk.0 / WORD_CHUNKS) as usize) {
            *word ^= 1 << (chunk.0 % WORD_CHUNKS);
        }
    }

    /// Gives the words back if there is no gap any more.
    fn simplify(&mut self) {
        if self.present_until(ChunkIndex(0)).0 == self.len {
            self.words = Box::default();
        }
    }

    /// The end of the run of present chunks that starts at `from`; `from` itself if it is missing.
    #[must_use]
    pub fn present_until(&self, from: ChunkIndex) -> ChunkIndex {
        self.first_missing(from)
            .unwrap_or(ChunkIndex(self.chunk_count.max(from.0)))
    }

    /// The chunks in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = ChunkIndex> + '_ {
        let mut from = ChunkIndex(0);
        core::iter::from_fn(move || {
            let chunk = self.first_present(from)?;
            from = ChunkIndex(chunk.0 + 1);
            Some(chunk)
        })
    }
}

/// The lowest `count` bits; all from 64 on.
const fn mask(count: u32) -> u64 {
    if count >= WORD_CHUNKS {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::units::ByteCount;

    fn geometry(bytes: u64) -> Geometry {
        Geometry::new(ByteCount(bytes)).expect("a legal size")
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

    proptest! {
        #[test]
        fn a_set_behaves_like_a_set_of_numbers(
            count in 1_u32..300,
            steps in prop::collection::vec((any::<bool>(), 0_u32..320, 1_u32..=64), 0..60),
        ) {
            let mut set = ChunkSet::empty(geometry(u64::from(count) * CHUNK_BYTES));
            let mut model = BTreeSet::new();
            for (add, first, chunks) in steps {
                let span = Span::new(ChunkIndex(first), chunks).expect("legal");
                if add {
                    let before = model.len();
                    model.extend(span.chunks().filter(|chunk| chunk.0 < count));
                    let new = set.insert_span(span);
                    prop_assert_eq!(new as usize, model.len() - before);
                } else {
                    prop_assert_eq!(set.remove(span.first()), model.remove(&span.first()));
                }
                let inside = span.chunks().filter(|chunk| model.contains(chunk)).count();
                prop_assert_eq!(set.count_in(span) as usize, inside);
                prop_assert_eq!(set.contains_span(span), inside as u32 == chunks);
                let end = ChunkIndex(span.end().0.saturating_mul(3));
                let between = model.range(span.first()..end).count();
                prop_assert_eq!(set.count_between(span.first(), end) as usize, between);
                let present = model.range(span.first()..).next().copied();
                prop_assert_eq!(set.first_present(span.first()), present);
                let mut missing = (first..count).map(ChunkIndex).filter(|c| !model.contains(c));
                prop_assert_eq!(set.first_missing(span.first()), missing.next());
                prop_assert_eq!(set.len() as usize, model.len());
                let run = model.iter().zip(0..).all(|(chunk, at)| chunk.0 == at);
                prop_assert_eq!(set.is_run(), run);
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
            prop_assert_eq!(set.is_full(), model.len() == count as usize);
            let odd = geometry(u64::from(count) * CHUNK_BYTES - 5);
            let bytes = model.iter().map(|chunk| odd.chunk_bytes(*chunk) as u64);
            prop_assert_eq!(set.bytes(odd), bytes.sum::<u64>());
        }

        #[test]
        fn a_full_set_has_every_chunk_and_no_other(count in 1_u32..300) {
            let set = ChunkSet::full(geometry(u64::from(count) * CHUNK_BYTES));
            let begun = ChunkSet::run(geometry(u64::from(count) * CHUNK_BYTES), 10);
            prop_assert!(begun.is_run() && begun.iter().eq((0..count.min(10)).map(ChunkIndex)));
            prop_assert!(set.is_full());
            prop_assert!(set.iter().eq((0..count).map(ChunkIndex)));
            prop_assert!(!set.contains(ChunkIndex(count)));
        }
    }
}
