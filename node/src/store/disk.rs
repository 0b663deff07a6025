//! The few file operations the store needs, behind a trait so that tests can make each of them
//! fail, write short or forget what was not synced.
//!
//! Not for the index: its engine does its own file work.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// A file system as the store sees it.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens a file for reading and writing; makes it if `create` says so.
    ///
    /// # Errors
    /// As the file system reports.
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a folder and its parents; one that exists is fine.
    ///
    /// # Errors
    /// As the file system reports.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes a file; one that does not exist is fine.
    ///
    /// # Errors
    /// As the file system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// As the file system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes renames in a folder survive a power cut.
    ///
    /// # Errors
    /// As the file system reports.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What a folder contains; nothing if it does not exist.
    ///
    /// # Errors
    /// As the file system reports.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
}

/// An open file, read and written at offsets from any thread.
pub trait DiskFile: Send + Sync {
    /// Reads up to `into.len()` bytes; zero at the end.
    ///
    /// # Errors
    /// As the file system reports.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` and says how many.
    ///
    /// # Errors
    /// As the file system reports.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Writes some of several pieces, one behind the other, and says how many bytes.
    ///
    /// # Errors
    /// As the file system reports.
    fn write_pieces_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let first = pieces.iter().find(|piece| !piece.is_empty());
        first.map_or(Ok(0), |first| self.write_at(first, offset))
    }

    /// Bytes from the start to the end, holes included.
    ///
    /// # Errors
    /// As the file system reports.
    fn size(&self) -> io::Result<u64>;

    /// Makes everything written survive a power cut.
    ///
    /// # Errors
    /// As the file system reports.
    fn sync(&self) -> io::Result<()>;
}

impl dyn DiskFile + '_ {
    /// Writes all of `bytes`, however many calls that takes.
    pub(crate) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all pieces, however many calls that takes.
    pub(crate) fn write_all_pieces_at(
        &self,
        mut pieces: &mut [IoSlice<'_>],
        mut offset: u64,
    ) -> io::Result<()> {
        while pieces.iter().any(|piece| !piece.is_empty()) {
            match self.write_pieces_at(pieces, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut pieces, written);
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills all of `into`, however many calls that takes.
    pub(crate) fn read_exact_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            match self.read_at(into, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    into = into.get_mut(read..).unwrap_or_default();
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The operating system's file system. Files are readable by their owner only.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(create)
            .truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Box::new(OsFile(options.open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Only Unix lets a folder be opened and synced; elsewhere renames are journaled.
        if cfg!(unix) {
            File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(entries) => entries
                .map(|entry| entry.map(|entry| entry.path()))
                .collect(),
        }
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::read_at(&self.0, into, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_read(&self.0, into, offset);
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        #[cfg(unix)]
        return std::os::unix::fs::FileExt::write_at(&self.0, bytes, offset);
        #[cfg(windows)]
        return std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset);
    }

    #[cfg(target_os = "linux")]
    fn write_pieces_at(&self, pieces: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, pieces, offset)?)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_all()
    }
}
