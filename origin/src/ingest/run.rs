//! One run over many files: a few workers, one list, one summary.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use antiphon_protocol::{AlbumId, MediaTime, TrackId, TrackManifest};

use crate::ingest::decode::Progress;
use crate::ingest::discover::{Candidate, discover};
use crate::ingest::publish::{complete, recover};
use crate::ingest::refusal::Refusal;
use crate::ingest::sniff::{self, Container, SNIFF_BYTES};
use crate::ingest::track::{identify, make};
use crate::ingest::{Accepted, IngestEvent, IngestOptions, IngestSummary, Outcome, album};
use crate::library::{Library, LibraryError};

/// Most workers: each holds a few megabytes and one file of each rung open. Guess.
const JOBS_MAX: usize = 64;

/// Ingests all audio files at and below `paths` into `library`.
///
/// Blocks until all is done; what a single file does wrong ends up in the summary.
///
/// # Errors
/// If the library cannot be used at all, or another ingest is using it.
pub fn ingest(
    library: &Library,
    paths: &[PathBuf],
    options: &IngestOptions,
    on_event: impl Fn(IngestEvent<'_>) + Sync,
) -> Result<IngestSummary, LibraryError> {
    let _lock = library.lock_for_writing()?;
    recover(library)?;
    let (files, refused) = discover(paths);
    let bytes_total = files.iter().map(|file| file.bytes).sum();
    on_event(IngestEvent::Discovered {
        files: files.len(),
        bytes: bytes_total,
    });
    let run = Run {
        library,
        options,
        on_event: &on_event,
        files: &files,
        next: AtomicUsize::new(0),
        bytes_total,
        bytes_done: AtomicU64::new(0),
        audio_micros: AtomicU64::new(0),
        claimed: Mutex::default(),
        albums: Mutex::default(),
        outcomes: Mutex::new(vec![None; files.len()]),
    };
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let jobs = match options.jobs {
        0 => cores(),
        jobs => jobs,
    };
    let jobs = jobs.min(JOBS_MAX).min(files.len());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| run.work());
        }
    });
    let mut summary = IngestSummary {
        refused,
        audio: MediaTime(run.audio_micros.load(Ordering::Relaxed)),
        ..IngestSummary::default()
    };
    run.settle_albums(&mut summary)?;
    run.summarize(&mut summary);
    Ok(summary)
}

struct Run<'a> {
    library: &'a Library,
    options: &'a IngestOptions,
    on_event: &'a (dyn Fn(IngestEvent<'_>) + Sync),
    files: &'a [Candidate],
    next: AtomicUsize,
    bytes_total: u64,
    bytes_done: AtomicU64,
    audio_micros: AtomicU64,
    /// Tracks that a worker has taken: the same music may lie in two places.
    claimed: Mutex<BTreeSet<TrackId>>,
    albums: Mutex<BTreeSet<AlbumId>>,
    outcomes: Mutex<Vec<Option<Outcome>>>,
}

impl Run<'_> {
    fn work(&self) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(file) = self.files.get(index) else {
                return;
            };
            let path = file.path.as_path();
            (self.on_event)(IngestEvent::Started { path });
            let before = AtomicU64::new(0);
            // Decoders have panicked on hostile files; that file is refused, the others go on.
            let outcome = catch_unwind(AssertUnwindSafe(|| self.one(path, &before)));
            let outcome = match outcome {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(refusal)) => Outcome::Refused(refusal),
                Err(_) => Outcome::Refused(Refusal::whole("the decoder failed on it (panic)")),
            };
            self.advance(path, file.bytes.saturating_sub(before.into_inner()), 0);
            (self.on_event)(IngestEvent::Finished {
                path,
                outcome: &outcome,
            });
            let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(slot) = outcomes.get_mut(index) {
                *slot = Some(outcome);
            }
        }
    }

    fn one(&self, path: &Path, counted: &AtomicU64) -> Result<Outcome, Refusal> {
        let container = match look(path)? {
            Some(container) => container,
            None if sniff::claims_audio(path) => {
                return Err(Refusal::whole(
                    "is named like audio but is none that can be read",
                ));
            }
            None => return Ok(Outcome::Ignored),
        };
        let track = identify(path)?;
        let is_first = self
            .claimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(track);
        if !is_first {
            return Ok(Outcome::Skipped(track));
        }
        if !self.options.force
            && let Some(manifest) = complete(self.library, track)?
        {
            self.note_album(&manifest);
            return Ok(Outcome::Skipped(track));
        }
        let micros = AtomicU64::new(0);
        let progress = |at: Progress, rate: u32| {
            let now = at.frames.saturating_mul(1_000_000) / u64::from(rate.max(1));
            let fresh = now.saturating_sub(micros.swap(now, Ordering::Relaxed));
            counted.fetch_add(at.bytes, Ordering::Relaxed);
            self.advance(path, at.bytes, fresh);
        };
        let step = |name: &str| {
            let track = Some(track);
            (self.on_event)(IngestEvent::Storing { track, name });
        };
        let rungs = &self.options.rungs;
        let made = make(
            self.library,
            path,
            container,
            track,
            rungs,
            &progress,
            &step,
        )?;
        self.note_album(&made.manifest);
        let renditions = &made.manifest.renditions;
        Ok(Outcome::Accepted(Accepted {
            track,
            title: made.manifest.title.clone(),
            duration: renditions
                .first()
                .map_or(MediaTime::ZERO, |first| first.duration()),
            rungs: renditions.iter().map(|rendition| rendition.rung).collect(),
            notes: made.notes,
        }))
    }

    fn note_album(&self, manifest: &TrackManifest) {
        let mut albums = self.albums.lock().unwrap_or_else(PoisonError::into_inner);
        albums.extend(manifest.album_id);
    }

    fn advance(&self, path: &Path, bytes: u64, micros: u64) {
        let bytes_done = self.bytes_done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let audio = self.audio_micros.fetch_add(micros, Ordering::Relaxed) + micros;
        (self.on_event)(IngestEvent::Progress {
            path,
            bytes_done,
            bytes_total: self.bytes_total,
            audio: MediaTime(audio),
        });
    }

    fn settle_albums(&self, summary: &mut IngestSummary) -> Result<(), LibraryError> {
        let step = |name: &str| (self.on_event)(IngestEvent::Storing { track: None, name });
        let albums = self.albums.lock().unwrap_or_else(PoisonError::into_inner);
        for album in albums.iter() {
            let replaced = album::settle(self.library, *album, &step)?;
            summary.regained.extend(replaced);
        }
        Ok(())
    }

    fn summarize(self, summary: &mut IngestSummary) {
        let outcomes = self.outcomes.into_inner();
        let outcomes = outcomes.unwrap_or_else(PoisonError::into_inner);
        for (file, outcome) in self.files.iter().zip(outcomes.into_iter().flatten()) {
            let path = file.path.clone();
            match outcome {
                Outcome::Accepted(accepted) => summary.accepted.push((path, accepted)),
                Outcome::Skipped(track) => summary.skipped.push((path, track)),
                Outcome::Refused(refusal) => summary.refused.push((path, refusal)),
                Outcome::Ignored => summary.ignored += 1,
            }
        }
    }
}

fn look(path: &Path) -> Result<Option<Container>, Refusal> {
    let mut head = Vec::new();
    let file = File::open(path)?;
    file.take(SNIFF_BYTES as u64).read_to_end(&mut head)?;
    if head.is_empty() && sniff::claims_audio(path) {
        return Err(Refusal::whole("is empty"));
    }
    Ok(sniff::container(&head))
}
