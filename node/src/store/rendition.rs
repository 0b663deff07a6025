//! What the store knows of one rendition while it runs: which chunks it has, where, and which of
//! them were proved in this run; and who waits for which.
//!
//! Not here: files and hashing.

use std::cmp::Reverse;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use antiphon_protocol::verified::{PARENT_BYTES, outboard_bytes};
use antiphon_protocol::{CHUNK_BYTES, ChunkIndex, ChunkSet, ContentId, Geometry, UnixSeconds};
use antiphon_swarm::node::input::Keep;

use super::files::FileSlot;
use super::record::Record;

/// One rendition. Shared by the store's table, its readers and whoever is in the middle of a call.
#[derive(Debug)]
pub(crate) struct Rendition {
    pub(crate) content: ContentId,
    pub(crate) geometry: Geometry,
    pub(crate) files: Mutex<FileSlot>,
    /// When the files were last used, in uses of any file.
    pub(crate) files_used: AtomicU64,
    holding: Mutex<Holding>,
    arrived: Condvar,
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Missing,
    Memory,
    /// On the disk; `checked` says whether it was proved in this run.
    Disk {
        checked: bool,
    },
}

/// How little a chunk in memory would be missed; the least is dropped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Its reader has passed it.
    Passed,
    /// Nobody reads the rendition; the number is its age, oldest least.
    Unread(u64),
    /// So many chunks ahead of a reader.
    Ahead(Reverse<u32>),
}

/// The changing part of a [`Rendition`].
#[derive(Debug)]
pub(crate) struct Holding {
    stored: ChunkSet,
    in_memory: ChunkSet,
    checked: ChunkSet,
    /// Inner nodes proved in this run, by number. There are fewer than chunks.
    nodes_checked: ChunkSet,
    pub(crate) last_used: UnixSeconds,
    pub(crate) keep: Keep,
    /// Whether the index still has to hear of a change.
    pub(crate) dirty: bool,
    pub(crate) evicted: bool,
    cursors: Vec<CursorState>,
    cursors_opened: u64,
}

#[derive(Debug)]
struct CursorState {
    id: u64,
    position: ChunkIndex,
    interrupted: bool,
    aborted: bool,
}

impl Rendition {
    pub(crate) fn new(content: ContentId, geometry: Geometry, now: UnixSeconds) -> Self {
        let nothing = ChunkSet::empty(geometry);
        let record = Record {
            geometry,
            held: nothing,
            last_used: now,
            keep: Keep::Cached,
        };
        Self::from_record(content, record)
    }

    pub(crate) fn from_record(content: ContentId, record: Record) -> Self {
        let nothing = ChunkSet::empty(record.geometry);
        Self {
            content,
            geometry: record.geometry,
            files: Mutex::default(),
            files_used: AtomicU64::new(0),
            holding: Mutex::new(Holding {
                stored: record.held,
                in_memory: nothing.clone(),
                checked: nothing.clone(),
                nodes_checked: nothing,
                last_used: record.last_used,
                keep: record.keep,
                dirty: false,
                evicted: false,
                cursors: Vec::new(),
                cursors_opened: 0,
            }),
            arrived: Condvar::new(),
        }
    }

    /// Held for a few instructions only. A panic elsewhere cannot leave it half-changed, since
    /// every change is one insertion or removal.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Holding> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes the rendition takes on the disk.
    pub(crate) fn disk_bytes(&self, holding: &Holding) -> u64 {
        let chunks = u64::from(holding.stored.len());
        if chunks == 0 {
            return 0;
        }
        let last = ChunkIndex(self.geometry.chunk_count() - 1);
        let cut = if holding.stored.contains(last) {
            CHUNK_BYTES - self.geometry.chunk_bytes(last) as u64
        } else {
            0
        };
        chunks * CHUNK_BYTES - cut + outboard_bytes(self.geometry)
    }

    pub(crate) fn record(&self, holding: &Holding) -> Record {
        Record {
            geometry: self.geometry,
            held: holding.stored.clone(),
            last_used: holding.last_used,
            keep: holding.keep,
        }
    }

    pub(crate) fn wake(&self) {
        self.arrived.notify_all();
    }

    /// How much the chunk is needed by whoever reads the rendition.
    pub(crate) fn need(&self, chunk: ChunkIndex, age: u64) -> Need {
        let holding = self.lock();
        let ahead = |cursor: &CursorState| chunk.0.checked_sub(cursor.position.0);
        match holding.cursors.iter().filter_map(ahead).min() {
            Some(distance) => Need::Ahead(Reverse(distance)),
            None if holding.cursors.is_empty() => Need::Unread(age),
            None => Need::Passed,
        }
    }
}

impl Holding {
    pub(crate) fn place(&self, chunk: ChunkIndex) -> Place {
        if self.in_memory.contains(chunk) {
            Place::Memory
        } else if self.stored.contains(chunk) {
            Place::Disk {
                checked: self.checked.contains(chunk),
            }
        } else {
            Place::Missing
        }
    }

    pub(crate) fn held(&self) -> ChunkSet {
        let mut held = self.stored.clone();
        for chunk in self.in_memory.iter() {
            held.insert(chunk);
        }
        held
    }

    pub(crate) fn insert_stored(&mut self, chunk: ChunkIndex) {
        self.stored.insert(chunk);
        self.in_memory.remove(chunk);
        self.checked.insert(chunk);
    }

    pub(crate) fn insert_in_memory(&mut self, chunk: ChunkIndex) {
        self.in_memory.insert(chunk);
    }

    pub(crate) fn remove_in_memory(&mut self, chunk: ChunkIndex) -> bool {
        self.in_memory.remove(chunk)
    }

    pub(crate) fn set_checked(&mut self, chunk: ChunkIndex) {
        if self.stored.contains(chunk) {
            self.checked.insert(chunk);
        }
    }

    /// Takes out a chunk that could not be read.
    pub(crate) fn remove_stored(&mut self, chunk: ChunkIndex) -> bool {
        self.checked.remove(chunk);
        self.stored.remove(chunk)
    }

    /// Takes out a chunk that failed its check, unless it was written anew meanwhile.
    pub(crate) fn remove_unchecked(&mut self, chunk: ChunkIndex) -> bool {
        !self.checked.contains(chunk) && self.stored.remove(chunk)
    }

    pub(crate) fn is_node_checked(&self, outboard_offset: u64) -> bool {
        self.nodes_checked.contains(node_number(outboard_offset))
    }

    pub(crate) fn set_node_checked(&mut self, outboard_offset: u64) {
        self.nodes_checked.insert(node_number(outboard_offset));
    }

    pub(crate) fn clear_node_checked(&mut self, outboard_offset: u64) {
        self.nodes_checked.remove(node_number(outboard_offset));
    }
}

fn node_number(outboard_offset: u64) -> ChunkIndex {
    ChunkIndex(u32::try_from(outboard_offset / PARENT_BYTES as u64).unwrap_or(u32::MAX))
}

/// Why a wait ended without the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// For good.
    Aborted,
    /// Once; waiting again is fine.
    Interrupted,
    /// The rendition was evicted.
    Evicted,
}

/// A reader's place in a rendition: what it waits for, and what must stay in memory for it.
#[derive(Debug)]
pub(crate) struct Cursor {
    rendition: Arc<Rendition>,
    id: u64,
}

impl Cursor {
    pub(crate) fn new(rendition: Arc<Rendition>) -> Self {
        let mut holding = rendition.lock();
        holding.cursors_opened += 1;
        let id = holding.cursors_opened;
        let position = ChunkIndex(0);
        holding.cursors.push(CursorState {
            id,
            position,
            interrupted: false,
            aborted: false,
        });
        drop(holding);
        Self { rendition, id }
    }

    pub(crate) fn rendition(&self) -> &Arc<Rendition> {
        &self.rendition
    }

    pub(crate) fn stopper(&self) -> Stopper {
        Stopper {
            rendition: Arc::clone(&self.rendition),
            id: self.id,
        }
    }

    /// Blocks until the store has `chunk`. Calls `waiting` before it blocks, and returns how long
    /// that took; nothing if it did not.
    pub(crate) fn wait(
        &self,
        chunk: ChunkIndex,
        waiting: impl FnOnce(),
    ) -> Result<Option<Duration>, Stopped> {
        let mut holding = self.rendition.lock();
        if let Some(state) = holding.cursor(self.id) {
            state.position = chunk;
        }
        if let Some(done) = holding.outcome(self.id, chunk) {
            return done.map(|()| None);
        }
        drop(holding);
        let since = Instant::now();
        waiting();
        holding = self.rendition.lock();
        loop {
            if let Some(done) = holding.outcome(self.id, chunk) {
                return done.map(|()| Some(since.elapsed()));
            }
            let woken = self.rendition.arrived.wait(holding);
            holding = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.rendition
            .lock()
            .cursors
            .retain(|cursor| cursor.id != self.id);
    }
}

impl Holding {
    fn cursor(&mut self, id: u64) -> Option<&mut CursorState> {
        self.cursors.iter_mut().find(|cursor| cursor.id == id)
    }

    fn outcome(&mut self, id: u64, chunk: ChunkIndex) -> Option<Result<(), Stopped>> {
        let here = self.place(chunk) != Place::Missing;
        let evicted = self.evicted;
        let state = self.cursor(id)?;
        if state.aborted {
            return Some(Err(Stopped::Aborted));
        }
        if std::mem::take(&mut state.interrupted) {
            return Some(Err(Stopped::Interrupted));
        }
        if evicted {
            return Some(Err(Stopped::Evicted));
        }
        here.then_some(Ok(()))
    }
}

/// Ends a [`Cursor`]'s wait from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Stopper {
    rendition: Arc<Rendition>,
    id: u64,
}

impl Stopper {
    pub(crate) fn abort(&self) {
        self.stop(|state| state.aborted = true);
    }

    pub(crate) fn interrupt(&self) {
        self.stop(|state| state.interrupted = true);
    }

    fn stop(&self, how: impl FnOnce(&mut CursorState)) {
        if let Some(state) = self.rendition.lock().cursor(self.id) {
            how(state);
        }
        self.rendition.wake();
    }
}
