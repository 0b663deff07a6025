//! The two files of a rendition, and how many of them are open at once.
//!
//! `audio/<first byte>/<name>.enc` is the ciphertext with holes where chunks are missing,
//! `.obao` beside it the hash tree's inner nodes, likewise. Not here: what is in them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use antiphon_protocol::ContentId;

use super::disk::{Disk, DiskFile};
use super::rendition::Rendition;

/// A rendition's files while they are open.
pub(crate) struct Files {
    pub(crate) audio: Box<dyn DiskFile>,
    pub(crate) outboard: Box<dyn DiskFile>,
}

/// A rendition's files, open or not.
#[derive(Default)]
pub(crate) struct FileSlot {
    open: Option<Arc<Files>>,
    /// Set with the eviction, under the same lock that opening takes, so that no late write
    /// brings the files back.
    evicted: bool,
}

impl fmt::Debug for FileSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSlot")
            .field("open", &self.open.is_some())
            .field("evicted", &self.evicted)
            .finish()
    }
}

/// Opens and closes files so that a bounded number is open.
#[derive(Debug)]
pub(crate) struct Handles {
    disk: Arc<dyn Disk>,
    audio: PathBuf,
    open_max: usize,
    open: Mutex<Vec<Weak<Rendition>>>,
    uses: AtomicU64,
}

impl Handles {
    /// `open_max` counts renditions, each with two files.
    pub(crate) fn new(disk: Arc<dyn Disk>, audio: PathBuf, open_max: usize) -> Self {
        let open_max = open_max.max(1);
        Self {
            disk,
            audio,
            open_max,
            open: Mutex::default(),
            uses: AtomicU64::new(0),
        }
    }

    /// The rendition's files, opened if need be, made if `create` says so.
    pub(crate) fn files(&self, rendition: &Arc<Rendition>, create: bool) -> io::Result<Arc<Files>> {
        rendition
            .files_used
            .store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut slot = rendition
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if slot.evicted {
            return Err(io::ErrorKind::NotFound.into());
        }
        if let Some(files) = &slot.open {
            return Ok(Arc::clone(files));
        }
        let paths = Paths::of(&self.audio, rendition.content);
        let files = match self.open(&paths, create) {
            // The folder is missing: the first of its kind, or somebody cleaned up.
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                self.disk.create_dir(&paths.dir)?;
                self.open(&paths, create)?
            }
            opened => opened?,
        };
        let files = Arc::new(files);
        slot.open = Some(Arc::clone(&files));
        drop(slot);
        self.admit(rendition);
        Ok(files)
    }

    /// Closes the files for good and takes their names away, which is quick; removing what is
    /// returned frees their room, which may not be.
    pub(crate) fn evict(&self, rendition: &Rendition) -> Vec<PathBuf> {
        let mut slot = rendition
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slot.evicted = true;
        slot.open = None;
        let number = self.uses.fetch_add(1, Ordering::Relaxed);
        let paths = Paths::of(&self.audio, rendition.content);
        let mut gone = Vec::new();
        for path in [paths.audio, paths.outboard] {
            let aside = path.with_extension(format!("gone-{number}"));
            match self.disk.rename(&path, &aside) {
                Ok(()) => gone.push(aside),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => gone.push(path),
            }
        }
        gone
    }

    /// Closes the files without touching them, after they gave an error.
    pub(crate) fn close(&self, rendition: &Rendition) {
        rendition
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .open = None;
    }

    fn open(&self, paths: &Paths, create: bool) -> io::Result<Files> {
        Ok(Files {
            audio: self.disk.open(&paths.audio, create)?,
            outboard: self.disk.open(&paths.outboard, create)?,
        })
    }

    /// Counts newly opened files and closes those used longest ago. Called without the
    /// rendition's own lock, so that two openings cannot wait for each other.
    fn admit(&self, rendition: &Arc<Rendition>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| {
            other.upgrade().is_some_and(|other| {
                let slot = other.files.lock().unwrap_or_else(PoisonError::into_inner);
                slot.open.is_some() && !Arc::ptr_eq(&other, rendition)
            })
        });
        while open.len() >= self.open_max {
            let used = |other: &Weak<Rendition>| {
                other
                    .upgrade()
                    .map_or(0, |other| other.files_used.load(Ordering::Relaxed))
            };
            let oldest = open.iter().enumerate().min_by_key(|(_, other)| used(other));
            let Some((at, _)) = oldest else { break };
            if let Some(oldest) = open.swap_remove(at).upgrade() {
                self.close(&oldest);
            }
        }
        open.push(Arc::downgrade(rendition));
    }
}

/// Where a rendition's files are.
pub(crate) struct Paths {
    dir: PathBuf,
    pub(crate) audio: PathBuf,
    pub(crate) outboard: PathBuf,
}

impl Paths {
    pub(crate) fn of(audio: &Path, content: ContentId) -> Self {
        let name = content.to_string();
        let dir = audio.join(name.get(..2).unwrap_or_default());
        Self {
            audio: dir.join(format!("{name}.enc")),
            outboard: dir.join(format!("{name}.obao")),
            dir,
        }
    }

    /// Whose file this is, if it is one of ours.
    pub(crate) fn owner(path: &Path) -> Option<ContentId> {
        path.file_stem()?.to_str()?.parse().ok()
    }
}

/// Turns the failure of a write to files that are evicted into success: nothing needs it.
pub(crate) fn unless_evicted(rendition: &Rendition, written: io::Result<()>) -> io::Result<()> {
    if written.is_err() && rendition.lock().evicted {
        Ok(())
    } else {
        written
    }
}
