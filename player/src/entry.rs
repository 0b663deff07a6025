//! One place in the player's queue: a track, its decoder, and how far it was fed to the output.

use std::sync::Arc;

use crate::converter::Converter;
use crate::event::PlayFailure;
use crate::source::{AudioFormat, PlayId, TrackSource, TrackSpec};
use crate::worker::Worker;

/// A track to play.
pub struct Track {
    /// Names this play in events.
    pub id: PlayId,
    /// Its bytes.
    pub source: Box<dyn TrackSource>,
    /// What is known about it.
    pub spec: TrackSpec,
}

/// Where a stretch of a track lies in the stream of frames to the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The output's frame at which it starts.
    pub(crate) output_start: u64,
    pub(crate) output_rate: u32,
    /// The track's frame heard there.
    pub(crate) first_frame: u64,
    pub(crate) track_rate: u32,
    /// Behind the last of the track's frames written so far.
    pub(crate) frames_end: u64,
}

impl Segment {
    /// The track's next frame once the sink has taken `taken` frames.
    pub(crate) fn frame_at(&self, taken: u64) -> u64 {
        let passed = u128::from(taken.saturating_sub(self.output_start));
        let passed = passed * u128::from(self.track_rate) / u128::from(self.output_rate.max(1));
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.first_frame.saturating_add(passed).min(self.frames_end)
    }
}

pub(crate) struct Entry {
    pub(crate) id: PlayId,
    pub(crate) spec: Arc<TrackSpec>,
    pub(crate) supply: Supply,
    pub(crate) format: Option<AudioFormat>,
    pub(crate) converter: Option<Converter>,
    /// Converted samples that did not fit into the ring, and how many of them have by now.
    pub(crate) pending: Vec<f32>,
    pub(crate) pending_done: usize,
    /// The first frame the decoder delivered since the start or the last seek.
    pub(crate) first_frame: Option<u64>,
    /// Behind the last frame the decoder delivered.
    pub(crate) decoded_end: u64,
    /// Where it starts when the decoder is made.
    pub(crate) start_frame: u64,
    pub(crate) segment: Option<Segment>,
    /// Frames heard before the last seek.
    pub(crate) heard_before: u64,
    pub(crate) has_started: bool,
    pub(crate) decode_done: bool,
    pub(crate) failure: Option<PlayFailure>,
}

/// Where samples come from.
pub(crate) enum Supply {
    /// Not read yet.
    Source(Box<dyn TrackSource>),
    Worker(Worker),
    /// It could not even be started.
    Gone,
}

impl Entry {
    pub(crate) fn new(track: Track) -> Self {
        Self {
            id: track.id,
            spec: Arc::new(track.spec),
            supply: Supply::Source(track.source),
            format: None,
            converter: None,
            pending: Vec::new(),
            pending_done: 0,
            first_frame: None,
            decoded_end: 0,
            start_frame: 0,
            segment: None,
            heard_before: 0,
            has_started: false,
            decode_done: false,
            failure: None,
        }
    }

    /// The track's next frame to be heard.
    pub(crate) fn frame_at(&self, taken: u64) -> u64 {
        self.segment
            .map_or(self.start_frame, |segment| segment.frame_at(taken))
    }

    /// Frames heard in this play.
    pub(crate) fn heard(&self, taken: u64) -> u64 {
        let here = self
            .segment
            .map_or(0, |at| at.frame_at(taken).saturating_sub(at.first_frame));
        self.heard_before.saturating_add(here)
    }

    /// The rate frames are counted at, as far as it is known.
    pub(crate) fn rate(&self) -> Option<u32> {
        self.format
            .map(|format| format.rate)
            .or(self.spec.sample_rate_hint)
    }

    /// Starts over at `frame`, after the output was flushed at `taken`.
    pub(crate) fn rewind(&mut self, frame: u64, taken: u64) {
        self.heard_before = self.heard(taken);
        self.start_frame = frame;
        self.segment = None;
        self.converter = None;
        self.pending.clear();
        self.pending_done = 0;
        self.first_frame = None;
        self.decode_done = false;
        self.failure = None;
        self.decoded_end = frame;
        if let Supply::Worker(worker) = &mut self.supply {
            worker.seek(frame);
        }
    }

    pub(crate) fn pending_rest(&self) -> &[f32] {
        self.pending.get(self.pending_done..).unwrap_or_default()
    }
}
