//! The chunk store: verified chunks of encrypted renditions on the disk, found again after a crash.
//!
//! Callers put only what a span verifier has accepted. After a restart nothing on the disk is
//! believed until it has been hashed: what the index says are claims. When the disk is full or
//! failing, chunks go into a bounded window in memory, and playing goes on. `docs/storage.md` has
//! the layout and the reasoning about crashes.
//!
//! Not here: what to fetch, keep and evict, which the core decides; and decryption
//! ([`crate::reader`]).

mod files;
mod index;
mod inner;
mod notice;
mod proof;
mod put_all;
mod record;
mod recovery;
mod rendition;
mod reserve;
mod state_file;
mod upkeep;
mod window;

pub mod disk;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use antiphon_protocol::verified::{Item, PARENT_BYTES};
use antiphon_protocol::{ByteCount, CHUNK_BYTES, ChunkIndex, ChunkSet, ContentId, Geometry};
use antiphon_swarm::node::input::Keep;
use tokio::sync::mpsc;

use crate::span_io::{ChunkSink, SinkError, SourceError, SpanSource, VerifiedItems};
use disk::{Disk, OsDisk};
use files::Handles;
use inner::Inner;
use notice::Notices;
pub(crate) use rendition::{Cursor, Stopped, Stopper};
use reserve::Reserve;
use state_file::StateFiles;
use upkeep::{Changes, Signal, Upkeep, UpkeepThread};
use window::Window;

pub use notice::StoreNotice;
pub use state_file::{STATE_BYTES_MAX, StateError};

/// How a store is set up.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Chunks kept in memory while the disk takes none. The default is the limits table's play
    /// window.
    pub memory_window: ByteCount,
    /// Renditions whose files are open at once, two each. The default stays far below the usual
    /// limit of 1,024 handles; guess.
    pub open_renditions: usize,
    /// How long changes gather before the index is written. The default is the most a crash may
    /// forget in seconds; guess.
    pub index_every: Duration,
    /// How many chunks gather at most. The default is the 16 MiB that a power cut may cost.
    pub index_after_chunks: u32,
    /// Room kept back for small state. The default is from the failure table.
    pub reserve: ByteCount,
    /// The file system.
    pub disk: Arc<dyn Disk>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            memory_window: ByteCount::mib(8),
            open_renditions: 64,
            index_every: Duration::from_secs(1),
            index_after_chunks: (16 * 1024 * 1024 / CHUNK_BYTES) as u32,
            reserve: ByteCount::mib(8),
            disk: Arc::new(OsDisk),
        }
    }
}

/// A rendition found on the disk at the start. What it says is held is a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name.
    pub content: ContentId,
    /// Its size.
    pub geometry: Geometry,
    /// Which chunks.
    pub held: ChunkSet,
    /// How long ago it was used.
    pub idle: Duration,
    /// How firmly it is kept.
    pub keep: Keep,
}

/// What became of a chunk that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is on the disk.
    Stored,
    /// It was there already.
    Already,
    /// The disk takes nothing; it is in memory and may be dropped ([`StoreNotice::Lost`]).
    InMemory,
}

/// The chunk store. Clones are handles to the same store; the last one closes it.
///
/// Methods may be called from any thread and touch the disk for at most one chunk, except
/// [`Self::open`], [`Self::flush`], [`Self::close`] and [`Self::state_put`], which sync.
#[derive(Clone, Debug)]
pub struct ChunkStore {
    inner: Arc<Inner>,
    thread: Arc<UpkeepThread>,
    notices: Arc<Mutex<Option<mpsc::Receiver<StoreNotice>>>>,
}

impl ChunkStore {
    /// Opens a folder, makes it if need be, and says what is claimed to be in it.
    ///
    /// Damage does not fail: it is put aside, told once by a [`StoreNotice`], and what it claimed
    /// counts as absent. Neither does a disk that is full or read-only.
    ///
    /// # Errors
    /// If another process has the folder, a later release wrote it, or it cannot be made.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Vec<Held>), OpenStoreError> {
        let io_error = |source| OpenStoreError::Io {
            dir: dir.to_owned(),
            source,
        };
        let disk = options.disk;
        disk.create_dir(dir).map_err(io_error)?;
        let lock_file = recovery::lock_folder(dir)?;
        let (notices, receiver) = Notices::new();
        let state = StateFiles::open(Arc::clone(&disk), dir.join("state")).map_err(io_error)?;
        recovery::check_schema(dir, &state, &notices)?;
        let (index, records) = recovery::load_index(dir, &*disk, &notices);
        let audio = dir.join("audio");
        let (table, removed) = recovery::check_claims(&audio, &*disk, records);
        // Without an index nobody knows what the files are worth.
        if index.is_some()
            && let Err(error) = recovery::sweep(&audio, &*disk, &table)
        {
            tracing::warn!(dir = %audio.display(), %error, "left-over files cannot be removed");
        }
        let held: Vec<Held> = table
            .values()
            .map(|rendition| recovery::report(rendition))
            .collect();
        let disk_bytes = total_bytes(&table);
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            renditions: RwLock::new(table),
            handles: Handles::new(Arc::clone(&disk), audio, options.open_renditions),
            window: Mutex::new(Window::new(options.memory_window)),
            nodes_in_memory: AtomicUsize::new(0),
            notices,
            state: Mutex::new(state),
            reserve: Mutex::new(Reserve::new(
                Arc::clone(&disk),
                dir.join("reserve"),
                options.reserve,
            )),
            upkeep: Mutex::new(Upkeep::new(index)),
            changes: Mutex::new(Changes {
                dirty: Vec::new(),
                removed,
            }),
            signal: Signal::default(),
            chunks_unindexed: AtomicU32::new(0),
            index_after_chunks: options.index_after_chunks.max(1),
            full: AtomicBool::new(false),
            read_errors: AtomicU32::new(0),
            disk_bytes: AtomicU64::new(disk_bytes),
            lock_file: Mutex::new(lock_file),
            disk,
        });
        let thread = UpkeepThread::start(Arc::clone(&inner), options.index_every);
        let thread = Arc::new(thread.map_err(io_error)?);
        let notices = Arc::new(Mutex::new(Some(receiver)));
        Ok((
            Self {
                inner,
                thread,
                notices,
            },
            held,
        ))
    }

    /// Introduces a rendition, so that chunks of it can be put. Again is fine.
    ///
    /// # Errors
    /// If it is known with another size, or there are too many.
    pub fn create(&self, content: ContentId, geometry: Geometry) -> Result<(), StoreError> {
        self.inner.create(content, geometry)
    }

    /// Keeps one verified inner node of the rendition's outboard.
    ///
    /// # Errors
    /// If the rendition is unknown, the offset is not of a node, or there is no room anywhere.
    pub fn put_parent(
        &self,
        content: ContentId,
        outboard_offset: u64,
        node: &[u8; PARENT_BYTES],
    ) -> Result<(), StoreError> {
        self.inner.put_parent(content, outboard_offset, node)
    }

    /// Keeps one verified chunk; its inner nodes come before it.
    ///
    /// # Errors
    /// If the rendition is unknown, the bytes are not as many as the chunk has, or there is no
    /// room anywhere.
    pub fn put_chunk(
        &self,
        content: ContentId,
        chunk: ChunkIndex,
        bytes: &[u8],
    ) -> Result<Put, StoreError> {
        self.inner.put_chunk(content, chunk, bytes)
    }

    /// Replaces what is in `into` by a chunk; false, and nothing in `into`, if it is not held or
    /// turned out wrong, which [`StoreNotice::Lost`] tells too.
    ///
    /// # Errors
    /// If the rendition is unknown.
    pub fn read_chunk(
        &self,
        content: ContentId,
        chunk: ChunkIndex,
        into: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let rendition = self.inner.rendition(content).ok_or(StoreError::Unknown)?;
        into.clear();
        Ok(self.inner.append_chunk(&rendition, chunk, into))
    }

    /// Appends one item of an encoded span to `into`; false, and nothing appended, if it is not
    /// held or turned out wrong. Whatever is appended is genuine.
    ///
    /// # Errors
    /// If the rendition is unknown.
    pub fn read_item(
        &self,
        content: ContentId,
        item: Item,
        into: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let rendition = self.inner.rendition(content).ok_or(StoreError::Unknown)?;
        Ok(self.inner.append_item(&rendition, item, into))
    }

    /// Which chunks are held, on the disk or in memory.
    #[must_use]
    pub fn held(&self, content: ContentId) -> Option<ChunkSet> {
        self.inner
            .rendition(content)
            .map(|rendition| rendition.lock().held())
    }

    /// The size of a known rendition.
    #[must_use]
    pub fn geometry(&self, content: ContentId) -> Option<Geometry> {
        self.inner
            .rendition(content)
            .map(|rendition| rendition.geometry)
    }

    /// Notes that a rendition was used now, which outlives a restart.
    pub fn touch(&self, content: ContentId) {
        if let Some(rendition) = self.inner.rendition(content) {
            self.inner
                .change(&rendition, |holding| holding.last_used = inner::unix_now());
        }
    }

    /// Notes that others get a rendition: of what is kept for them that is a use.
    pub fn served(&self, content: ContentId) {
        if let Some(rendition) = self.inner.rendition(content)
            && rendition.lock().keep == Keep::Placed
        {
            self.touch(content);
        }
    }

    /// Notes how firmly a rendition is kept. The store only remembers it.
    pub fn set_keep(&self, content: ContentId, keep: Keep) {
        if let Some(rendition) = self.inner.rendition(content) {
            self.inner.change(&rendition, |holding| holding.keep = keep);
        }
    }

    /// Drops a rendition; false if it is unknown. Readers of it end with an error.
    pub fn evict(&self, content: ContentId) -> bool {
        self.inner.evict(content)
    }

    /// Bytes that audio and its outboards take on the disk.
    #[must_use]
    pub fn bytes_on_disk(&self) -> ByteCount {
        ByteCount(self.inner.disk_bytes.load(Ordering::Relaxed))
    }

    /// Whether the disk takes nothing at the moment.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.inner.is_full()
    }

    /// What the store notices by itself. For one receiver: nothing from the second call on.
    #[must_use]
    pub fn notices(&self) -> Option<mpsc::Receiver<StoreNotice>> {
        self.notices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The last value acknowledged under a key. Nothing if there is none or it was damaged, which
    /// [`StoreNotice::StateDamaged`] tells.
    ///
    /// # Errors
    /// If the key is none, the disk fails, or a later release wrote it.
    pub fn state_get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.inner.state_get(key)
    }

    /// Keeps a small value. Once this returns, the value outlives `kill -9` and a power cut; if
    /// it fails, either the old value or this one is there, whole. On a full disk the reserve
    /// makes room.
    ///
    /// # Errors
    /// If the key is none, the value is longer than [`STATE_BYTES_MAX`], or the disk refuses.
    pub fn state_put(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        self.inner.state_put(key, value)
    }

    /// Writes the index now, and tries a failing disk now. True if nothing is left to be done.
    pub fn flush(&self) -> bool {
        !self.inner.upkeep(true)
    }

    /// Writes the index and gives the folder to whoever opens it next. Chunks put later are not
    /// remembered.
    pub fn close(&self) {
        self.thread.stop();
    }

    /// A reader's place in a rendition.
    pub(crate) fn cursor(&self, content: ContentId) -> Option<Cursor> {
        self.inner.rendition(content).map(Cursor::new)
    }

    /// Appends the chunk under a cursor, like [`Self::read_item`].
    pub(crate) fn read_at(&self, cursor: &Cursor, chunk: ChunkIndex, into: &mut Vec<u8>) -> bool {
        self.inner.append_chunk(cursor.rendition(), chunk, into)
    }
}

fn total_bytes(table: &HashMap<ContentId, Arc<rendition::Rendition>>) -> u64 {
    table
        .values()
        .map(|rendition| rendition.disk_bytes(&rendition.lock()))
        .sum()
}

const fn not_kept(error: &StoreError) -> SinkError {
    match error {
        StoreError::Unknown => SinkError::Unknown,
        _ => SinkError::Write,
    }
}

impl ChunkSink for ChunkStore {
    fn put_parent(&self, content: ContentId, outboard_offset: u64, node: &[u8; PARENT_BYTES]) {
        // The chunk that follows says whether the store works; a node that is missing only keeps
        // that chunk from being served.
        let _ = self.inner.put_parent(content, outboard_offset, node);
    }

    fn put_chunk(
        &self,
        content: ContentId,
        chunk: ChunkIndex,
        data: &[u8],
    ) -> Result<bool, SinkError> {
        match self.inner.put_chunk(content, chunk, data) {
            Ok(put) => Ok(put != Put::Already),
            Err(error) => Err(not_kept(&error)),
        }
    }

    fn put_all(&self, content: ContentId, items: &VerifiedItems<'_>) -> Result<(), SinkError> {
        let put = self.inner.put_all(content, items);
        put.map_err(|error| not_kept(&error))
    }
}

impl SpanSource for ChunkStore {
    fn item(
        &self,
        content: ContentId,
        geometry: Geometry,
        item: Item,
        into: &mut Vec<u8>,
    ) -> Result<(), SourceError> {
        self.items(content, geometry, &[item], into)
    }

    fn items(
        &self,
        content: ContentId,
        geometry: Geometry,
        items: &[Item],
        into: &mut Vec<u8>,
    ) -> Result<(), SourceError> {
        let rendition = self.inner.rendition(content).ok_or(SourceError::NotHeld)?;
        if rendition.geometry != geometry {
            return Err(SourceError::NotHeld);
        }
        for item in items {
            if !self.inner.append_item(&rendition, *item, into) {
                return Err(SourceError::Read);
            }
        }
        Ok(())
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// Another process has it.
    #[error("the cache {} is used by another node; stop that one or choose another folder", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// A later release wrote it.
    #[error(
        "the cache {} was written by a newer release; start that one or choose another folder",
        dir.display()
    )]
    Newer {
        /// The folder.
        dir: PathBuf,
    },
    /// The file system refused.
    #[error("the cache {} cannot be opened: {source}; check its permissions", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nobody introduced this rendition, or it was evicted.
    #[error("the store does not know this rendition")]
    Unknown,
    /// The rendition is known with another size.
    #[error("the store knows this rendition with another size")]
    Geometry,
    /// The chunk or node is not of this rendition, or its bytes are not as many as it has.
    #[error("the bytes are no chunk or node of this rendition")]
    Outside,
    /// The disk takes nothing, and everything in memory is needed more.
    #[error("the disk takes nothing and the memory window is full")]
    NoRoom,
    /// The store has as many renditions as it keeps track of.
    #[error("the store keeps track of too many renditions; evict some")]
    TooMany,
}
