//! Opening a folder that may be new, old, damaged, somebody else's or from a later release.
//!
//! What the index claims is compared with the files' lengths here and with hashes on first use.
//! Files that nothing claims are removed; claims without files are dropped.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::{ChunkSet, ContentId};

use super::disk::Disk;
use super::files::Paths;
use super::index::{Index, IndexError};
use super::inner::unix_now;
use super::notice::{Notices, StoreNotice};
use super::record::Record;
use super::rendition::Rendition;
use super::state_file::{Found, StateError, StateFiles};
use super::{Held, OpenStoreError};

/// The layout of the whole folder. A store refuses a folder of a later one.
const SCHEMA: u32 = 1;
const SCHEMA_KEY: &str = "schema";
/// Starts that may end inside the index engine before its files are put aside: one may have been
/// an unlucky kill.
const OPENINGS_MAX: u64 = 2;

/// Takes the folder for this process.
pub(crate) fn lock_folder(dir: &Path) -> Result<Option<File>, OpenStoreError> {
    let io_error = |source| OpenStoreError::Io {
        dir: dir.to_owned(),
        source,
    };
    let path = dir.join("lock");
    let file = match OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
    {
        Ok(file) => file,
        // Nobody can write here, so nobody else can be writing.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenStoreError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(io_error(source)),
    }
}

/// Refuses a folder of a later release, and marks a new one as ours.
pub(crate) fn check_schema(
    dir: &Path,
    state: &StateFiles,
    notices: &Notices,
) -> Result<(), OpenStoreError> {
    let found = match state.get(SCHEMA_KEY) {
        Err(StateError::Newer { .. }) => {
            return Err(OpenStoreError::Newer {
                dir: dir.to_owned(),
            });
        }
        // Not being able to read it says nothing about what it is.
        Err(error) => {
            tracing::warn!(%error, "the cache's schema cannot be read");
            return Ok(());
        }
        Ok(found) => found,
    };
    match found {
        Found::Value(value) => match <[u8; 4]>::try_from(value.as_slice()) {
            Ok(number) if u32::from_le_bytes(number) == SCHEMA => return Ok(()),
            _ => {
                return Err(OpenStoreError::Newer {
                    dir: dir.to_owned(),
                });
            }
        },
        Found::Damaged => {
            notices.damage(StoreNotice::StateDamaged {
                key: SCHEMA_KEY.to_owned(),
            });
        }
        Found::Nothing => {}
    }
    if let Err(error) = state.put(SCHEMA_KEY, &SCHEMA.to_le_bytes()) {
        tracing::warn!(%error, "the cache's schema cannot be written");
    }
    Ok(())
}

/// The index and its entries; true if its old files were damaged and have been put aside.
pub(crate) fn open_index(dir: &Path, disk: &dyn Disk) -> Result<(Index, bool), IndexError> {
    let path = dir.join("index");
    let opening = Opening::begin(dir, disk);
    let mut damaged = false;
    if opening.failed_before() {
        damaged = put_aside(&path);
    }
    let opened = match Index::open(&path) {
        Err(error) if !error.is_disk() => {
            tracing::warn!(dir = %path.display(), %error, "the cache's index is damaged");
            damaged = put_aside(&path);
            Index::open(&path)
        }
        opened => opened,
    };
    opening.end();
    opened.map(|index| (index, damaged))
}

/// Opens the index and reads it. No index at all if the disk does not let us.
pub(crate) fn load_index(
    dir: &Path,
    disk: &dyn Disk,
    notices: &Notices,
) -> (Option<Index>, Vec<(ContentId, Option<Record>)>) {
    let (index, damaged) = match open_index(dir, disk) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "the cache's index cannot be opened");
            return (None, Vec::new());
        }
    };
    if damaged {
        notices.damage(StoreNotice::IndexDamaged);
    }
    match index.load() {
        Ok(records) => (Some(index), records),
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "the cache's index cannot be read");
            index.close();
            put_aside(&dir.join("index"));
            notices.damage(StoreNotice::IndexDamaged);
            (Index::open(&dir.join("index")).ok(), Vec::new())
        }
    }
}

/// Keeps what the files can back up. Returns the table and the names of entries to take out of
/// the index.
pub(crate) fn check_claims(
    audio: &Path,
    disk: &dyn Disk,
    records: Vec<(ContentId, Option<Record>)>,
) -> (HashMap<ContentId, Arc<Rendition>>, Vec<ContentId>) {
    let mut table = HashMap::new();
    let mut unusable = Vec::new();
    for (content, record) in records {
        let record = record.and_then(|record| backed_up(audio, disk, content, record));
        match record {
            Some(record) => {
                let rendition = Rendition::from_record(content, record);
                table.insert(content, Arc::new(rendition));
            }
            None => unusable.push(content),
        }
    }
    (table, unusable)
}

fn backed_up(
    audio: &Path,
    disk: &dyn Disk,
    content: ContentId,
    mut record: Record,
) -> Option<Record> {
    let path = Paths::of(audio, content).audio;
    let len = disk.open(&path, false).and_then(|file| file.size()).ok()?;
    let mut held = ChunkSet::empty(record.geometry);
    for chunk in record.held.iter() {
        if chunk.byte_offset() + record.geometry.chunk_bytes(chunk) as u64 <= len {
            held.insert(chunk);
        }
    }
    record.held = held;
    (!record.held.is_empty()).then_some(record)
}

/// Removes files that nothing claims: of evictions cut short, and of chunks the index had not
/// heard of.
pub(crate) fn sweep(
    audio: &Path,
    disk: &dyn Disk,
    table: &HashMap<ContentId, Arc<Rendition>>,
) -> io::Result<()> {
    for dir in disk.list(audio)? {
        // Only our own folders are looked into.
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.len() != 2 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        for path in disk.list(&dir)? {
            let ours = ["enc", "obao"]
                .iter()
                .any(|extension| path.extension() == Some(extension.as_ref()));
            let claimed = Paths::owner(&path).is_some_and(|owner| table.contains_key(&owner));
            if !(ours && claimed) {
                disk.remove(&path)?;
            }
        }
    }
    Ok(())
}

/// What the driver is told of a rendition found on the disk.
pub(crate) fn report(rendition: &Rendition) -> Held {
    let holding = rendition.lock();
    let idle = unix_now().0.saturating_sub(holding.last_used.0);
    Held {
        content: rendition.content,
        geometry: rendition.geometry,
        held: holding.held(),
        idle: Duration::from_secs(idle),
        keep: holding.keep,
    }
}

/// Counts starts that never came out of the index engine: damage that makes it hang or use all
/// memory ends the process, and nothing in it can tell.
struct Opening<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    before: u64,
}

impl<'a> Opening<'a> {
    fn begin(dir: &Path, disk: &'a dyn Disk) -> Self {
        let path = dir.join("index.opening");
        let count = || -> io::Result<u64> {
            let file = disk.open(&path, true)?;
            let before = file.size()?;
            file.write_all_at(b"!", before)?;
            Ok(before)
        };
        // A disk that cannot count cannot hold an index either, and that shows by itself.
        let before = count().unwrap_or(0);
        Self { disk, path, before }
    }

    const fn failed_before(&self) -> bool {
        self.before >= OPENINGS_MAX
    }

    fn end(self) {
        if let Err(error) = self.disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a mark cannot be removed");
        }
    }
}

/// Moves a damaged index out of the way, in place of the one before it. True if it is gone.
fn put_aside(index: &Path) -> bool {
    let aside = index.with_extension("damaged");
    let moved = match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::rename(index, &aside),
    };
    moved.or_else(|_| fs::remove_dir_all(index)).is_ok()
}
