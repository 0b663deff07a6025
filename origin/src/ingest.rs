//! Ingest: audio files become encrypted renditions, a signed manifest and a release.
//!
//! A file is named by its bytes, so the same file twice is the same track; it is skipped when the
//! track is complete. Nothing half-made is ever visible: the release is written last. A run that
//! was killed is simply started again.
//!
//! Not here: serving what was made, and the catalog that people search.

mod album;
mod decode;
mod discover;
mod encode;
mod ladder;
mod loudness;
mod mixdown;
mod ogg;
mod publish;
mod refusal;
mod resample;
mod run;
mod sniff;
mod source;
mod survey;
mod tags;
mod track;

use std::path::{Path, PathBuf};

use antiphon_protocol::{MediaTime, Rung, TrackId};

pub use refusal::{Place, Refusal};
pub use run::ingest;

/// How an ingest runs.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// Files worked on at the same time; zero means as many as there are cores.
    pub jobs: usize,
    /// Rungs to make where the source allows them; a source that allows none of them is made
    /// into the best rung it does allow.
    pub rungs: Vec<Rung>,
    /// Make tracks anew that are already complete: new keys, new renditions, the next version.
    pub force: bool,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            jobs: 0,
            rungs: Rung::ALL.to_vec(),
            force: false,
        }
    }
}

/// What happens while an ingest runs, for a progress bar. Comes from several threads.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum IngestEvent<'a> {
    /// All folders are walked.
    Discovered {
        /// Files that will be looked at.
        files: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// Work on a file begins.
    Started {
        /// The file.
        path: &'a Path,
    },
    /// Some of a file is done.
    Progress {
        /// The file.
        path: &'a Path,
        /// Bytes done in the whole run.
        bytes_done: u64,
        /// Bytes of all files of the run.
        bytes_total: u64,
        /// Music decoded in the whole run; over the time passed, the rate as a multiple of real
        /// time.
        audio: MediaTime,
    },
    /// An object or private file is about to be written or removed.
    Storing {
        /// The track it belongs to; nothing while albums are settled.
        track: Option<TrackId>,
        /// Its name in the store, or what it is.
        name: &'a str,
    },
    /// Work on a file has ended.
    Finished {
        /// The file.
        path: &'a Path,
        /// How.
        outcome: &'a Outcome,
    },
}

/// How work on one file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is a new track, or a new version of one.
    Accepted(Accepted),
    /// Its track is already there.
    Skipped(TrackId),
    /// It did not become a track.
    Refused(Refusal),
    /// It is no audio and does not claim to be.
    Ignored,
}

/// A track just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name.
    pub track: TrackId,
    /// Its title.
    pub title: String,
    /// How long it plays.
    pub duration: MediaTime,
    /// The rungs it has.
    pub rungs: Vec<Rung>,
    /// What of the file was dropped, and why.
    pub notes: Vec<String>,
}

/// What an ingest did, file by file, in the order the files were found.
#[derive(Clone, Debug, Default)]
pub struct IngestSummary {
    /// Files that became tracks.
    pub accepted: Vec<(PathBuf, Accepted)>,
    /// Files whose track was already there.
    pub skipped: Vec<(PathBuf, TrackId)>,
    /// Files and folders that could not be ingested.
    pub refused: Vec<(PathBuf, Refusal)>,
    /// Files that are no audio and do not claim to be.
    pub ignored: u64,
    /// Tracks that got a new manifest because the gain of their album changed.
    pub regained: Vec<TrackId>,
    /// Music decoded.
    pub audio: MediaTime,
}
