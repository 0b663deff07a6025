//! Room kept back on the disk, so that small state can still be written when audio has filled it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use antiphon_protocol::ByteCount;

use super::disk::Disk;

const BLOCK_BYTES: usize = 256 * 1024;

/// The reserve file.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    present: bool,
}

impl Reserve {
    /// Nothing is written yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf, bytes: ByteCount) -> Self {
        Self {
            disk,
            path,
            bytes: bytes.0,
            present: false,
        }
    }

    pub(crate) const fn is_present(&self) -> bool {
        self.present
    }

    /// Takes the room, unless it is taken already.
    pub(crate) fn take(&mut self) -> io::Result<()> {
        if !self.present {
            // Part of a reserve would only take room from what it is for.
            self.fill()
                .inspect_err(|_| drop(self.disk.remove(&self.path)))?;
            self.present = true;
        }
        Ok(())
    }

    /// Gives the room to others; true if there was some.
    pub(crate) fn release(&mut self) -> bool {
        self.present = false;
        let size = self
            .disk
            .open(&self.path, false)
            .and_then(|file| file.size());
        size.is_ok_and(|size| size > 0) && self.disk.remove(&self.path).is_ok()
    }

    fn fill(&self) -> io::Result<()> {
        let file = self.disk.open(&self.path, true)?;
        let mut at = file.size()?;
        // Bytes that do not compress, because a file system that compresses would keep no room.
        let mut noise = blake3::Hasher::new().finalize_xof();
        let mut block = vec![0; BLOCK_BYTES];
        while at < self.bytes {
            noise.fill(&mut block);
            let wanted = (self.bytes - at).min(BLOCK_BYTES as u64) as usize;
            file.write_all_at(block.get(..wanted).unwrap_or_default(), at)?;
            at += wanted as u64;
        }
        Ok(())
    }
}
