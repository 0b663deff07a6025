//! What a user's disk holds, in 8 bytes a track while they are offline.
//!
//! It mirrors the holdings of the core, which does not tell them, and adds where each chunk came
//! from. Not here: what to keep; the core decides.

use core::ops::Range;

use antiphon_protocol::{ChunkIndex, ChunkSet, Geometry};
use antiphon_swarm::node::input::Keep;

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

/// A track that is incomplete or in use, by chunk.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) track: u32,
    pub(super) held: ChunkSet,
    /// Whether it is among the tracks of which something is held.
    listed: bool,
    /// Only of a track in use: dozens of incomplete ones wait on each disk.
    fetched: Option<Box<Fetched>>,
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
    /// Who sent a chunk since the track came into use.
    pub(super) fn sender(&self, chunk: ChunkIndex) -> Option<Sender> {
        let fetched = self.fetched.as_deref()?;
        if fetched.from_origin.contains(chunk) {
            Some(Sender::Origin)
        } else {
            fetched.from_peers.contains(chunk).then_some(Sender::Peer)
        }
    }

    /// A chunk came. False if it was there already.
    fn add(&mut self, chunk: ChunkIndex, sender: Sender, geometry: Geometry) -> bool {
        if !self.held.insert(chunk) {
            return false;
        }
        let fetched = self.fetched.get_or_insert_with(|| {
            Box::new(Fetched {
                from_peers: ChunkSet::empty(geometry),
                from_origin: ChunkSet::empty(geometry),
            })
        });
        match sender {
            Sender::Peer => fetched.from_peers.insert(chunk),
            Sender::Origin => fetched.from_origin.insert(chunk),
        };
        true
    }
}

/// One user's disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    /// By track.
    held: Vec<Held>,
    /// Those in use come last.
    parts: Vec<Part>,
    /// To be kept for others once something of it is there.
    placing: Vec<u32>,
}

impl Shelf {
    pub(super) fn tracks(&self) -> &[Held] {
        &self.held
    }

    pub(super) fn get(&self, track: u32) -> Option<Held> {
        self.at(track).ok().map(|at| self.held[at])
    }

    pub(super) fn part(&self, track: u32) -> Option<&Part> {
        self.parts.iter().rev().find(|part| part.track == track)
    }

    /// The track was used at this second.
    pub(super) fn touch(&mut self, track: u32, second: i32) {
        if let Ok(at) = self.at(track) {
            let flags = self.held[at].packed & (FULL | PLACED);
            self.held[at] = Held::new(track, second, flags);
        }
    }

    /// Adds a complete track.
    pub(super) fn add_full(&mut self, track: u32, second: i32) {
        let entry = Held::new(track, second, FULL);
        match self.at(track) {
            Ok(at) => self.held[at] = entry,
            Err(at) => self.insert(at, entry),
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
                let full = self.get(track).is_some_and(Held::is_full);
                let held = if full {
                    ChunkSet::full(geometry)
                } else {
                    ChunkSet::empty(geometry)
                };
                if self.parts.len() == self.parts.capacity() {
                    // Not by doubling, either.
                    self.parts.reserve_exact(self.parts.len() / 8 + 2);
                }
                self.parts.push(Part {
                    track,
                    held,
                    listed: full,
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
        let mut added = Added::default();
        for chunk in chunks.map(ChunkIndex) {
            let bytes = geometry.chunk_bytes(chunk) as u64;
            if part.add(chunk, sender, geometry) {
                added.new += bytes;
            } else {
                added.known += bytes;
            }
        }
        let listed = core::mem::replace(&mut part.listed, true);
        let is_full = part.held.is_full();
        if is_full || !listed {
            self.list(track, second, is_full);
        }
        added
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

    /// The track is not in use any more: forgets where its chunks came from, and the chunks
    /// themselves if all or none are there.
    pub(super) fn close(&mut self, track: u32) {
        let Some(at) = self.parts.iter().rposition(|part| part.track == track) else {
            return;
        };
        let part = &mut self.parts[at];
        if part.held.is_full() || part.held.is_empty() {
            self.parts.remove(at);
            return;
        }
        part.fetched = None;
    }

    /// The track was evicted.
    pub(super) fn remove(&mut self, track: u32) {
        if let Ok(at) = self.at(track) {
            self.held.remove(at);
        }
        self.parts.retain(|part| part.track != track);
    }

    /// The first chunk from `chunk` on that is not held; nothing if all of them are.
    pub(super) fn first_missing(&self, track: u32, chunk: ChunkIndex) -> Option<ChunkIndex> {
        match self.part(track) {
            Some(part) => part.held.first_missing(chunk),
            None if self.get(track).is_some_and(Held::is_full) => None,
            None => Some(chunk),
        }
    }

    /// Gives unused memory back.
    pub(super) fn shrink(&mut self) {
        self.held.shrink_to_fit();
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
        self.held.binary_search_by_key(&track, |held| held.track)
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
    fn what_is_not_held_in_part_is_not_kept() {
        let geometry = Geometry::new(ByteCount(16_384)).expect("legal");
        let mut shelf = Shelf::default();
        shelf.open(1, geometry);
        shelf.close(1);
        assert!(shelf.part(1).is_none() && shelf.get(1).is_none());
    }
}
