//! Small state that must survive: session, queue, schema. One checksummed file a key.
//!
//! A put is acknowledged after the new file is synced, has taken the old one's name and the folder
//! is synced, so an acknowledged put outlives `kill -9` and a power cut, and a torn one leaves the
//! old value. Not for anything large or frequent, and not for audio.
//!
//! ```text
//! "antiphon" | version u8 | payload | BLAKE3 of key and all before, 16 bytes
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;

const MAGIC: &[u8; 8] = b"antiphon";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = MAGIC.len() + 1;
const CHECKSUM_BYTES: usize = 16;
/// Longest value; a queue of 10,000 tracks takes 160 kB. Guess.
pub const STATE_BYTES_MAX: usize = 1024 * 1024;
/// Longest key; guess.
const KEY_BYTES_MAX: usize = 64;

/// The folder of small state.
#[derive(Debug)]
pub(crate) struct StateFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

/// What was found under a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Value(Vec<u8>),
    /// The file was damaged. It was put aside under another name.
    Damaged,
}

impl StateFiles {
    /// Opens the folder and removes what torn puts left.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> io::Result<Self> {
        disk.create_dir(&dir)?;
        for path in disk.list(&dir)? {
            if path.extension().is_some_and(|extension| extension == "new") {
                disk.remove(&path)?;
            }
        }
        Ok(Self { disk, dir })
    }

    pub(crate) fn get(&self, key: &str) -> Result<Found, StateError> {
        let path = self.path(key)?;
        let io_error = |source| StateError::Io {
            key: key.to_owned(),
            source,
        };
        let bytes = match self.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(io_error(error)),
        };
        match decode(key, &bytes) {
            Decoded::Value(value) => Ok(Found::Value(value)),
            Decoded::Newer => Err(StateError::Newer {
                key: key.to_owned(),
            }),
            Decoded::Damaged => {
                let aside = path.with_extension("damaged");
                self.disk.rename(&path, &aside).map_err(io_error)?;
                Ok(Found::Damaged)
            }
        }
    }

    pub(crate) fn put(&self, key: &str, value: &[u8]) -> Result<(), StateError> {
        let path = self.path(key)?;
        if value.len() > STATE_BYTES_MAX {
            return Err(StateError::TooLong {
                key: key.to_owned(),
            });
        }
        let fresh = path.with_extension("new");
        let put = || {
            // A file left by a failed put may hold pages whose sync failed: start from none.
            self.disk.remove(&fresh)?;
            let file = self.disk.open(&fresh, true)?;
            file.write_all_at(&encode(key, value), 0)?;
            file.sync()?;
            drop(file);
            self.disk.rename(&fresh, &path)?;
            self.disk.sync_dir(&self.dir)
        };
        put().map_err(|source| StateError::Io {
            key: key.to_owned(),
            source,
        })
    }

    fn path(&self, key: &str) -> Result<PathBuf, StateError> {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(legal) {
            return Err(StateError::Key {
                key: key.chars().take(KEY_BYTES_MAX).collect(),
            });
        }
        Ok(self.dir.join(key))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.disk.open(path, false)?;
        let bytes_max = (HEADER_BYTES + STATE_BYTES_MAX + CHECKSUM_BYTES) as u64;
        // A longer file is damaged; its first part fails the checksum without being read whole.
        let mut bytes = vec![0; file.size()?.min(bytes_max) as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

enum Decoded {
    Value(Vec<u8>),
    Newer,
    Damaged,
}

fn encode(key: &str, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + value.len() + CHECKSUM_BYTES);
    out.extend_from_slice(MAGIC);
    out.push(VERSION);
    out.extend_from_slice(value);
    let checksum = checksum(key, &out);
    out.extend_from_slice(&checksum);
    out
}

fn decode(key: &str, bytes: &[u8]) -> Decoded {
    let parts = bytes
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .and_then(|body_bytes| bytes.split_at_checked(body_bytes))
        .filter(|(body, claimed)| checksum(key, body) == *claimed)
        .and_then(|(body, _)| body.strip_prefix(MAGIC))
        .and_then(<[u8]>::split_first);
    match parts {
        Some((&VERSION, value)) => Decoded::Value(value.to_vec()),
        // The checksum holds, so this really is what a later release wrote.
        Some(_) => Decoded::Newer,
        None => Decoded::Damaged,
    }
}

fn checksum(key: &str, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::Hasher::new()
        .update(&(key.len() as u64).to_le_bytes())
        .update(key.as_bytes())
        .update(body)
        .finalize();
    let mut out = [0; CHECKSUM_BYTES];
    out.copy_from_slice(&hash.as_bytes()[..CHECKSUM_BYTES]);
    out
}

/// Why small state could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file system refused.
    #[error("state {key:?}: {source}; check the disk's space and permissions")]
    Io {
        /// Which state.
        key: String,
        /// What it said.
        source: io::Error,
    },
    /// A later release wrote it.
    #[error("state {key:?} was written by a newer release; start that one, or remove the file")]
    Newer {
        /// Which state.
        key: String,
    },
    /// Keys are 1 to 64 lower-case letters, digits and dashes.
    #[error("{key:?} is no key of small state: use 1 to 64 of a-z, 0-9 and -")]
    Key {
        /// The start of what was given.
        key: String,
    },
    /// The value is longer than [`STATE_BYTES_MAX`].
    #[error("state {key:?} is longer than {STATE_BYTES_MAX} bytes")]
    TooLong {
        /// Which state.
        key: String,
    },
}

impl StateError {
    /// Whether room on the disk would help.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }
}

/// Whether the disk has no room, for everybody or for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
