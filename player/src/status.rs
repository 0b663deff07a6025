//! What the player is doing right now, cheap to ask for from any thread.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::entry::Segment;
use crate::gain::Volume;
use crate::output::{Shared, StallCounts};
use crate::source::{PlayId, frames_to_duration};

/// What the player is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlayState {
    /// Nothing is queued.
    #[default]
    Idle,
    /// A track is to play but too little of it is there.
    Starting,
    /// Sound comes out.
    Playing,
    /// Waiting for resume.
    Paused,
    /// Sound should come out, but there are no samples.
    Stalled,
}

/// A look at the player.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// What it is doing.
    pub state: PlayState,
    /// The track that is heard, or would be.
    pub track: Option<PlayId>,
    /// Its next frame to be heard, at its own rate.
    pub position_frame: u64,
    /// The same as a time.
    pub position: Duration,
    /// How long the track is, when known.
    pub duration: Option<Duration>,
    /// How long the samples handed to the output last, without any decoded ahead of them.
    pub buffered: Duration,
    /// When the first sample of this play was handed to the sink.
    pub first_sample: Option<Instant>,
    /// Tracks that come after this one.
    pub queued: usize,
    /// The volume asked for, linear.
    pub volume: f32,
    /// Stalls since the sink was opened.
    pub stalls: StallCounts,
}

/// Where the player's thread leaves what a [`Status`] is made from.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Notes>>);

#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) track: Option<PlayId>,
    pub(crate) segment: Option<Segment>,
    pub(crate) start_frame: u64,
    pub(crate) rate: u32,
    pub(crate) frames: Option<u64>,
    pub(crate) first_sample: Option<Instant>,
    pub(crate) queued: usize,
    pub(crate) written: u64,
    pub(crate) is_open: bool,
    pub(crate) is_paused: bool,
    pub(crate) volume: Volume,
    pub(crate) output: Option<(Arc<Shared>, u32)>,
}

impl Board {
    pub(crate) fn put(&self, notes: Notes) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = notes;
    }

    pub(crate) fn status(&self) -> Status {
        let notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = notes.output.as_ref().map(|(shared, _)| shared);
        let taken = shared.map_or(0, |shared| shared.taken.load(Ordering::Acquire));
        let stale = shared.map_or(0, |shared| shared.discard_until.load(Ordering::Acquire));
        let output_rate = notes.output.as_ref().map_or(1, |(_, rate)| *rate);
        let frame = notes
            .segment
            .map_or(notes.start_frame, |segment| segment.frame_at(taken));
        let state = match notes.track {
            None => PlayState::Idle,
            Some(_) if notes.is_paused => PlayState::Paused,
            Some(_) if !notes.is_open => PlayState::Starting,
            Some(_) if shared.is_some_and(|shared| shared.is_stalled()) => PlayState::Stalled,
            Some(_) => PlayState::Playing,
        };
        let waiting = if notes.track.is_some() {
            notes.written.saturating_sub(taken.max(stale))
        } else {
            0
        };
        Status {
            state,
            track: notes.track,
            position_frame: frame,
            position: frames_to_duration(frame, notes.rate),
            duration: notes
                .frames
                .map(|frames| frames_to_duration(frames, notes.rate)),
            buffered: frames_to_duration(waiting, output_rate),
            first_sample: notes.first_sample,
            queued: notes.queued,
            volume: notes.volume.linear(),
            stalls: shared.map(|shared| shared.stalls()).unwrap_or_default(),
        }
    }
}
