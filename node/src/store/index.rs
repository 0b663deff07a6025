//! The engine under the index: sled, contained.
//!
//! It keeps claims only ([`Record`]), each with its own checksum, so nothing depends on it being
//! right. It may fail, panic or refuse its own files; all three end up as an [`IndexError`], and
//! whoever holds the truth (the store's table in memory) writes it anew into a fresh one.
//! Not here: when to write, and what to do about damage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use antiphon_protocol::ContentId;

use super::record::Record;

/// Pages of the index kept in memory. A full cache of 1,270 renditions needs about 150 kB.
const CACHE_BYTES: u64 = 1024 * 1024;
/// The engine's file grows by this much; its own default of 512 KiB is a lot for a small cache.
const SEGMENT_BYTES: usize = 64 * 1024;
/// The engine gives up its lock a little after it is dropped, because its own threads finish first.
const LOCK_WAIT: Duration = Duration::from_millis(20);
const LOCK_WAITS: u32 = 100;

/// An open index.
pub(crate) struct Index {
    db: sled::Db,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Index(..)")
    }
}

impl Index {
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let mut waits = 0;
        loop {
            let opened = contain(|| {
                sled::Config::new()
                    .path(path)
                    .cache_capacity(CACHE_BYTES)
                    .segment_size(SEGMENT_BYTES)
                    .flush_every_ms(None)
                    .open()
            });
            match opened {
                Ok(db) => return Ok(Self { db }),
                Err(error) if error.is_lock() && waits < LOCK_WAITS => {
                    waits += 1;
                    thread::sleep(LOCK_WAIT);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// All entries that are whole, and the names of those that are not.
    pub(crate) fn load(&self) -> Result<Vec<(ContentId, Option<Record>)>, IndexError> {
        contain(|| {
            let mut records = Vec::new();
            for entry in self.db.iter() {
                let (key, value) = entry?;
                // A key that is no name belongs to nothing and is left behind.
                if let Ok(name) = <[u8; 32]>::try_from(key.as_ref()) {
                    let content = ContentId(name);
                    records.push((content, Record::decode(content, &value)));
                }
            }
            Ok(records)
        })
    }

    pub(crate) fn put(&self, content: ContentId, record: &Record) -> Result<(), IndexError> {
        let bytes = record.encode(content);
        contain(|| {
            self.db
                .insert(content.as_bytes(), bytes.as_slice())
                .map(drop)
        })
    }

    pub(crate) fn remove(&self, content: ContentId) -> Result<(), IndexError> {
        contain(|| self.db.remove(content.as_bytes()).map(drop))
    }

    /// Makes everything put and removed so far survive.
    pub(crate) fn flush(&self) -> Result<(), IndexError> {
        contain(|| self.db.flush().map(drop))
    }

    /// Gives the files back. Dropping may panic inside the engine when the disk is failing.
    pub(crate) fn close(self) {
        let _ = contain(move || {
            drop(self.db);
            Ok(())
        });
    }
}

fn contain<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(IndexError::Engine),
        Err(_) => Err(IndexError::Panicked),
    }
}

/// Why the index is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    #[error("the index engine failed: {0}")]
    Engine(sled::Error),
    #[error("the index engine panicked")]
    Panicked,
}

impl IndexError {
    fn is_lock(&self) -> bool {
        matches!(self, Self::Engine(sled::Error::Io(error))
            if error.to_string().contains("could not acquire lock"))
    }

    /// Whether the disk refused rather than the files being damaged.
    pub(crate) fn is_disk(&self) -> bool {
        matches!(self, Self::Engine(sled::Error::Io(error))
            if !matches!(error.kind(), std::io::ErrorKind::UnexpectedEof
                | std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput))
    }
}
