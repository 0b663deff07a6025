//! A node's disk: what was written, what of it would survive a kill, what has gone bad.
//!
//! Chunks are not copied: the oracle has compared each with the truth when it was written, so a
//! number stands for its bytes. Not here: when faults happen.

use std::collections::BTreeMap;

use antiphon_protocol::{ChunkIndex, ChunkSet, Geometry};
use antiphon_swarm::node::input::Keep;

/// How many of the last writes a kill may take away.
const TAIL_MAX: usize = 24;
/// Chunks kept in memory while the disk takes nothing: the node's 8 MiB window.
const WINDOW_CHUNKS: usize = 512;

/// What is there of one rendition.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) held: ChunkSet,
    /// Verified when it arrived in this run, or at its first read since the start.
    proven: ChunkSet,
    /// Bits have flipped since it was written.
    rotten: ChunkSet,
    pub(crate) used: u64,
    /// How firmly the core keeps it.
    pub(crate) keep: Keep,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Genuine bytes.
    Good,
    /// It was there and must be verified before it is used; whether it would pass.
    Unproven { rotten: bool },
    /// Not there.
    Missing,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    kept: BTreeMap<usize, Kept>,
    /// Writes not yet safe, oldest first.
    tail: Vec<(usize, ChunkIndex)>,
    /// Chunks in memory because the disk took nothing.
    window: Vec<(usize, ChunkIndex)>,
    pub(crate) full: bool,
    /// Writes fail.
    pub(crate) failing: bool,
}

impl Disk {
    pub(crate) fn open(&mut self, track: usize, geometry: Geometry, now: u64) {
        let kept = self.kept.entry(track).or_insert_with(|| Kept {
            held: ChunkSet::empty(geometry),
            proven: ChunkSet::empty(geometry),
            rotten: ChunkSet::empty(geometry),
            used: now,
            keep: Keep::Cached,
        });
        kept.used = now;
    }

    pub(crate) fn set_keep(&mut self, track: usize, keep: Keep) {
        if let Some(kept) = self.kept.get_mut(&track) {
            kept.keep = keep;
        }
    }

    pub(crate) fn get(&self, track: usize) -> Option<&Kept> {
        self.kept.get(&track)
    }

    pub(crate) fn tracks(&self) -> impl Iterator<Item = (usize, &Kept)> {
        self.kept.iter().map(|(track, kept)| (*track, kept))
    }

    /// Keeps a verified chunk; whether it is new, and what had to go from memory for it.
    pub(crate) fn put(
        &mut self,
        track: usize,
        chunk: ChunkIndex,
    ) -> (bool, Option<(usize, ChunkIndex)>) {
        let Some(kept) = self.kept.get_mut(&track) else {
            return (false, None);
        };
        kept.proven.insert(chunk);
        kept.rotten.remove(chunk);
        if !kept.held.insert(chunk) {
            return (false, None);
        }
        if self.full {
            self.window.push((track, chunk));
            if self.window.len() > WINDOW_CHUNKS {
                let gone = self.window.remove(0);
                self.forget(gone.0, gone.1);
                return (true, Some(gone));
            }
            return (true, None);
        }
        self.tail.push((track, chunk));
        if self.tail.len() > TAIL_MAX {
            self.tail.remove(0);
        }
        (true, None)
    }

    pub(crate) fn read(&self, track: usize, chunk: ChunkIndex) -> Read {
        match self.kept.get(&track) {
            Some(kept) if !kept.held.contains(chunk) => Read::Missing,
            Some(kept) if kept.proven.contains(chunk) => Read::Good,
            Some(kept) => Read::Unproven {
                rotten: kept.rotten.contains(chunk),
            },
            None => Read::Missing,
        }
    }

    pub(crate) fn prove(&mut self, track: usize, chunk: ChunkIndex) {
        if let Some(kept) = self.kept.get_mut(&track) {
            kept.proven.insert(chunk);
        }
    }

    /// A chunk is not there any more.
    pub(crate) fn forget(&mut self, track: usize, chunk: ChunkIndex) {
        if let Some(kept) = self.kept.get_mut(&track) {
            kept.held.remove(chunk);
            kept.proven.remove(chunk);
            kept.rotten.remove(chunk);
        }
    }

    pub(crate) fn remove(&mut self, track: usize) {
        self.kept.remove(&track);
        self.tail.retain(|(other, _)| *other != track);
        self.window.retain(|(other, _)| *other != track);
    }

    /// The disk takes chunks again: what waited in memory is written.
    pub(crate) fn writable(&mut self) {
        self.full = false;
        self.window.clear();
    }

    /// The process ended: in order (`keep` all of it) or by a kill that loses some of the last
    /// writes and everything in memory.
    pub(crate) fn restart(
        &mut self,
        mut lost: impl FnMut() -> bool,
        mut rots: impl FnMut() -> bool,
    ) {
        for (track, chunk) in std::mem::take(&mut self.window) {
            self.forget(track, chunk);
        }
        for (track, chunk) in std::mem::take(&mut self.tail) {
            if lost() {
                self.forget(track, chunk);
            }
        }
        for kept in self.kept.values_mut() {
            let chunks: Vec<ChunkIndex> = kept.held.iter().collect();
            for chunk in chunks {
                kept.proven.remove(chunk);
                if rots() {
                    kept.rotten.insert(chunk);
                }
            }
        }
        self.kept.retain(|_, kept| !kept.held.is_empty());
        (self.full, self.failing) = (false, false);
    }
}
