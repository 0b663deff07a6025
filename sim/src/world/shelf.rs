//! What a user's disk holds, in 8 bytes a track while they are offline.
//!
//! It mirrors the holdings of the core, which does not tell them, and adds where each chunk came
//! from. Not here: what to keep; the core decides.

use core::ops::Range;

use antiphon_protocol::{CHUNK_BYTES, ChunkIndex, ChunkSet, Geometry};
use antiphon_swarm::lot;
use antiphon_swarm::memory::{bring, bring_range};
use antiphon_swarm::node::input::Keep;

/// Tracks in use at a time: the play and what follows it.
const IN_USE: usize = 2;

/// A track of which something is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) track: u32,
    /// Seconds from the start of the run to the last use, whether it is kept for others, and
    /// whether all of it is there.
    packed: i32,
}

const FULL: i32 = 1;
const PLACED: i32 = 2;

impl Held {
    const fn new(track: u32, second: i32, flags: i32) -> Self {
        let packed = second << 2 | flags;
        Self { track, packed }
    }

    pub(super) const fn used(self) -> i32 {
        self.packed >> 2
    }

    pub(super) const fn is_full(self) -> bool {
        self.packed & FULL != 0
    }

    pub(super) const fn keep(self) -> Keep {
        if self.packed & PLACED == 0 {
            Keep::Cached
        } else {
            Keep::Placed
        }
    }
}

/// A track that is not in use and of which the first chunks are held: dozens of them wait on each disk.
#[derive(Clone, Copy, Debug)]
struct Begun {
    track: u32,
    chunks: u32,
}

/// A track that is in use, or has gaps, by chunk.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) track: u32,
    pub(super) held: ChunkSet,
    /// Whether it is among the tracks of which something is held.
    listed: bool,
    /// Only of a track in use.
    fetched: Option<Fetched>,
}

/// Chunks fetched since the track came into use.
#[derive(Clone, Debug)]
struct Fetched {
    from_peers: ChunkSet,
    from_origin: ChunkSet,
}

/// Bytes that came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Added {
    pub(super) new: u64,
    pub(super) known: u64,
}

/// Who sent a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Peer,
    Origin,
}

impl Part {
    /// Bytes of those from `from` to `until` that came since the track came into use: from peers, and
    /// from the origin.
    pub(super) fn fetched(&self, from: u64, until: u64) -> (u64, u64) {
        self.fetched.as_ref().map_or((0, 0), |fetched| {
            let of = |set| bytes_among(set, from, until);
            (of(&fetched.from_peers), of(&fetched.from_origin))
        })
    }

    /// Chunks came: bytes of those that are new.
    fn add(&mut self, chunks: Range<u32>, sender: Sender, geometry: Geometry) -> u64 {
        let (mut at, end) = (ChunkIndex(chunks.start), ChunkIndex(chunks.end));
        let mut new = 0;
        while let Some(first) = self.held.first_missing(at).filter(|first| *first < end) {
            let next = self.held.first_present(first);
            let until = next.map_or(end, |next| next.min(end));
            self.held.insert_range(first, until);
            let fetched = self.fetched.get_or_insert_with(|| Fetched {
                from_peers: ChunkSet::empty(geometry),
                from_origin: ChunkSet::empty(geometry),
            });
            match sender {
                Sender::Peer => fetched.from_peers.insert_range(first, until),
                Sender::Origin => fetched.from_origin.insert_range(first, until),
            };
            new += geometry.bytes_between(first, until);
            at = until;
        }
        new
    }
}

/// Bytes of the chunks in `set` that lie from `from` to `until`, as of a rendition that is longer.
fn bytes_among(set: &ChunkSet, from: u64, until: u64) -> u64 {
    if from >= until {
        return 0;
    }
    let (first, last) = (ChunkIndex::of_byte(from), ChunkIndex::of_byte(until - 1));
    let end = ChunkIndex(last.0 + 1);
    let outside = |chunk, bytes| if set.contains(chunk) { bytes } else { 0 };
    u64::from(set.count_between(first, end)) * CHUNK_BYTES
        - outside(first, from - first.byte_offset())
        - outside(last, end.byte_offset() - until)
}

/// One user's disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    /// By the lots of the tracks.
    held: Vec<Held>,
    /// The same.
    begun: Vec<Begun>,
    /// Those in use come last.
    parts: Vec<Part>,
    /// To be kept for others once something of it is there.
    placing: Vec<u32>,
}

impl Shelf {
    /// One with complete tracks, each once, given with the second of their last use.
    pub(super) fn of_full(tracks: Vec<(u32, i32)>) -> Self {
        let held = tracks.into_iter();
        let held = held.map(|(track, second)| Held::new(track, second, FULL));
        let mut held: Vec<Held> = held.collect();
        held.sort_unstable_by_key(|held| lot::lot(held.track));
        held.shrink_to_fit();
        Self {
            held,
            ..Self::default()
        }
    }

    /// Brings near what is in use.
    pub(super) fn bring_parts(&self) {
        bring_range(&self.parts, self.parts.len().saturating_sub(IN_USE), IN_USE);
    }

    /// After [`Shelf::bring_parts`]: which chunks of that there are.
    pub(super) fn bring_chunks(&self) {
        for part in self.parts.iter().rev().take(IN_USE) {
            bring(part.held.words(), 0);
            for fetched in part.fetched.iter() {
                bring(fetched.from_peers.words(), 0);
                bring(fetched.from_origin.words(), 0);
            }
        }
    }

    pub(super) fn tracks(&self) -> &[Held] {
        &self.held
    }

    pub(super) fn get(&self, track: u32) -> Option<Held> {
        self.at(track).ok().map(|at| self.held[at])
    }

    pub(super) fn part(&self, track: u32) -> Option<&Part> {
        self.parts.iter().rev().find(|part| part.track == track)
    }

    /// The chunks held of a track that is not complete.
    pub(super) fn chunks(&self, held: Held, geometry: Geometry) -> Option<ChunkSet> {
        if held.is_full() {
            return None;
        }
        match self.part(held.track) {
            Some(part) => Some(part.held.clone()),
            None => self
                .begun(held.track)
                .map(|chunks| ChunkSet::run(geometry, chunks)),
        }
    }

    fn begun(&self, track: u32) -> Option<u32> {
        let at = self.begun_at(track).ok()?;
        Some(self.begun[at].chunks)
    }

    fn begun_at(&self, track: u32) -> Result<usize, usize> {
        lot::find(&self.begun, track, |begun| begun.track)
    }

    /// Whether anything is known of the track.
    pub(super) fn knows(&self, track: u32) -> bool {
        self.get(track).is_some() || self.part(track).is_some()
    }

    /// The track was used at this second.
    pub(super) fn touch(&mut self, track: u32, second: i32) {
        if let Ok(at) = self.at(track) {
            let flags = self.held[at].packed & (FULL | PLACED);
            self.held[at] = Held::new(track, second, flags);
        }
    }

    /// Opens the track by chunk, so that its chunks can be followed.
    pub(super) fn open(&mut self, track: u32, geometry: Geometry) -> &mut Part {
        let last = self.parts.len().wrapping_sub(1);
        let at = match self.parts.iter().rposition(|part| part.track == track) {
            Some(at) => {
                self.parts.swap(at, last);
                last
            }
            None => {
                let held = if let Ok(at) = self.begun_at(track) {
                    ChunkSet::run(geometry, self.begun.remove(at).chunks)
                } else if self.get(track).is_some_and(Held::is_full) {
                    ChunkSet::full(geometry)
                } else {
                    ChunkSet::empty(geometry)
                };
                // Mostly the play and what follows it.
                self.parts.reserve_exact(1);
                self.parts.push(Part {
                    track,
                    listed: !held.is_empty(),
                    held,
                    fetched: None,
                });
                self.parts.len() - 1
            }
        };
        &mut self.parts[at]
    }

    /// Chunks of the track came: which of them are new.
    pub(super) fn add(
        &mut self,
        track: u32,
        chunks: Range<u32>,
        sender: Sender,
        (geometry, second): (Geometry, i32),
    ) -> Added {
        let part = self.open(track, geometry);
        let all = geometry.bytes_between(ChunkIndex(chunks.start), ChunkIndex(chunks.end));
        let new = part.add(chunks, sender, geometry);
        let known = all - new;
        let listed = core::mem::replace(&mut part.listed, true);
        let is_full = part.held.is_full();
        if is_full || !listed {
            self.list(track, second, is_full);
        }
        Added { new, known }
    }

    /// Something is held now, perhaps everything.
    fn list(&mut self, track: u32, second: i32, is_full: bool) {
        let mut flags = if is_full { FULL } else { 0 };
        if let Some(at) = self.placing.iter().position(|placing| *placing == track) {
            self.placing.swap_remove(at);
            flags |= PLACED;
        }
        match self.at(track) {
            Ok(at) => self.held[at].packed |= flags,
            Err(at) => self.insert(at, Held::new(track, second, flags)),
        }
    }

    /// The track is kept for others from now on, or not any more.
    pub(super) fn keep(&mut self, track: u32, placed: bool) {
        self.placing.retain(|placing| *placing != track);
        match self.at(track) {
            Ok(at) if placed => self.held[at].packed |= PLACED,
            Ok(at) => self.held[at].packed &= !PLACED,
            Err(_) if placed => self.placing.push(track),
            Err(_) => {}
        }
    }

    /// The track is not in use any more: forgets where its chunks came from, and the chunks one by
    /// one where they have no gap.
    pub(super) fn close(&mut self, track: u32) {
        let Some(at) = self.parts.iter().rposition(|part| part.track == track) else {
            return;
        };
        let part = &mut self.parts[at];
        if !part.held.is_run() {
            part.fetched = None;
            return;
        }
        let (chunks, is_full) = (part.held.len(), part.held.is_full());
        self.parts.remove(at);
        if chunks > 0
            && !is_full
            && let Err(at) = self.begun_at(track)
        {
            if self.begun.len() == self.begun.capacity() {
                // Not by doubling, either.
                self.begun.reserve_exact(self.begun.len() / 8 + 2);
            }
            self.begun.insert(at, Begun { track, chunks });
        }
    }

    /// The track was evicted.
    pub(super) fn remove(&mut self, track: u32) {
        if let Ok(at) = self.at(track) {
            self.held.remove(at);
        }
        if let Ok(at) = self.begun_at(track) {
            self.begun.remove(at);
        }
        self.parts.retain(|part| part.track != track);
    }

    /// The first chunk from `chunk` on that is not held; nothing if all of them are.
    pub(super) fn first_missing(&self, track: u32, chunk: ChunkIndex) -> Option<ChunkIndex> {
        match self.part(track) {
            Some(part) => part.held.first_missing(chunk),
            None if self.get(track).is_some_and(Held::is_full) => None,
            None => {
                let begun = ChunkIndex(self.begun(track).unwrap_or(0));
                Some(chunk.max(begun))
            }
        }
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.held.shrink_to_fit();
        self.begun.shrink_to_fit();
        self.parts.shrink_to_fit();
    }

    fn insert(&mut self, at: usize, entry: Held) {
        if self.held.len() == self.held.capacity() {
            // By an eighth, not by doubling: there are a million of them.
            self.held.reserve_exact(self.held.len() / 8 + 4);
        }
        self.held.insert(at, entry);
    }

    fn at(&self, track: u32) -> Result<usize, usize> {
        lot::find(&self.held, track, |held| held.track)
    }
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::ByteCount;

    use super::*;

    #[test]
    fn a_track_fills_up_and_shrinks_to_eight_bytes() {
        let geometry = Geometry::new(ByteCount(3 * 16_384)).expect("legal");
        let mut shelf = Shelf::default();
        assert_eq!(shelf.first_missing(7, ChunkIndex(0)), Some(ChunkIndex(0)));
        for chunk in 0..3 {
            shelf.add(7, chunk..chunk + 1, Sender::Peer, (geometry, 100));
        }
        let held = shelf.get(7).expect("held");
        assert!(held.is_full() && held.used() == 100);
        shelf.close(7);
        assert!(shelf.part(7).is_none());
        assert_eq!(shelf.first_missing(7, ChunkIndex(0)), None);
        shelf.touch(7, -5);
        assert_eq!(shelf.get(7).map(Held::used), Some(-5));
        shelf.remove(7);
        assert!(shelf.tracks().is_empty());
        assert_eq!(size_of::<Held>(), 8);
    }

    #[test]
    fn a_track_that_was_begun_goes_on_where_it_was_left() {
        let geometry = Geometry::new(ByteCount(9 * 16_384)).expect("legal");
        let mut shelf = Shelf::default();
        shelf.add(7, 0..4, Sender::Peer, (geometry, 100));
        shelf.close(7);
        assert!(shelf.part(7).is_none() && shelf.knows(7));
        assert_eq!(shelf.first_missing(7, ChunkIndex(1)), Some(ChunkIndex(4)));
        assert_eq!(shelf.first_missing(7, ChunkIndex(6)), Some(ChunkIndex(6)));
        let held = shelf.get(7).and_then(|held| shelf.chunks(held, geometry));
        assert_eq!(held, Some(ChunkSet::run(geometry, 4)));
        let added = shelf.add(7, 3..6, Sender::Origin, (geometry, 100));
        assert_eq!((added.new, added.known), (2 * 16_384, 16_384));
        let part = shelf.part(7).expect("in use");
        let byte = |chunk: u64, at: u64| chunk * 16_384 + at;
        assert_eq!(part.fetched(0, byte(4, 0)), (0, 0));
        assert_eq!(part.fetched(byte(3, 0), byte(4, 7)), (0, 7));
        assert_eq!(part.fetched(byte(4, 9), byte(4, 30)), (0, 21));
        assert_eq!(part.fetched(byte(5, 84), byte(9, 0)), (0, 16_300));
        shelf.add(7, 8..9, Sender::Peer, (geometry, 100));
        shelf.close(7);
        let part = shelf.part(7).expect("it has a gap");
        assert_eq!(part.held.len(), 7);
        shelf.remove(7);
        assert!(!shelf.knows(7));
    }

    #[test]
    fn what_is_not_held_in_part_is_not_kept() {
        let geometry = Geometry::new(ByteCount(16_384)).expect("legal");
        let mut shelf = Shelf::default();
        shelf.open(1, geometry);
        shelf.close(1);
        assert!(shelf.part(1).is_none() && shelf.get(1).is_none());
    }
}
