//! What the store does on its own thread: writes the index behind the data, finds out whether a
//! full disk takes chunks again, keeps the reserve, and passes on notices that had to wait.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use antiphon_protocol::ContentId;

use super::files::unless_evicted;
use super::index::{Index, IndexError};
use super::inner::Inner;
use super::recovery;
use super::rendition::Rendition;

/// First and longest pause between attempts at a failing disk; guess.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// What is written to find out whether the disk takes a chunk.
const PROBE_BYTES: usize = 16 * 1024;
/// How long closing waits for a disk that does not answer.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// What the index has not heard of yet.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) dirty: Vec<Arc<Rendition>>,
    pub(crate) removed: Vec<ContentId>,
}

/// The upkeep's own state; its lock makes upkeep happen once at a time.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) index: Option<Index>,
    pub(crate) closed: bool,
    retry_at: Instant,
    retry_pause: Duration,
}

impl Upkeep {
    pub(crate) fn new(index: Option<Index>) -> Self {
        let retry_pause = RETRY_PAUSES.0;
        Self {
            index,
            closed: false,
            retry_at: Instant::now(),
            retry_pause,
        }
    }
}

impl Inner {
    /// One round. `now` tries a failing disk at once instead of after a pause. True if something
    /// is left for another round.
    pub(crate) fn upkeep(&self, now: bool) -> bool {
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        if upkeep.closed {
            return false;
        }
        let troubled = |upkeep: &Upkeep| self.is_disk_waiting() || upkeep.index.is_none();
        if troubled(&upkeep) && (now || Instant::now() >= upkeep.retry_at) {
            if self.is_disk_waiting()
                && let Err(error) = self.retry_disk()
            {
                self.turn_full(&error);
            }
            if upkeep.index.is_none() {
                self.reopen_index(&mut upkeep);
            }
            let pause = (upkeep.retry_pause * 2).min(RETRY_PAUSES.1);
            upkeep.retry_pause = if troubled(&upkeep) {
                pause
            } else {
                RETRY_PAUSES.0
            };
            upkeep.retry_at = Instant::now() + upkeep.retry_pause;
        }
        self.write_index(&mut upkeep);
        let all_told = self.notices.drain();
        troubled(&upkeep) || !all_told
    }

    /// The last round: writes what can be written and gives the folder back.
    fn close(&self) {
        self.upkeep(true);
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        upkeep.closed = true;
        if let Some(index) = upkeep.index.take() {
            index.close();
        }
        self.lock_file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    fn is_disk_waiting(&self) -> bool {
        self.is_full() || !self.reserve().is_present() || !self.window().is_empty()
    }

    fn reserve(&self) -> MutexGuard<'_, super::reserve::Reserve> {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserve first, then what waits in memory, and only then the all-clear.
    fn retry_disk(&self) -> io::Result<()> {
        self.reserve().take()?;
        self.probe(&self.dir.join("probe"))?;
        loop {
            let node = self.window().first_node();
            let Some((content, offset, bytes)) = node else {
                break;
            };
            if let Some(rendition) = self.rendition(content) {
                unless_evicted(&rendition, self.write_node(&rendition, offset, &bytes))?;
            }
            let mut window = self.window();
            window.remove_node(content, offset);
            self.nodes_in_memory
                .store(window.nodes(), Ordering::Release);
        }
        loop {
            let kept = self.window().first();
            let Some(kept) = kept else { break };
            let files = self.handles.files(&kept.rendition, true);
            let written = files.and_then(|files| {
                files
                    .audio
                    .write_all_at(&kept.bytes, kept.chunk.byte_offset())
            });
            unless_evicted(&kept.rendition, written)?;
            let mut window = self.window();
            window.stored(&kept);
            self.change(&kept.rendition, |holding| {
                if holding.remove_in_memory(kept.chunk) {
                    holding.insert_stored(kept.chunk);
                }
            });
        }
        if self.full.swap(false, Ordering::AcqRel) {
            tracing::info!(dir = %self.dir.display(), "the cache can be written again");
            self.notices.full(false);
        }
        Ok(())
    }

    fn probe(&self, path: &Path) -> io::Result<()> {
        let file = self.disk.open(path, true)?;
        let written = file.write_all_at(&[0x55; PROBE_BYTES], 0);
        self.disk.remove(path)?;
        written
    }

    /// Opens the index again after it failed. The table in memory is the truth, so whatever state
    /// the index is in, everything is written into it anew.
    fn reopen_index(&self, upkeep: &mut Upkeep) {
        match recovery::open_index(&self.dir, &*self.disk) {
            Ok((index, _)) => {
                upkeep.index = Some(index);
                let table = self
                    .renditions
                    .read()
                    .unwrap_or_else(PoisonError::into_inner);
                let renditions: Vec<_> = table.values().cloned().collect();
                drop(table);
                for rendition in renditions {
                    self.change(&rendition, |_| ());
                }
            }
            Err(error) => tracing::warn!(dir = %self.dir.display(), %error,
                "the cache's index cannot be opened; cached audio will be forgotten at exit"),
        }
    }

    fn write_index(&self, upkeep: &mut Upkeep) {
        let Some(index) = upkeep.index.take() else {
            return;
        };
        let changes = std::mem::take(&mut *self.changes());
        self.chunks_unindexed.store(0, Ordering::Relaxed);
        if changes.dirty.is_empty() && changes.removed.is_empty() {
            upkeep.index = Some(index);
            return;
        }
        match write_changes(&index, changes) {
            Ok(()) => upkeep.index = Some(index),
            Err(error) => {
                tracing::warn!(dir = %self.dir.display(), %error,
                    "the cache's index cannot be written; trying again");
                index.close();
            }
        }
    }
}

fn write_changes(index: &Index, changes: Changes) -> Result<(), IndexError> {
    // Removals first: what was created anew since is among the dirty.
    for content in changes.removed {
        index.remove(content)?;
    }
    for rendition in changes.dirty {
        let mut holding = rendition.lock();
        holding.dirty = false;
        if holding.evicted {
            continue;
        }
        let record = rendition.record(&holding);
        drop(holding);
        if record.held.is_empty() {
            index.remove(rendition.content)?;
        } else {
            index.put(rendition.content, &record)?;
        }
    }
    index.flush()
}

/// Wakes the upkeep thread.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    work: bool,
    urgent: bool,
    stop: bool,
    stopped: bool,
}

impl Signal {
    /// There is something to do, some time soon.
    pub(crate) fn work(&self) {
        self.set(|wanted| wanted.work = true);
    }

    /// There is something to do at once.
    pub(crate) fn urgent(&self) {
        self.set(|wanted| wanted.urgent = true);
    }

    fn set(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until something is to do and, unless it is urgent, gives more of it `every` to come
    /// together. Says whether it is urgent; nothing if the thread shall end.
    fn next(&self, every: Duration) -> Option<bool> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |wanted: &mut Wanted| !(wanted.work || wanted.urgent || wanted.stop);
        let wanted = self.changed.wait_while(wanted, idle);
        let wanted = wanted.unwrap_or_else(PoisonError::into_inner);
        let calm = |wanted: &mut Wanted| !(wanted.urgent || wanted.stop);
        let waited = self.changed.wait_timeout_while(wanted, every, calm);
        let (mut wanted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if wanted.stop {
            return None;
        }
        wanted.work = false;
        Some(std::mem::take(&mut wanted.urgent))
    }

    fn stop_and_wait(&self) {
        self.set(|wanted| wanted.stop = true);
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let running = |wanted: &mut Wanted| !wanted.stopped;
        drop(self.changed.wait_timeout_while(wanted, CLOSE_WAIT, running));
    }
}

/// The upkeep thread; ends with its last owner.
#[derive(Debug)]
pub(crate) struct UpkeepThread {
    inner: Arc<Inner>,
}

impl UpkeepThread {
    pub(crate) fn start(inner: Arc<Inner>, every: Duration) -> io::Result<Self> {
        let worker = Arc::clone(&inner);
        thread::Builder::new()
            .name("antiphon-store".to_owned())
            .spawn(move || {
                while let Some(urgent) = worker.signal.next(every) {
                    if worker.upkeep(urgent) {
                        worker.signal.work();
                    }
                }
                worker.close();
                worker.signal.set(|wanted| wanted.stopped = true);
            })?;
        // The first round takes the reserve without holding up the start.
        inner.signal.urgent();
        Ok(Self { inner })
    }

    /// Ends the thread after a last round. A disk that hangs is not waited for forever.
    pub(crate) fn stop(&self) {
        self.inner.signal.stop_and_wait();
    }
}

impl Drop for UpkeepThread {
    fn drop(&mut self) {
        self.stop();
    }
}
