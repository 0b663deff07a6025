//! Watches the releases folder that ingest writes, and takes new releases into the catalog.
//!
//! A file that is damaged or not to be trusted is named in a warning and skipped; it is looked at
//! again when it changes. A file that disappears withdraws nothing.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use antiphon_protocol::TrackId;
use antiphon_protocol::release::Release;
use ed25519_dalek::VerifyingKey;
use zeroize::Zeroizing;

use super::{Catalog, ImportError, Imported};

/// The trust key's file in the releases folder.
const PUBLIC_KEY_FILE: &str = "catalog.pub";
const RELEASE_SUFFIX: &str = ".release";
/// Above the largest release: a file beyond it is not read at all.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Changes that were read but not yet taken in at most, so that memory stays small.
const BATCH: usize = 64;
/// A file rewritten in place leaves the folder's time alone, so every so many looks go through
/// all files although the folder did not change.
const FULL_SCAN_EVERY: u32 = 10;

/// How a scan went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanOutcome {
    /// Releases that are new or replaced an older version.
    pub taken: usize,
    /// Files that were skipped with a warning.
    pub refused: usize,
    /// Releases the database could not take; they are tried again.
    pub failed: usize,
}

/// Remembers what it has seen, so that an unchanged folder costs one `stat`.
#[derive(Debug)]
pub(crate) struct ReleaseScanner {
    folder: PathBuf,
    folder_changed: Option<SystemTime>,
    looks: u32,
    seen: HashMap<OsString, Stamp>,
}

/// Changes whenever a file does, even within the clock's resolution if it was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    file: u64,
}

struct Changed {
    path: PathBuf,
    name: OsString,
    stamp: Stamp,
    release: Result<(TrackId, Release), String>,
}

impl ReleaseScanner {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            folder_changed: None,
            looks: 0,
            seen: HashMap::new(),
        }
    }

    /// Takes in what changed since the last look. `thorough` looks at every file.
    pub(crate) async fn scan(
        &mut self,
        catalog: &Catalog,
        key: &VerifyingKey,
        thorough: bool,
    ) -> ScanOutcome {
        let mut outcome = ScanOutcome::default();
        let folder_changed = modified(&self.folder).await;
        self.looks = self.looks.wrapping_add(1);
        let unchanged = folder_changed.is_some() && folder_changed == self.folder_changed;
        if unchanged && !thorough && !self.looks.is_multiple_of(FULL_SCAN_EVERY) {
            return outcome;
        }
        let mut names = match self.changed_names().await {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return outcome,
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error,
                    "cannot read the releases folder; the catalog stays as it is");
                return outcome;
            }
        };
        while !names.is_empty() {
            let batch: Vec<_> = names.drain(..names.len().min(BATCH)).collect();
            for changed in self.read(batch).await {
                self.take(changed, catalog, key, &mut outcome).await;
            }
        }
        // After a failure of the database the same files are due again.
        self.folder_changed = folder_changed.filter(|_| outcome.failed == 0);
        outcome
    }

    async fn take(
        &mut self,
        changed: Changed,
        catalog: &Catalog,
        key: &VerifyingKey,
        outcome: &mut ScanOutcome,
    ) {
        let file = changed.path.display();
        let result = match &changed.release {
            Ok((track, release)) => catalog.import(release, *track, key).await,
            Err(reason) => Err(ImportError::File(reason.clone())),
        };
        match result {
            Ok(Imported::Taken) => outcome.taken += 1,
            Ok(Imported::Known) => {}
            Err(ImportError::Store(error)) => {
                outcome.failed += 1;
                tracing::error!(%file, %error, "a release could not be stored; trying again soon");
                return;
            }
            Err(reason) => {
                outcome.refused += 1;
                tracing::warn!(%file, %reason, "a release is skipped; ingest the track again");
            }
        }
        self.seen.insert(changed.name, changed.stamp);
    }

    /// Names of release files that are not as they were, in order.
    async fn changed_names(&mut self) -> io::Result<Vec<(OsString, Stamp)>> {
        let folder = self.folder.clone();
        let listed = blocking(move || list(&folder)).await?;
        self.seen.retain(|name, _| listed.contains_key(name));
        let mut changed: Vec<_> = listed
            .into_iter()
            .filter(|(name, stamp)| self.seen.get(name) != Some(stamp))
            .collect();
        changed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(changed)
    }

    async fn read(&self, names: Vec<(OsString, Stamp)>) -> Vec<Changed> {
        let folder = self.folder.clone();
        let read = blocking(move || {
            let read = names.into_iter().map(|(name, stamp)| {
                let path = folder.join(&name);
                Changed {
                    release: read_release(&path, stamp),
                    path,
                    name,
                    stamp,
                }
            });
            Ok(read.collect())
        });
        read.await.unwrap_or_default()
    }
}

/// The key that manifests must be signed with, if ingest has made one yet.
pub(crate) async fn catalog_key(folder: &Path) -> Result<Option<VerifyingKey>, CatalogKeyError> {
    let path = folder.join(PUBLIC_KEY_FILE);
    let bytes = match tokio::fs::read(&path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CatalogKeyError::Unreadable { path, source }),
    };
    let damaged = || CatalogKeyError::Damaged { path: path.clone() };
    let key: [u8; 32] = match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(key) => key,
        Err(_) => {
            let text = str::from_utf8(&bytes).map_err(|_| damaged())?;
            let hash = blake3::Hash::from_hex(text.trim()).map_err(|_| damaged())?;
            *hash.as_bytes()
        }
    };
    match VerifyingKey::from_bytes(&key) {
        Ok(key) if !key.is_weak() => Ok(Some(key)),
        _ => Err(damaged()),
    }
}

/// Why the catalog's public key could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogKeyError {
    /// The system refused.
    #[error("cannot read the catalog's public key {path}: {source}; check its owner")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No key.
    #[error("{path} is no public key; copy it again from the machine that ingests")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

fn list(folder: &Path) -> io::Result<HashMap<OsString, Stamp>> {
    let mut listed = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_string_lossy().ends_with(RELEASE_SUFFIX) {
            continue;
        }
        // A file that went away between the two calls is seen next time.
        let Ok(metadata) = fs::metadata(entry.path()) else {
            continue;
        };
        #[cfg(unix)]
        let file = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let file = 0;
        let stamp = Stamp {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            file,
        };
        listed.insert(name, stamp);
    }
    Ok(listed)
}

fn read_release(path: &Path, stamp: Stamp) -> Result<(TrackId, Release), String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let track: TrackId = stem
        .parse()
        .map_err(|_| "its name is not a track id".to_owned())?;
    if stamp.bytes > FILE_BYTES_MAX {
        return Err("it is too large to be a release".to_owned());
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let bytes = Zeroizing::new(bytes);
    let release = Release::from_bytes(&bytes).map_err(|error| error.to_string())?;
    Ok((track, release))
}

async fn modified(path: &Path) -> Option<SystemTime> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    metadata.modified().ok()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error)))
}
