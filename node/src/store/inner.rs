//! Chunks in and out: what [`super::ChunkStore`] does on the caller's thread.
//!
//! Order in everything: the bytes first, then the table in memory, then (later, in `upkeep`) the
//! index. Locks, each held briefly and taken in this order only: window, one rendition, changes.
//! No lock over several renditions is held while a file is touched.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

use antiphon_protocol::verified::{Item, PARENT_BYTES, outboard_bytes};
use antiphon_protocol::{ChunkIndex, ContentId, Geometry, UnixSeconds};

use super::disk::Disk;
use super::files::Handles;
use super::notice::{Notices, StoreNotice};
use super::rendition::{Holding, Place, Rendition};
use super::reserve::Reserve;
use super::state_file::{Found, StateError, StateFiles};
use super::upkeep::{Changes, Signal, Upkeep};
use super::window::{Kept, Window};
use super::{Put, StoreError};

/// Renditions the store keeps track of. Twelve times what fills the largest default cache, so
/// that only a fault gets there.
const RENDITIONS_MAX: usize = 32 * 1024;
/// Read errors in a row after which the disk counts as failing.
const READ_ERRORS_MAX: u32 = 3;

/// The store behind its handles.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) renditions: RwLock<HashMap<ContentId, Arc<Rendition>>>,
    pub(crate) handles: Handles,
    pub(crate) window: Mutex<Window>,
    /// Lets the usual read skip the window's lock.
    pub(crate) nodes_in_memory: AtomicUsize,
    pub(crate) notices: Notices,
    pub(crate) state: Mutex<StateFiles>,
    pub(crate) reserve: Mutex<Reserve>,
    pub(crate) upkeep: Mutex<Upkeep>,
    pub(crate) changes: Mutex<Changes>,
    pub(crate) signal: Signal,
    pub(crate) chunks_unindexed: AtomicU32,
    pub(crate) index_after_chunks: u32,
    pub(crate) full: AtomicBool,
    pub(crate) read_errors: AtomicU32,
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) lock_file: Mutex<Option<File>>,
}

impl Inner {
    pub(crate) fn rendition(&self, content: ContentId) -> Option<Arc<Rendition>> {
        let table = self
            .renditions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        table.get(&content).cloned()
    }

    pub(crate) fn create(&self, content: ContentId, geometry: Geometry) -> Result<(), StoreError> {
        if let Some(known) = self.rendition(content) {
            return same_geometry(&known, geometry);
        }
        let mut table = self
            .renditions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if table.len() >= RENDITIONS_MAX {
            return Err(StoreError::TooMany);
        }
        let rendition = table
            .entry(content)
            .or_insert_with(|| Arc::new(Rendition::new(content, geometry, unix_now())));
        same_geometry(rendition, geometry)
    }

    pub(crate) fn put_parent(
        &self,
        content: ContentId,
        outboard_offset: u64,
        node: &[u8; PARENT_BYTES],
    ) -> Result<(), StoreError> {
        let rendition = self.rendition(content).ok_or(StoreError::Unknown)?;
        let fits = outboard_offset < outboard_bytes(rendition.geometry);
        if !fits || !outboard_offset.is_multiple_of(PARENT_BYTES as u64) {
            return Err(StoreError::Outside);
        }
        if rendition.lock().is_node_checked(outboard_offset) {
            return Ok(());
        }
        if !self.is_full() {
            match self.write_node(&rendition, outboard_offset, node) {
                Ok(()) => {
                    rendition.lock().set_node_checked(outboard_offset);
                    return Ok(());
                }
                Err(_) if rendition.lock().evicted => return Err(StoreError::Unknown),
                Err(error) => self.disk_failed(&rendition, &error),
            }
        }
        let mut window = self.window();
        if !window.insert_node(content, outboard_offset, node) {
            return Err(StoreError::NoRoom);
        }
        self.nodes_in_memory
            .store(window.nodes(), Ordering::Release);
        rendition.lock().set_node_checked(outboard_offset);
        Ok(())
    }

    pub(crate) fn put_chunk(
        &self,
        content: ContentId,
        chunk: ChunkIndex,
        bytes: &[u8],
    ) -> Result<Put, StoreError> {
        let rendition = self.rendition(content).ok_or(StoreError::Unknown)?;
        if bytes.is_empty() || bytes.len() != rendition.geometry.chunk_bytes(chunk) {
            return Err(StoreError::Outside);
        }
        let place = rendition.lock().place(chunk);
        if matches!(place, Place::Memory | Place::Disk { checked: true }) {
            return Ok(Put::Already);
        }
        if !self.is_full() {
            match self.write_chunk(&rendition, chunk, bytes) {
                // What was claimed but not yet proved is written all the same: it may be wrong.
                Ok(()) if place == Place::Missing => return Ok(Put::Stored),
                Ok(()) => return Ok(Put::Already),
                Err(_) if rendition.lock().evicted => return Err(StoreError::Unknown),
                Err(error) => self.disk_failed(&rendition, &error),
            }
        }
        if place != Place::Missing {
            return Ok(Put::Already);
        }
        self.keep_in_memory(&rendition, chunk, bytes)
    }

    fn keep_in_memory(
        &self,
        rendition: &Arc<Rendition>,
        chunk: ChunkIndex,
        bytes: &[u8],
    ) -> Result<Put, StoreError> {
        let (kept, dropped) = self.window().insert(rendition, chunk, bytes);
        for Kept {
            rendition, chunk, ..
        } in dropped
        {
            self.notices
                .lost(rendition.content, rendition.geometry, &[chunk]);
        }
        if !kept {
            return Err(StoreError::NoRoom);
        }
        rendition.wake();
        self.signal.work();
        Ok(Put::InMemory)
    }

    /// Writes a verified chunk and enters it in the table.
    pub(crate) fn write_chunk(
        &self,
        rendition: &Arc<Rendition>,
        chunk: ChunkIndex,
        bytes: &[u8],
    ) -> io::Result<()> {
        let files = self.handles.files(rendition, true)?;
        files.audio.write_all_at(bytes, chunk.byte_offset())?;
        self.change(rendition, |holding| holding.insert_stored(chunk));
        rendition.wake();
        self.chunks_put(1);
        Ok(())
    }

    /// Counts chunks that the index has not heard of, and wakes its thread when they are many.
    pub(crate) fn chunks_put(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let before = self.chunks_unindexed.fetch_add(count, Ordering::Relaxed);
        let limit = self.index_after_chunks;
        if before < limit && before.saturating_add(count) >= limit {
            self.signal.urgent();
        }
    }

    pub(crate) fn write_node(
        &self,
        rendition: &Arc<Rendition>,
        outboard_offset: u64,
        node: &[u8; PARENT_BYTES],
    ) -> io::Result<()> {
        let files = self.handles.files(rendition, true)?;
        files.outboard.write_all_at(node, outboard_offset)
    }

    /// Appends a genuine item to `into`; false if it is not here (any more).
    pub(crate) fn append_item(
        &self,
        rendition: &Arc<Rendition>,
        item: Item,
        into: &mut Vec<u8>,
    ) -> bool {
        match item {
            Item::Parent { outboard_offset } => self.append_node(rendition, outboard_offset, into),
            Item::Chunk { chunk, .. } => self.append_chunk(rendition, chunk, into),
        }
    }

    /// Appends a genuine chunk to `into`; false if it is not here (any more).
    pub(crate) fn append_chunk(
        &self,
        rendition: &Arc<Rendition>,
        chunk: ChunkIndex,
        into: &mut Vec<u8>,
    ) -> bool {
        loop {
            let place = rendition.lock().place(chunk);
            match place {
                Place::Missing => return false,
                Place::Memory => {
                    if let Some(bytes) = self.window().get(rendition.content, chunk) {
                        into.extend_from_slice(&bytes);
                        return true;
                    }
                    // It moved to the disk or was dropped in between: the table knows.
                }
                Place::Disk { checked } => {
                    return self.append_from_disk(rendition, chunk, checked, into);
                }
            }
        }
    }

    fn append_from_disk(
        &self,
        rendition: &Arc<Rendition>,
        chunk: ChunkIndex,
        checked: bool,
        into: &mut Vec<u8>,
    ) -> bool {
        let start = into.len();
        into.resize(start + rendition.geometry.chunk_bytes(chunk), 0);
        let data = into.get_mut(start..).unwrap_or_default();
        let read = self
            .handles
            .files(rendition, false)
            .and_then(|files| files.audio.read_exact_at(data, chunk.byte_offset()));
        if let Err(error) = read {
            into.truncate(start);
            self.read_failed(rendition, chunk, &error);
            return false;
        }
        self.read_errors.store(0, Ordering::Relaxed);
        if !checked && !self.prove_chunk(rendition, chunk, data) {
            into.truncate(start);
            return false;
        }
        true
    }

    /// Appends a genuine inner node to `into`; false if it is not here.
    pub(crate) fn append_node(
        &self,
        rendition: &Arc<Rendition>,
        outboard_offset: u64,
        into: &mut Vec<u8>,
    ) -> bool {
        let checked = rendition.lock().is_node_checked(outboard_offset);
        if !checked && !self.prove_node(rendition, outboard_offset) {
            return false;
        }
        match self.read_node(rendition, outboard_offset) {
            Ok(node) => {
                into.extend_from_slice(&node);
                true
            }
            Err(_) => false,
        }
    }

    pub(crate) fn read_node(
        &self,
        rendition: &Arc<Rendition>,
        outboard_offset: u64,
    ) -> io::Result<[u8; PARENT_BYTES]> {
        if self.nodes_in_memory.load(Ordering::Acquire) > 0
            && let Some(node) = self.window().node(rendition.content, outboard_offset)
        {
            return Ok(node);
        }
        let mut node = [0; PARENT_BYTES];
        let files = self.handles.files(rendition, false)?;
        files.outboard.read_exact_at(&mut node, outboard_offset)?;
        Ok(node)
    }

    /// Takes chunks out of the table that failed their proof, and tells.
    pub(crate) fn lose_unproved(&self, rendition: &Arc<Rendition>, chunks: std::ops::Range<u32>) {
        let chunks = chunks.map(ChunkIndex);
        let lost: Vec<ChunkIndex> = self.change(rendition, |holding| {
            chunks
                .filter(|chunk| holding.remove_unchecked(*chunk))
                .collect()
        });
        if let (Some(first), Some(last)) = (lost.first(), lost.last()) {
            tracing::warn!(
                content = ?rendition.content, first = first.0, last = last.0, count = lost.len(),
                "cached chunks failed their check; they are fetched again when needed"
            );
            self.notices
                .lost(rendition.content, rendition.geometry, &lost);
        }
    }

    fn read_failed(&self, rendition: &Arc<Rendition>, chunk: ChunkIndex, error: &io::Error) {
        if rendition.lock().evicted {
            return;
        }
        tracing::warn!(content = ?rendition.content, chunk = chunk.0, %error,
            "a cached chunk cannot be read; it is fetched again when needed");
        self.handles.close(rendition);
        if self.change(rendition, |holding| holding.remove_stored(chunk)) {
            self.notices
                .lost(rendition.content, rendition.geometry, &[chunk]);
        }
        // A file cut short is damage; anything else may be the disk dying.
        if error.kind() != io::ErrorKind::UnexpectedEof
            && self.read_errors.fetch_add(1, Ordering::Relaxed) + 1 >= READ_ERRORS_MAX
        {
            self.disk_failed(rendition, error);
        }
    }

    /// The disk refused a write: from now on chunks go into memory, until `upkeep` finds the disk
    /// taking them again.
    pub(crate) fn disk_failed(&self, rendition: &Rendition, error: &io::Error) {
        self.handles.close(rendition);
        self.turn_full(error);
    }

    pub(crate) fn turn_full(&self, error: &io::Error) {
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::warn!(dir = %self.dir.display(), %error,
                "the cache cannot be written; playing from memory until it can");
            self.notices.full(true);
        }
        self.signal.work();
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub(crate) fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is held of a rendition, counts its bytes and lets the index hear of it.
    pub(crate) fn change<T>(
        &self,
        rendition: &Arc<Rendition>,
        change: impl FnOnce(&mut Holding) -> T,
    ) -> T {
        let mut holding = rendition.lock();
        let before = rendition.disk_bytes(&holding);
        let result = change(&mut holding);
        if holding.evicted {
            return result;
        }
        let after = rendition.disk_bytes(&holding);
        self.disk_bytes.fetch_add(after, Ordering::Relaxed);
        self.disk_bytes.fetch_sub(before, Ordering::Relaxed);
        if !std::mem::replace(&mut holding.dirty, true) {
            self.changes().dirty.push(Arc::clone(rendition));
            self.signal.work();
        }
        result
    }

    pub(crate) fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn evict(&self, content: ContentId) -> bool {
        let mut table = self
            .renditions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(rendition) = table.remove(&content) else {
            return false;
        };
        // While nobody can create it anew: the names must be free by then.
        let gone = self.handles.evict(&rendition);
        let mut holding = rendition.lock();
        holding.evicted = true;
        self.disk_bytes
            .fetch_sub(rendition.disk_bytes(&holding), Ordering::Relaxed);
        self.changes().removed.push(content);
        drop(holding);
        drop(table);
        rendition.wake();
        let mut window = self.window();
        window.forget(content);
        self.nodes_in_memory
            .store(window.nodes(), Ordering::Release);
        drop(window);
        self.notices.forget(content);
        for path in gone {
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!(path = %path.display(), %error,
                    "an evicted file cannot be removed; the next start tries again");
            }
        }
        // There is room now: whatever waits in memory may be written.
        self.signal.urgent();
        true
    }

    pub(crate) fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        let files = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match files.get(key)? {
            Found::Nothing => None,
            Found::Value(value) => Some(value),
            Found::Damaged => {
                tracing::warn!(key, "stored state was damaged; it was put aside");
                self.notices.damage(StoreNotice::StateDamaged {
                    key: key.to_owned(),
                });
                None
            }
        })
    }

    pub(crate) fn state_put(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        let files = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match files.put(key, value) {
            Err(error) if error.is_full() => {
                let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
                // Before the room is given away, so that audio does not take it.
                self.turn_full(&io::ErrorKind::StorageFull.into());
                if !reserve.release() {
                    return Err(error);
                }
                files.put(key, value)
            }
            done => done,
        }
    }
}

fn same_geometry(known: &Rendition, geometry: Geometry) -> Result<(), StoreError> {
    if known.geometry == geometry {
        Ok(())
    } else {
        Err(StoreError::Geometry)
    }
}

/// For "last used" only, which has to survive a restart. Nothing is ordered by it in one run.
pub(crate) fn unix_now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixSeconds(since.map_or(0, |since| since.as_secs()))
}
