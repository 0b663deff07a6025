//! Sets of chunks: what of a rendition is there, or still wanted.

use crate::chunk::{CHUNK_BYTES, ChunkIndex, Geometry, Span};

/// Chunks that one word of a set stands for.
const WORD_CHUNKS: u32 = u64::BITS;

/// A set of chunks of one rendition: what a node has, or still wants.
///
/// A stretch from the start on and one more, which is what of most tracks is there, take no memory of their own.
/// Otherwise it is one bit a chunk, so a four-minute track at 160 kbit/s takes 40 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChunkSet(Shape);

/// As `Runs` whenever that can be, so that equal sets are of equal shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Shape {
    Runs(Runs),
    Words(Words),
}

/// The chunks before `head`, and those from `first` on and before `end`. None of the latter is `0..0`; else
/// something is missing before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Runs {
    chunk_count: u32,
    head: u32,
    first: u32,
    end: u32,
}

/// A bit for each chunk, from the lowest on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Words {
    words: Box<[u64]>,
    len: u32,
    chunk_count: u32,
}

/// There are dozens for each of a million simulated nodes.
const _: () = assert!(size_of::<ChunkSet>() <= 24);

impl ChunkSet {
    /// No chunk of a rendition of this geometry.
    #[must_use]
    pub fn empty(geometry: Geometry) -> Self {
        Self::run(geometry, 0)
    }

    /// Every chunk.
    #[must_use]
    pub fn full(geometry: Geometry) -> Self {
        Self::run(geometry, u32::MAX)
    }

    /// The first `chunks` chunks; all if there are no more.
    #[must_use]
    pub fn run(geometry: Geometry, chunks: u32) -> Self {
        let chunk_count = geometry.chunk_count();
        Self(Shape::Runs(Runs {
            chunk_count,
            head: chunks.min(chunk_count),
            first: 0,
            end: 0,
        }))
    }

    /// Whether it is the first so many chunks: none is missing before the last one that is there.
    #[must_use]
    pub const fn is_run(&self) -> bool {
        matches!(&self.0, Shape::Runs(runs) if runs.end == 0)
    }

    /// The words that stand for it, a bit for each chunk from the lowest on; none if it takes no memory of its own.
    #[must_use]
    pub const fn words(&self) -> &[u64] {
        match &self.0 {
            Shape::Runs(_) => &[],
            Shape::Words(words) => &words.words,
        }
    }

    /// How many chunks are in the set.
    #[must_use]
    pub const fn len(&self) -> u32 {
        match &self.0 {
            Shape::Runs(runs) => runs.head + (runs.end - runs.first),
            Shape::Words(words) => words.len,
        }
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all are.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len() == self.chunk_count()
    }

    /// How many chunks the rendition has.
    #[must_use]
    pub const fn chunk_count(&self) -> u32 {
        match &self.0 {
            Shape::Runs(runs) => runs.chunk_count,
            Shape::Words(words) => words.chunk_count,
        }
    }

    /// Whether `chunk` is in the set; chunks beyond the end never are.
    #[must_use]
    pub fn contains(&self, chunk: ChunkIndex) -> bool {
        match &self.0 {
            Shape::Runs(runs) => chunk.0 < runs.head || runs.first <= chunk.0 && chunk.0 < runs.end,
            Shape::Words(words) => words.contains(chunk.0),
        }
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
        let mut words = self.spread();
        words.remove(chunk.0);
        self.0 = words.simplest();
        true
    }

    /// Adds every chunk of `span` that exists; how many of them were not there.
    pub fn insert_span(&mut self, span: Span) -> u32 {
        self.insert_range(span.first(), span.end())
    }

    /// Adds every chunk from `first` on and before `end` that exists; how many of them were not there.
    pub fn insert_range(&mut self, first: ChunkIndex, end: ChunkIndex) -> u32 {
        let (first, end) = (first.0, end.0.min(self.chunk_count()));
        if first >= end {
            return 0;
        }
        let before = self.len();
        if let Shape::Runs(runs) = &mut self.0
            && let Some(with) = runs.with(first, end)
        {
            *runs = with;
        } else {
            let mut words = self.spread();
            words.insert(first, end);
            self.0 = words.simplest();
        }
        self.len() - before
    }

    /// Bytes of the chunks in the set, of a rendition of this geometry.
    #[must_use]
    pub fn bytes(&self, geometry: Geometry) -> u64 {
        let last = ChunkIndex(geometry.chunk_count() - 1);
        let whole = u64::from(self.len()) * CHUNK_BYTES;
        // Only the last one is shorter.
        let short = CHUNK_BYTES - geometry.chunk_bytes(last) as u64;
        whole - if self.contains(last) { short } else { 0 }
    }

    /// How many chunks from `first` on and before `end` are in the set.
    #[must_use]
    pub fn count_between(&self, first: ChunkIndex, end: ChunkIndex) -> u32 {
        let (first, end) = (first.0, end.0);
        match &self.0 {
            Shape::Runs(runs) => {
                let behind = runs.end.min(end).saturating_sub(runs.first.max(first));
                runs.head.min(end).saturating_sub(first) + behind
            }
            Shape::Words(words) => words.count_between(first, end),
        }
    }

    /// The first chunk at or after `from` that is not in the set.
    #[must_use]
    pub fn first_missing(&self, from: ChunkIndex) -> Option<ChunkIndex> {
        let missing = match &self.0 {
            Shape::Runs(runs) => {
                let behind = from.0.max(runs.head);
                let inside = runs.first <= behind && behind < runs.end;
                let missing = if inside { runs.end } else { behind };
                (missing < runs.chunk_count).then_some(missing)
            }
            Shape::Words(words) => words.first_bit(from.0, |word| !word),
        };
        missing.map(ChunkIndex)
    }

    /// The first chunk at or after `from` that is in the set.
    #[must_use]
    pub fn first_present(&self, from: ChunkIndex) -> Option<ChunkIndex> {
        let present = match &self.0 {
            Shape::Runs(runs) if from.0 < runs.head => Some(from.0),
            Shape::Runs(runs) => (from.0 < runs.end).then_some(from.0.max(runs.first)),
            Shape::Words(words) => words.first_bit(from.0, |word| word),
        };
        present.map(ChunkIndex)
    }

    /// The end of the run of present chunks that starts at `from`; `from` itself if it is missing.
    #[must_use]
    pub fn present_until(&self, from: ChunkIndex) -> ChunkIndex {
        self.first_missing(from)
            .unwrap_or(ChunkIndex(self.chunk_count().max(from.0)))
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

    /// The same set by words. What is left here has to be replaced.
    fn spread(&mut self) -> Words {
        match &mut self.0 {
            Shape::Runs(runs) => runs.spread(),
            Shape::Words(words) => Words {
                words: core::mem::take(&mut words.words),
                ..*words
            },
        }
    }
}

impl Runs {
    /// With the chunks from `first` on and before `end`, which are some, unless that leaves three runs.
    fn with(self, first: u32, end: u32) -> Option<Self> {
        if first <= self.head {
            let head = self.head.max(end);
            return Some(Self { head, ..self }.joined());
        }
        let (first, end) = if self.end == 0 {
            (first, end)
        } else if first <= self.end && self.first <= end {
            (first.min(self.first), end.max(self.end))
        } else {
            return None;
        };
        Some(Self { first, end, ..self })
    }

    /// One run in place of two that meet.
    fn joined(self) -> Self {
        if self.first > self.head {
            return self;
        }
        Self {
            head: self.head.max(self.end),
            first: 0,
            end: 0,
            ..self
        }
    }

    fn spread(self) -> Words {
        let mut words = Words {
            words: vec![0; self.chunk_count.div_ceil(WORD_CHUNKS) as usize].into(),
            len: 0,
            chunk_count: self.chunk_count,
        };
        words.insert(0, self.head);
        words.insert(self.first, self.end);
        words
    }
}

impl Words {
    fn contains(&self, chunk: u32) -> bool {
        let word = self.words.get((chunk / WORD_CHUNKS) as usize);
        word.is_some_and(|word| word >> (chunk % WORD_CHUNKS) & 1 == 1)
    }

    fn insert(&mut self, first: u32, end: u32) {
        for at in first / WORD_CHUNKS..end.div_ceil(WORD_CHUNKS) {
            let wanted = between(at, first, end);
            if let Some(word) = self.words.get_mut(at as usize) {
                self.len += (wanted & !*word).count_ones();
                *word |= wanted;
            }
        }
    }

    /// Takes out a chunk that is there.
    fn remove(&mut self, chunk: u32) {
        if let Some(word) = self.words.get_mut((chunk / WORD_CHUNKS) as usize) {
            *word &= !(1 << (chunk % WORD_CHUNKS));
            self.len -= 1;
        }
    }

    fn count_between(&self, first: u32, end: u32) -> u32 {
        let words = first / WORD_CHUNKS..end.min(self.chunk_count).div_ceil(WORD_CHUNKS);
        let among = words.map(|at| {
            let word = self.words.get(at as usize).copied().unwrap_or_default();
            (word & between(at, first, end)).count_ones()
        });
        among.sum()
    }

    fn first_bit(&self, from: u32, look: impl Fn(u64) -> u64) -> Option<u32> {
        let mut index = from;
        while index < self.chunk_count {
            let word = *self.words.get((index / WORD_CHUNKS) as usize)?;
            let found = look(word) >> (index % WORD_CHUNKS);
            if found != 0 {
                let found = index + found.trailing_zeros();
                return (found < self.chunk_count).then_some(found);
            }
            index = (index / WORD_CHUNKS + 1) * WORD_CHUNKS;
        }
        None
    }

    /// The end of the run that starts at `from`, which may be empty.
    fn run_end(&self, from: u32) -> u32 {
        let missing = self.first_bit(from, |word| !word);
        missing.unwrap_or(self.chunk_count)
    }

    /// Without words, if it is no more than two runs.
    fn simplest(self) -> Shape {
        let head = self.run_end(0);
        let runs = Runs {
            chunk_count: self.chunk_count,
            head,
            first: 0,
            end: 0,
        };
        if head == self.len {
            return Shape::Runs(runs);
        }
        let Some(first) = self.first_bit(head, |word| word) else {
            return Shape::Words(self);
        };
        let end = self.run_end(first);
        if head + (end - first) == self.len {
            return Shape::Runs(Runs { first, end, ..runs });
        }
        Shape::Words(self)
    }
}

/// The bits of the chunks from `first` on and before `end` in the word at `at`.
const fn between(at: u32, first: u32, end: u32) -> u64 {
    let from = at * WORD_CHUNKS;
    mask(end.saturating_sub(from)) & !mask(first.saturating_sub(from))
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
            let mut again = ChunkSet::empty(geometry(u64::from(count) * CHUNK_BYTES));
            for chunk in model.iter().rev() {
                again.insert(*chunk);
            }
            prop_assert_eq!(&set, &again);
            let runs = model.iter().filter(|chunk| {
                chunk.0 == 0 || !model.contains(&ChunkIndex(chunk.0 - 1))
            });
            let headed = usize::from(model.contains(&ChunkIndex(0)));
            prop_assert_eq!(set.words().is_empty(), runs.count() <= 1 + headed);
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
