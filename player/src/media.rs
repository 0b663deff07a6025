//! Presents a [`TrackSource`] to the demuxer as a stream that only goes forward.
//!
//! The Ogg demuxer scans the end of every source that says it can seek, to learn the duration.
//! At the start of a play those bytes are not here yet, so the source says it cannot. A seek
//! builds a new stream instead: the codec's setup pages, then the file from a page onward.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symphonia::core::io::MediaSource;

use crate::source::TrackSource;

/// The most that is asked of a source at once. The demuxer would ask for up to 32 KiB ahead; a
/// page is about 4 KiB, and a read ahead of the bytes at hand would block the first sound.
const READ_BYTES_MAX: usize = 4096;

/// Marks the error of a read given up because the player wants something else.
#[derive(Debug, thiserror::Error)]
#[error("the read was given up because something else is wanted")]
pub(crate) struct ReadGivenUp;

/// A source together with where it stands, shared by successive streams over it.
#[derive(Clone)]
pub(crate) struct SharedSource {
    inner: Arc<Mutex<Positioned>>,
    given_up: Arc<AtomicBool>,
    byte_len: u64,
}

struct Positioned {
    source: Box<dyn TrackSource>,
    position: u64,
}

impl SharedSource {
    /// `given_up` makes reads fail with [`ReadGivenUp`] while it is set.
    pub(crate) fn new(source: Box<dyn TrackSource>, given_up: Arc<AtomicBool>) -> Self {
        let byte_len = source.byte_len();
        // No position matches, so the first read seeks: the source may have been read before.
        let inner = Arc::new(Mutex::new(Positioned {
            source,
            position: u64::MAX,
        }));
        Self {
            inner,
            given_up,
            byte_len,
        }
    }

    pub(crate) fn byte_len(&self) -> u64 {
        self.byte_len
    }

    /// Reads some bytes at `offset`; none at the end.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.byte_len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(READ_BYTES_MAX).min(left);
        let Some(buf) = buf.get_mut(..wanted).filter(|buf| !buf.is_empty()) else {
            return Ok(0);
        };
        let mut at = self.lock();
        if at.position != offset {
            at.position = u64::MAX;
            at.source.seek(SeekFrom::Start(offset))?;
            at.position = offset;
        }
        loop {
            if self.given_up.load(Ordering::Acquire) {
                return Err(io::Error::other(ReadGivenUp));
            }
            match at.source.read(buf) {
                Ok(count) => {
                    let count = count.min(wanted);
                    at.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    at.position = u64::MAX;
                    return Err(error);
                }
            }
        }
    }

    /// Reads until `buf` is full or the file ends; returns how much was read.
    pub(crate) fn read_full_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let count = self.read_at(offset.saturating_add(done as u64), rest)?;
            if count == 0 {
                break;
            }
            done += count;
        }
        Ok(done)
    }

    fn lock(&self) -> MutexGuard<'_, Positioned> {
        // A source that panicked is not used again: its track has failed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Setup pages first, then the source from an offset on.
pub(crate) struct ForwardStream {
    source: SharedSource,
    prefix: Arc<[u8]>,
    prefix_done: usize,
    offset: u64,
}

impl ForwardStream {
    pub(crate) fn new(source: SharedSource, prefix: Arc<[u8]>, offset: u64) -> Self {
        Self {
            source,
            prefix,
            prefix_done: 0,
            offset,
        }
    }
}

impl Read for ForwardStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.prefix.get(self.prefix_done..).unwrap_or_default();
        if !rest.is_empty() {
            let mut rest = rest;
            let count = rest.read(buf)?;
            self.prefix_done += count;
            return Ok(count);
        }
        let count = self.source.read_at(self.offset, buf)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Seek for ForwardStream {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this stream only goes forward",
        ))
    }
}

impl MediaSource for ForwardStream {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}
