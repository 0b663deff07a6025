//! The library folder: where ingest puts things and where the origin and the tracker find them.
//!
//! ```text
//! objects/                    what the origin serves, through `object_store`
//!   content/<content id>.enc    ciphertext of a rendition
//!   content/<content id>.obao   its BLAKE3 outboard
//!   manifest/<track id>.<version>
//!   art/<hash>
//! releases/                   private (mode 0700): what only the tracker reads
//!   <track id>.release          signed manifest and keys
//!   catalog.key, catalog.pub    the Ed25519 pair that signs manifests, in hexadecimal
//!   albums/<album id>/<track id>.loudness
//!   staging/                    unfinished work of a running ingest
//! ```
//!
//! A track exists if and only if its release does. Not here: how a release comes to be.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_protocol::manifest::TrackManifest;
use antiphon_protocol::release::{Release, ReleaseError};
use antiphon_protocol::signed::OpenError;
use antiphon_protocol::{ArtId, ContentId, TrackId};
use ed25519_dalek::{SigningKey, VerifyingKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use zeroize::Zeroizing;

/// Longest release file read: the protocol's own limit is checked again by its decoder.
const RELEASE_BYTES_MAX: u64 = 1024 * 1024;

/// A library folder, opened.
#[derive(Debug)]
pub struct Library {
    root: PathBuf,
    objects: Arc<LocalFileSystem>,
    catalog: SigningKey,
}

impl Library {
    /// Opens the folder `dir`, creating it, its parts and the catalog's key where missing.
    ///
    /// # Errors
    /// If the folder cannot be made or read, or the key file is damaged.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, LibraryError> {
        let root = dir.into();
        let objects = root.join("objects");
        fs::create_dir_all(&objects).map_err(|source| LibraryError::io(&objects, source))?;
        for private in ["releases", "releases/albums", "releases/staging"] {
            let path = root.join(private);
            make_private(&path).map_err(|source| LibraryError::io(&path, source))?;
        }
        let store = LocalFileSystem::new_with_prefix(&objects)
            .map_err(|source| LibraryError::io(&objects, source.into()))?;
        let catalog = load_or_create_key(&root.join("releases"))?;
        Ok(Self {
            root,
            objects: Arc::new(store.with_fsync(true)),
            catalog,
        })
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store of served objects. Writes through it are atomic and durable when they return.
    #[must_use]
    pub fn objects(&self) -> Arc<LocalFileSystem> {
        Arc::clone(&self.objects)
    }

    /// The key that manifests of this library are checked with.
    #[must_use]
    pub fn catalog_public(&self) -> VerifyingKey {
        self.catalog.verifying_key()
    }

    /// The key that signs manifests.
    pub(crate) const fn catalog_secret(&self) -> &SigningKey {
        &self.catalog
    }

    /// The private folder that the tracker reads.
    #[must_use]
    pub fn releases_dir(&self) -> PathBuf {
        self.root.join("releases")
    }

    /// The release file of a track, whether or not it exists.
    #[must_use]
    pub fn release_path(&self, track: TrackId) -> PathBuf {
        self.releases_dir().join(format!("{track}.release"))
    }

    /// Reads a track's release and opens its manifest; nothing if the track is not here.
    ///
    /// # Errors
    /// If the file is there but damaged, or signed by another catalog.
    pub fn release(
        &self,
        track: TrackId,
    ) -> Result<Option<(Release, TrackManifest)>, LibraryError> {
        let path = self.release_path(track);
        let bytes = match read_bounded(&path, RELEASE_BYTES_MAX) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LibraryError::io(&path, source)),
        };
        let release = Release::from_bytes(&bytes).map_err(|source| LibraryError::Release {
            path: path.clone(),
            source,
        })?;
        let manifest = release
            .manifest
            .open(&self.catalog_public())
            .map_err(|source| LibraryError::Manifest { path, source })?;
        Ok(Some((release, manifest)))
    }

    /// The tracks that have a release, in order of their ids.
    ///
    /// # Errors
    /// If the folder cannot be listed.
    pub fn tracks(&self) -> Result<Vec<TrackId>, LibraryError> {
        let dir = self.releases_dir();
        let wrap = |source| LibraryError::io(&dir, source);
        let mut tracks = Vec::new();
        for entry in fs::read_dir(&dir).map_err(wrap)? {
            let name = entry.map_err(wrap)?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".release"));
            tracks.extend(id.and_then(|id| id.parse::<TrackId>().ok()));
        }
        tracks.sort_unstable();
        Ok(tracks)
    }

    /// Takes the one right to write to this library, until the file returned is dropped.
    pub(crate) fn lock_for_writing(&self) -> Result<File, LibraryError> {
        let path = self.releases_dir().join("ingest.lock");
        let file = private_options()
            .open(&path)
            .map_err(|source| LibraryError::io(&path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(LibraryError::Busy(self.root.clone())),
            Err(TryLockError::Error(source)) => Err(LibraryError::io(&path, source)),
        }
    }

    /// Replaces a file under `releases/` so that after a crash the old or the new one is whole.
    pub(crate) fn write_private(&self, path: &Path, bytes: &[u8]) -> Result<(), LibraryError> {
        let wrap = |source| LibraryError::io(path, source);
        let parent = path.parent().unwrap_or(&self.root);
        make_private(parent).map_err(wrap)?;
        write_durably(path, bytes, 0o600).map_err(wrap)
    }
}

/// Where the ciphertext of a rendition is, in the object store.
#[must_use]
pub fn content_path(content: ContentId) -> ObjectPath {
    ObjectPath::from(format!("content/{content}.enc"))
}

/// Where the outboard of a rendition is, in the object store.
#[must_use]
pub fn outboard_path(content: ContentId) -> ObjectPath {
    ObjectPath::from(format!("content/{content}.obao"))
}

/// Where one version of a track's manifest is, in the object store.
#[must_use]
pub fn manifest_path(track: TrackId, version: u32) -> ObjectPath {
    ObjectPath::from(format!("manifest/{track}.{version}"))
}

/// Where a cover is, in the object store.
#[must_use]
pub fn art_path(art: ArtId) -> ObjectPath {
    ObjectPath::from(format!("art/{art}"))
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    io::Read::read_to_end(&mut io::Read::take(file, limit + 1), &mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn make_private(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    }
    Ok(())
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}

fn write_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut staged = path.as_os_str().to_owned();
    staged.push(".new");
    let staged = PathBuf::from(staged);
    let mut file = private_options().open(&staged)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn load_or_create_key(releases: &Path) -> Result<SigningKey, LibraryError> {
    let path = releases.join("catalog.key");
    let key = match read_bounded(&path, 256) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            parse_key(&text).ok_or_else(|| LibraryError::Key(path.clone()))?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut secret = Zeroizing::new([0_u8; 32]);
            rand::Rng::fill_bytes(&mut rand::rng(), secret.as_mut());
            let text = Zeroizing::new(format!("{}\n", hex(secret.as_ref())));
            write_durably(&path, text.as_bytes(), 0o600)
                .map_err(|source| LibraryError::io(&path, source))?;
            SigningKey::from_bytes(&secret)
        }
        Err(source) => return Err(LibraryError::io(&path, source)),
    };
    let public = releases.join("catalog.pub");
    if !public.exists() {
        let text = format!("{}\n", hex(key.verifying_key().as_bytes()));
        write_durably(&public, text.as_bytes(), 0o644)
            .map_err(|source| LibraryError::io(&public, source))?;
    }
    Ok(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse_key(text: &[u8]) -> Option<SigningKey> {
    // An id of 32 bytes has exactly the text form of the key.
    let id: ContentId = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    Some(SigningKey::from_bytes(id.as_bytes()))
}

/// Why a library could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The catalog's key file does not hold a key.
    #[error("{}: not a catalog key (64 hexadecimal digits); restore it from a backup", .0.display())]
    Key(PathBuf),
    /// A release file is damaged.
    #[error("{}: {source}", path.display())]
    Release {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ReleaseError,
    },
    /// A release's manifest was not signed by this library's catalog key, or is damaged.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: OpenError,
    },
    /// An object could not be read or written.
    #[error("object {object}: {source}")]
    Object {
        /// Its name in the store.
        object: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// Another ingest is writing to the same library.
    #[error("another ingest is running on {}; wait for it to end", .0.display())]
    Busy(PathBuf),
}

impl LibraryError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn object(object: &ObjectPath, source: object_store::Error) -> Self {
        Self::Object {
            object: object.to_string(),
            source,
        }
    }
}
