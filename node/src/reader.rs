//! A rendition as the player wants it: decrypted Ogg bytes to read and seek, waiting where bytes
//! are still to come.
//!
//! Not here: making them come. The driver hears from the observer where the reader is and what it
//! waits for.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::{ByteCount, CHUNK_BYTES, ChunkIndex, ContentId, Geometry};
use zeroize::Zeroize;

use crate::store::{ChunkStore, Cursor, Stopped, Stopper, StoreError};

/// What a reader tells while it reads, from the thread that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderEvent {
    /// It reads in another chunk than before. Comes before it waits for that chunk.
    Entered(ChunkIndex),
    /// The chunk is not here: it waits.
    Waiting(ChunkIndex),
    /// The chunk came, or the wait was given up.
    Resumed {
        /// Which chunk it waited for.
        chunk: ChunkIndex,
        /// How long.
        waited: Duration,
    },
}

/// Decrypted bytes of one rendition.
///
/// `read` returns what the current chunk still has and waits only for the chunk it is in. A wait
/// ends by itself when the chunk arrives; with [`io::ErrorKind::Interrupted`] after
/// [`ReaderControl::interrupt`], after which reading on is fine; and with
/// [`io::ErrorKind::ConnectionAborted`] for good after [`ReaderControl::abort`], because readers
/// at large retry `Interrupted` without asking. A rendition that is evicted while it is read gives
/// [`io::ErrorKind::NotFound`]. `seek` never waits.
pub struct TrackReader {
    store: ChunkStore,
    cursor: Cursor,
    key: ContentKey,
    geometry: Geometry,
    position: u64,
    entered: Option<ChunkIndex>,
    /// The chunk in `clear`.
    buffered: Option<ChunkIndex>,
    clear: Vec<u8>,
    observer: Box<dyn Fn(ReaderEvent) + Send + Sync>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    aborted: AtomicBool,
    bytes_served: AtomicU64,
    waits: Mutex<Waits>,
}

#[derive(Debug, Default)]
struct Waits {
    count: u64,
    total: Duration,
    since: Option<Instant>,
}

/// Steers and watches a [`TrackReader`] from another thread.
#[derive(Clone, Debug)]
pub struct ReaderControl {
    stopper: Stopper,
    shared: Arc<Shared>,
}

/// What a reader has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Bytes given to whoever reads.
    pub bytes_served: ByteCount,
    /// How often it had to wait.
    pub waits: u64,
    /// How long altogether, a wait still going on included.
    pub waited: Duration,
    /// How long it has been waiting now; nothing if it is not.
    pub waiting: Option<Duration>,
}

impl TrackReader {
    /// A reader at the start of a rendition, which the store gets to know if it did not.
    ///
    /// # Errors
    /// If the store knows the rendition with another size, or knows too many.
    pub fn new(
        store: ChunkStore,
        content: ContentId,
        geometry: Geometry,
        key: ContentKey,
        observer: impl Fn(ReaderEvent) + Send + Sync + 'static,
    ) -> Result<(Self, ReaderControl), StoreError> {
        store.create(content, geometry)?;
        let cursor = store.cursor(content).ok_or(StoreError::Unknown)?;
        let shared = Arc::new(Shared::default());
        let control = ReaderControl {
            stopper: cursor.stopper(),
            shared: Arc::clone(&shared),
        };
        let reader = Self {
            store,
            cursor,
            key,
            geometry,
            position: 0,
            entered: None,
            buffered: None,
            clear: Vec::with_capacity(CHUNK_BYTES as usize),
            observer: Box::new(observer),
            shared,
        };
        Ok((reader, control))
    }

    /// Bytes of the whole rendition, whether they are here or not.
    #[must_use]
    pub const fn byte_len(&self) -> u64 {
        self.geometry.size().0
    }

    /// Where the next read starts.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    fn fill(&mut self, chunk: ChunkIndex) -> io::Result<()> {
        if self.shared.aborted.load(Ordering::Acquire) {
            return Err(stopped(Stopped::Aborted));
        }
        if self.entered.replace(chunk) != Some(chunk) {
            (self.observer)(ReaderEvent::Entered(chunk));
        }
        while self.buffered != Some(chunk) {
            self.wait(chunk)?;
            self.buffered = None;
            self.clear.clear();
            // A chunk that turns out wrong is lost, told by the store, and waited for again.
            if self.store.read_at(&self.cursor, chunk, &mut self.clear) {
                self.key.apply(chunk.byte_offset(), &mut self.clear);
                self.buffered = Some(chunk);
            }
        }
        Ok(())
    }

    fn wait(&self, chunk: ChunkIndex) -> io::Result<()> {
        let mut began = None;
        let outcome = self.cursor.wait(chunk, || {
            began = Some(Instant::now());
            self.shared.waits().since = began;
            (self.observer)(ReaderEvent::Waiting(chunk));
        });
        if let Some(began) = began {
            let waited = began.elapsed();
            let mut waits = self.shared.waits();
            waits.count += 1;
            waits.total += waited;
            waits.since = None;
            drop(waits);
            (self.observer)(ReaderEvent::Resumed { chunk, waited });
        }
        outcome.map(drop).map_err(stopped)
    }
}

impl Read for TrackReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.byte_len() || into.is_empty() {
            return Ok(0);
        }
        let chunk = ChunkIndex::of_byte(self.position);
        self.fill(chunk)?;
        let within = (self.position - chunk.byte_offset()) as usize;
        let mut rest = self.clear.get(within..).unwrap_or_default();
        let read = rest.read(into)?;
        self.position += read as u64;
        self.shared
            .bytes_served
            .fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for TrackReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.byte_len().checked_add_signed(by),
        };
        self.position = target.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "seek before the start of the track",
            )
        })?;
        Ok(self.position)
    }
}

impl Drop for TrackReader {
    fn drop(&mut self) {
        // The key wipes itself; what it opened goes too.
        self.clear.zeroize();
    }
}

impl fmt::Debug for TrackReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackReader")
            .field("content", &self.cursor.rendition().content)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl ReaderControl {
    /// Ends the reader: this read and every later one fails.
    pub fn abort(&self) {
        self.shared.aborted.store(true, Ordering::Release);
        self.stopper.abort();
    }

    /// Makes the read that waits now, or the next that looks for a chunk, return
    /// [`io::ErrorKind::Interrupted`] once.
    pub fn interrupt(&self) {
        self.stopper.interrupt();
    }

    /// What the reader has done so far.
    #[must_use]
    pub fn stats(&self) -> ReaderStats {
        let waits = self.shared.waits();
        let waiting = waits.since.map(|since| since.elapsed());
        ReaderStats {
            bytes_served: ByteCount(self.shared.bytes_served.load(Ordering::Relaxed)),
            waits: waits.count + u64::from(waiting.is_some()),
            waited: waits.total + waiting.unwrap_or_default(),
            waiting,
        }
    }
}

impl Shared {
    fn waits(&self) -> std::sync::MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stopped(why: Stopped) -> io::Error {
    match why {
        Stopped::Aborted => io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "reading the track was aborted",
        ),
        Stopped::Interrupted => io::Error::new(
            io::ErrorKind::Interrupted,
            "something else is wanted of the reader",
        ),
        Stopped::Evicted => io::Error::new(
            io::ErrorKind::NotFound,
            "the track was dropped from the cache while it was read; play it again",
        ),
    }
}

#[cfg(test)]
mod tests;
