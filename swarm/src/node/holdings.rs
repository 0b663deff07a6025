//! What this node has: complete renditions in 12 bytes each with their keys apart, incomplete ones with a bit a chunk.
//!
//! Not here: what peers have ([`crate::node::availability`]), what to evict
//! ([`crate::node::cache_policy`]).

use antiphon_protocol::peer::{EXTENT_BYTES_MAX, EXTENT_UNIT_CHUNKS, Extent};
use antiphon_protocol::{ChunkIndex, ChunkSet, Span};

use crate::key::RenditionKey;
use crate::limits::{HELD_MAX, INTRODUCED_MAX};
use crate::lot;
use crate::memory::{bring, bring_range};
use crate::node::complete::{Full, UsedAt};
use crate::node::input::{Keep, RenditionSpec, Restored};
use crate::time::{Duration, Instant};

/// Keys brought near before they are searched: most of what mostly is there. Guess.
const BROUGHT_KEYS: usize = 160;

/// A rendition that is known but not complete.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) key: RenditionKey,
    pub(crate) keep: Keep,
    /// Whether the tracker was told that some of it is here.
    pub(crate) announced: bool,
    used: UsedAt,
    pub(crate) spec: RenditionSpec,
    pub(crate) held: ChunkSet,
}

/// What adding chunks changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) new: u64,
    pub(crate) known: u64,
    /// Whether a unit that it touched is complete: only those are told of.
    pub(crate) unit: bool,
    pub(crate) completed: bool,
}

/// Everything this node has or was told of.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    /// The keys of `full`, by their [`lot`]: of hundreds one is looked for with each message of a peer.
    full_keys: Vec<RenditionKey>,
    full: Vec<Full>,
    /// The keys of `partial`, in order. Both are dense: they are looked for far more often than one is read.
    partial_keys: Vec<RenditionKey>,
    partial: Vec<Partial>,
    bytes: u64,
}

impl Holdings {
    /// Brings near the keys of what is incomplete.
    pub(crate) fn bring_partial(&self) {
        bring_range(&self.partial_keys, 0, BROUGHT_KEYS);
    }

    /// Brings near what is known of one if it is complete.
    pub(crate) fn bring_full(&self, key: RenditionKey) {
        lot::bring_near(&self.full_keys, key.0);
        lot::bring_near(&self.full, key.0);
    }

    /// Brings near what is known of one if it is incomplete; its key should be near already. Whether it is.
    pub(crate) fn bring_one(&self, key: RenditionKey) -> bool {
        let at = self.partial_at(key);
        at.iter().for_each(|at| bring(&self.partial, *at));
        at.is_ok()
    }

    /// Makes a rendition known. False if there is no room for it.
    pub(crate) fn introduce(
        &mut self,
        now: Instant,
        key: RenditionKey,
        spec: RenditionSpec,
    ) -> bool {
        if self.full_at(key).is_ok() {
            return true;
        }
        match self.partial_at(key) {
            Ok(at) => {
                let known = &mut self.partial[at];
                if known.spec.geometry == spec.geometry {
                    known.spec = spec;
                }
                known.used = UsedAt::new(now, Duration::ZERO);
            }
            Err(at) => self.insert_partial(
                at,
                Partial {
                    key,
                    keep: Keep::Cached,
                    announced: false,
                    used: UsedAt::new(now, Duration::ZERO),
                    spec,
                    held: ChunkSet::empty(spec.geometry),
                },
            ),
        }
        true
    }

    /// Forgets renditions of which nothing is held, unused longest first, down to the limit.
    /// `keep` says which must stay.
    pub(crate) fn forget_introduced(&mut self, keep: impl Fn(RenditionKey) -> bool) {
        if self.partial.len() <= INTRODUCED_MAX {
            return;
        }
        let empty = |p: &Partial| p.held.is_empty() && p.keep == Keep::Cached && !keep(p.key);
        let mut over = self
            .partial
            .iter()
            .filter(|p| p.held.is_empty())
            .count()
            .saturating_sub(INTRODUCED_MAX);
        while over > 0 {
            let oldest = self
                .partial
                .iter()
                .enumerate()
                .filter(|(_, p)| empty(p))
                .min_by_key(|(_, p)| (p.used, p.key))
                .map(|(at, _)| at);
            let Some(at) = oldest else { return };
            self.remove_partial(at);
            over -= 1;
        }
    }

    /// Adds a rendition found in the store at start. False if it was known or there is no room.
    pub(crate) fn restore(&mut self, now: Instant, restored: Restored) -> bool {
        let Restored {
            rendition: key,
            spec,
            held,
            idle,
            keep,
        } = restored;
        let chunks = spec.geometry.chunk_count();
        let fits = held.as_ref().is_none_or(|h| h.chunk_count() == chunks);
        let Err(place) = self.full_place(key) else {
            return false;
        };
        if self.len() >= HELD_MAX || !fits {
            return false;
        }
        let used = UsedAt::new(now, idle);
        let known = self.partial_at(key);
        if known.is_ok_and(|at| !self.partial[at].held.is_empty()) {
            return false;
        }
        if let Ok(at) = known {
            self.remove_partial(at);
        }
        let Some(held) = held.filter(|held| !held.is_full()) else {
            self.bytes += spec.geometry.size().0;
            self.insert_full(place, key, Full::new(spec, used, keep));
            return true;
        };
        self.bytes += held.bytes(spec.geometry);
        let at = self.partial_at(key).unwrap_or_else(|at| at);
        let announced = false;
        self.insert_partial(
            at,
            Partial {
                key,
                keep,
                announced,
                used,
                spec,
                held,
            },
        );
        true
    }

    /// Makes room for so many more complete renditions.
    pub(crate) fn expect_full(&mut self, more: usize) {
        let more = more.min(HELD_MAX.saturating_sub(self.full.len()));
        self.full_keys.reserve_exact(more);
        self.full.reserve_exact(more);
    }

    /// Adds verified chunks of a known rendition.
    pub(crate) fn add(&mut self, key: RenditionKey, from: u32, until: u32) -> Added {
        let (first, end) = (ChunkIndex(from), ChunkIndex(until));
        let mut added = Added::default();
        let Ok(at) = self.partial_at(key) else {
            if let Some(spec) = self.spec(key) {
                added.known = spec.geometry.bytes_between(first, end);
            }
            return added;
        };
        let partial = &mut self.partial[at];
        let geometry = partial.spec.geometry;
        let before = partial.held.bytes(geometry);
        partial.held.insert_range(first, end);
        added.new = partial.held.bytes(geometry) - before;
        added.known = geometry.bytes_between(first, end) - added.new;
        self.bytes += added.new;
        let mut units = from / EXTENT_UNIT_CHUNKS..until.div_ceil(EXTENT_UNIT_CHUNKS);
        added.unit = units.any(|unit| has_unit(&partial.held, unit));
        if partial.held.is_full() {
            added.completed = true;
            let done = self.remove_partial(at);
            let place = self.full_at(key).unwrap_or_else(|place| place);
            self.insert_full(place, key, Full::new(done.spec, done.used, done.keep));
        }
        added
    }

    /// Chunks turned out gone. True if the rendition is known.
    pub(crate) fn lose(&mut self, key: RenditionKey, span: Span) -> bool {
        if let Ok(at) = self.full_at(key) {
            if span.first().0 >= self.full[at].spec().geometry.chunk_count() {
                return true;
            }
            let full = self.remove_full(at);
            let spec = full.spec();
            let at = self.partial_at(key).unwrap_or_else(|at| at);
            self.insert_partial(
                at,
                Partial {
                    key,
                    keep: full.keep(),
                    announced: false,
                    used: full.used(),
                    spec,
                    held: ChunkSet::full(spec.geometry),
                },
            );
        }
        let Ok(at) = self.partial_at(key) else {
            return false;
        };
        let partial = &mut self.partial[at];
        for chunk in span.chunks() {
            if partial.held.remove(chunk) {
                self.bytes -= partial.spec.geometry.chunk_bytes(chunk) as u64;
            }
        }
        true
    }

    /// Drops a rendition and everything known of it.
    pub(crate) fn remove(&mut self, key: RenditionKey) {
        if let Ok(at) = self.full_at(key) {
            self.bytes -= u64::from(self.remove_full(at).bytes);
        } else if let Ok(at) = self.partial_at(key) {
            let partial = self.remove_partial(at);
            self.bytes -= partial.held.bytes(partial.spec.geometry);
        }
    }

    /// Marks a rendition as used now.
    pub(crate) fn touch(&mut self, now: Instant, key: RenditionKey) {
        let used = UsedAt::new(now, Duration::ZERO);
        if let Ok(at) = self.full_at(key) {
            let full = &mut self.full[at];
            full.set_used(used);
        } else if let Ok(at) = self.partial_at(key) {
            self.partial[at].used = used;
        }
    }

    /// Keeps a rendition as firmly as said. False if it is unknown.
    pub(crate) fn keep(&mut self, key: RenditionKey, keep: Keep) -> bool {
        if let Ok(at) = self.full_at(key) {
            let full = &mut self.full[at];
            full.set_keep(keep);
        } else if let Ok(at) = self.partial_at(key) {
            self.partial[at].keep = keep;
        } else {
            return false;
        }
        true
    }

    /// How firmly a rendition is kept.
    pub(crate) fn keep_of(&self, key: RenditionKey) -> Keep {
        match self.full_at(key) {
            Ok(at) => self.full[at].keep(),
            Err(_) => self.partial(key).map_or(Keep::Cached, |p| p.keep),
        }
    }

    /// Bytes that what is kept for others takes or will take.
    pub(crate) fn placed_bytes(&self) -> u64 {
        let placed = |keep: Keep| keep == Keep::Placed;
        let full = self.full.iter().filter(|full| placed(full.keep()));
        let partial = self.partial.iter().filter(|p| placed(p.keep));
        full.map(|full| u64::from(full.bytes)).sum::<u64>()
            + partial.map(|p| p.spec.geometry.size().0).sum::<u64>()
    }

    /// What is kept for others and was of no use to anybody for longest, if that is `idle`.
    pub(crate) fn longest_unused_placed(
        &self,
        now: Instant,
        idle: Duration,
    ) -> Option<RenditionKey> {
        let since = UsedAt::new(now, idle);
        let placed = self.kept().filter(|(keep, ..)| *keep == Keep::Placed);
        let unused = placed.filter(|(_, used, _)| *used <= since);
        unused
            .map(|(_, used, key)| (used, key))
            .min()
            .map(|(_, key)| key)
    }

    pub(crate) fn set_announced(&mut self, key: RenditionKey) {
        if let Ok(at) = self.partial_at(key) {
            self.partial[at].announced = true;
        }
    }

    pub(crate) fn spec(&self, key: RenditionKey) -> Option<RenditionSpec> {
        // Of those there are few.
        if let Some(partial) = self.partial(key) {
            return Some(partial.spec);
        }
        self.full_at(key).ok().map(|at| self.full[at].spec())
    }

    pub(crate) fn is_full(&self, key: RenditionKey) -> bool {
        self.full_at(key).is_ok()
    }

    pub(crate) fn partial(&self, key: RenditionKey) -> Option<&Partial> {
        self.partial_at(key).ok().map(|at| &self.partial[at])
    }

    /// The bytes of `span`, if all of it is here, and how firmly its rendition is kept.
    pub(crate) fn held_span(&self, key: RenditionKey, span: Span) -> Option<(u64, Keep)> {
        let (geometry, keep) = if let Ok(at) = self.full_at(key) {
            let full = self.full[at];
            (full.spec().geometry, full.keep())
        } else {
            let partial = self.partial(key)?;
            let holds = partial.held.contains_span(span);
            (holds.then_some(partial.spec.geometry)?, partial.keep)
        };
        let range = geometry.contains(span).then(|| geometry.byte_range(span))?;
        Some((range.end - range.start, keep))
    }

    /// What can be served of it, in the words of the wire.
    pub(crate) fn extent(&self, key: RenditionKey) -> Extent {
        if self.is_full(key) {
            return Extent::Full;
        }
        match self.partial(key).map(|partial| unit_map(&partial.held)) {
            Some(units) if !units.is_empty() => Extent::Partial(units),
            _ => Extent::Gone,
        }
    }

    /// Units of a partial rendition that are complete.
    pub(crate) fn units(&self, key: RenditionKey) -> u32 {
        match self.partial(key) {
            Some(p) if p.held.len() >= EXTENT_UNIT_CHUNKS => {
                complete_units(&p.held).map(|_| 1).sum()
            }
            _ => 0,
        }
    }

    /// Bytes held.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let sets = self.partial.iter().map(|p| size_of_val(p.held.words()));
        self.full.capacity() * (size_of::<Full>() + size_of::<RenditionKey>())
            + self.partial.capacity() * (size_of::<Partial>() + size_of::<RenditionKey>())
            + sets.sum::<usize>()
    }

    /// Renditions that are complete.
    pub(crate) fn complete(&self) -> usize {
        self.full.len()
    }

    /// Renditions of which something is held or known.
    pub(crate) fn len(&self) -> usize {
        self.full.len() + self.partial.len()
    }

    /// Complete renditions, in no order that means anything.
    pub(crate) fn full_keys(&self) -> impl Iterator<Item = RenditionKey> + '_ {
        self.full_keys.iter().copied()
    }

    /// Incomplete renditions, in key order.
    pub(crate) fn partials(&self) -> impl Iterator<Item = &Partial> + '_ {
        self.partial.iter()
    }

    /// What may be evicted, with its time of use: everything held that is kept no firmer than
    /// said.
    pub(crate) fn evictable(
        &self,
        firmest: Keep,
    ) -> impl Iterator<Item = (UsedAt, RenditionKey)> + '_ {
        let evictable = self.kept().filter(move |(keep, ..)| *keep <= firmest);
        evictable.map(|(_, used, key)| (used, key))
    }

    /// Everything of which something is held.
    fn kept(&self) -> impl Iterator<Item = (Keep, UsedAt, RenditionKey)> + '_ {
        let full = self.full.iter().zip(&self.full_keys);
        let partial = self.partial.iter().filter(|p| !p.held.is_empty());
        full.map(|(full, key)| (full.keep(), full.used(), *key))
            .chain(partial.map(|p| (p.keep, p.used, p.key)))
    }

    /// What is wrong with the tables, if anything.
    pub(crate) fn check(&self) -> Result<(), String> {
        let lots = self.full_keys.iter().map(|key| lot::lot(key.0));
        let sorted = lots.is_sorted_by(|a, b| a < b)
            && self.full_keys.len() == self.full.len()
            && self.partial.is_sorted_by(|a, b| a.key < b.key);
        let bytes: u64 = self
            .full
            .iter()
            .map(|full| u64::from(full.bytes))
            .sum::<u64>()
            + self
                .partial
                .iter()
                .map(|p| p.held.bytes(p.spec.geometry))
                .sum::<u64>();
        let keyed = self
            .partial_keys
            .iter()
            .eq(self.partial.iter().map(|p| &p.key));
        if !sorted || !keyed {
            return Err("holdings are out of order".to_owned());
        }
        if bytes != self.bytes {
            return Err(format!("{bytes} bytes are held, {} accounted", self.bytes));
        }
        if let Some(p) = self
            .partial
            .iter()
            .find(|p| p.held.is_full() || self.is_full(p.key))
        {
            return Err(format!("{:?} is complete and listed as incomplete", p.key));
        }
        Ok(())
    }

    /// Room is made by an eighth, not by doubling: a million simulated caches grow.
    fn insert_full(&mut self, at: usize, key: RenditionKey, full: Full) {
        if self.full.len() == self.full.capacity() {
            let more = self.full.len() / 8 + 4;
            self.full_keys.reserve_exact(more);
            self.full.reserve_exact(more);
        }
        self.full_keys.insert(at, key);
        self.full.insert(at, full);
    }

    fn remove_full(&mut self, at: usize) -> Full {
        self.full_keys.remove(at);
        self.full.remove(at)
    }

    fn full_at(&self, key: RenditionKey) -> Result<usize, usize> {
        lot::find(&self.full_keys, key.0, |key| key.0)
    }

    /// The same, at once if that is behind all others, as it is of each when a store is listed in this order.
    fn full_place(&self, key: RenditionKey) -> Result<usize, usize> {
        let last = self.full_keys.last().map(|last| lot::lot(last.0));
        if last.is_none_or(|last| last < lot::lot(key.0)) {
            return Err(self.full_keys.len());
        }
        self.full_at(key)
    }

    fn partial_at(&self, key: RenditionKey) -> Result<usize, usize> {
        self.partial_keys.binary_search(&key)
    }

    fn insert_partial(&mut self, at: usize, partial: Partial) {
        if self.partial.len() == self.partial.capacity() {
            let more = self.partial.len() / 4 + 2;
            self.partial.reserve_exact(more);
            self.partial_keys.reserve_exact(more);
        }
        self.partial_keys.insert(at, partial.key);
        self.partial.insert(at, partial);
    }

    fn remove_partial(&mut self, at: usize) -> Partial {
        self.partial_keys.remove(at);
        self.partial.remove(at)
    }
}

/// The units of chunks that are all held.
fn complete_units(held: &ChunkSet) -> impl Iterator<Item = u32> + '_ {
    let units = held.chunk_count().div_ceil(EXTENT_UNIT_CHUNKS);
    (0..units.min(EXTENT_BYTES_MAX as u32 * 8)).filter(|unit| has_unit(held, *unit))
}

fn has_unit(held: &ChunkSet, unit: u32) -> bool {
    let first = unit.saturating_mul(EXTENT_UNIT_CHUNKS);
    let end = first.saturating_add(EXTENT_UNIT_CHUNKS);
    let end = end.min(held.chunk_count());
    first < end && held.present_until(ChunkIndex(first)).0 >= end
}

/// One bit a unit of chunks that are all held; no trailing zero bytes.
fn unit_map(held: &ChunkSet) -> Vec<u8> {
    let mut map = Vec::new();
    for unit in complete_units(held) {
        let byte = unit as usize / 8;
        map.resize(map.len().max(byte + 1), 0);
        if let Some(byte) = map.get_mut(byte) {
            *byte |= 1 << (unit % 8);
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::{BitRate, ByteCount, Geometry};

    use super::*;

    const R: RenditionKey = RenditionKey(1);

    fn spec(chunks: u64) -> RenditionSpec {
        let size = ByteCount((chunks - 1) * antiphon_protocol::CHUNK_BYTES + 1);
        let geometry = Geometry::new(size).expect("legal");
        let bit_rate = BitRate(160_000);
        RenditionSpec { geometry, bit_rate }
    }

    #[test]
    fn completing_and_losing_keeps_size_rate_and_account() {
        let mut holdings = Holdings::default();
        holdings.introduce(Instant::START, R, spec(40));
        assert!(!holdings.add(R, 0, 39).completed);
        assert_eq!(holdings.extent(R), Extent::Partial(vec![0b11]));
        let last = holdings.add(R, 38, 40);
        assert_eq!((last.new, last.known, last.completed), (1, 16_384, true));
        assert_eq!(holdings.spec(R), Some(spec(40)));
        let span = Span::new(ChunkIndex(0), 1).expect("legal");
        assert_eq!(holdings.held_span(R, span), Some((16_384, Keep::Cached)));
        assert!(holdings.lose(R, span) && holdings.held_span(R, span).is_none());
        assert_eq!(holdings.units(R), 2, "the short last unit counts");
        assert_eq!(holdings.bytes(), 38 * 16_384 + 1);
        holdings.check().expect("sound");
        holdings.remove(R);
        assert_eq!((holdings.bytes(), holdings.len()), (0, 0));
    }

    #[test]
    fn only_unused_introductions_are_forgotten() {
        let mut holdings = Holdings::default();
        for key in 0..INTRODUCED_MAX as u32 + 20 {
            let now = Instant::START + Duration::from_secs(u64::from(key) * 10);
            holdings.introduce(now, RenditionKey(key), spec(4));
        }
        holdings.add(RenditionKey(0), 0, 1);
        holdings.forget_introduced(|key| key == RenditionKey(1));
        assert!(holdings.spec(RenditionKey(0)).is_some() && holdings.spec(R).is_some());
        assert!(holdings.spec(RenditionKey(2)).is_none());
        assert_eq!(holdings.len(), INTRODUCED_MAX + 1);
    }
}
