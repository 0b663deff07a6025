//! The state the player's thread and the sink share: two lock-free rings and a few atomics.
//!
//! Everything a sound card's callback touches is here or in [`crate::renderer`], and none of it
//! locks, waits or allocates. The one mutex holds the reason of a dead sink, and a sink takes it
//! only when it stops for good.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::gain::Volume;
use crate::renderer::Renderer;
use crate::source::{AudioFormat, duration_to_frames};

/// Track boundaries that may be in the ring at once; more wait outside. A ring holds half a
/// second, so this allows tracks of 15 ms.
const MARKS: usize = 64;

/// A track boundary on its way to the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Frames that go out before it.
    pub(crate) at: u64,
    /// Which flush it belongs to; a mark of an older one is dropped unreported.
    pub(crate) epoch: u32,
    pub(crate) kind: MarkKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MarkKind {
    /// The next frame is the first of a track.
    Start,
    /// The frame before was the last of a track.
    End,
}

/// A mark the sink has passed, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    pub(crate) mark: Mark,
    pub(crate) when: Instant,
}

/// How often and how long the sink wanted samples that were not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StallCounts {
    /// Stalls since the sink was opened.
    pub count: u64,
    /// Their total duration, without one that is going on.
    pub total: Duration,
}

pub(crate) struct Shared {
    born: Instant,
    /// Nothing is taken while closed: too little is there to start, or nothing is played.
    pub(crate) gate_open: AtomicBool,
    pub(crate) paused: AtomicBool,
    /// More frames are to come, so their absence is a stall.
    pub(crate) expecting: AtomicBool,
    volume: AtomicU32,
    /// Frames before this one are stale and go nowhere.
    pub(crate) discard_until: AtomicU64,
    pub(crate) epoch: AtomicU32,
    /// Frames that left the ring, stale ones included.
    pub(crate) taken: AtomicU64,
    stall_since: AtomicU64,
    stall_count: AtomicU64,
    stall_nanos: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Shared {
    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn volume(&self) -> f32 {
        f32::from_bits(self.volume.load(Ordering::Relaxed))
    }

    pub(crate) fn set_volume(&self, volume: Volume) {
        self.volume
            .store(volume.linear().to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.stall_since.load(Ordering::Acquire) != 0
    }

    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        let since = self.stall_since.load(Ordering::Acquire);
        (since != 0).then(|| self.born + Duration::from_nanos(since))
    }

    pub(crate) fn stalls(&self) -> StallCounts {
        StallCounts {
            count: self.stall_count.load(Ordering::Acquire),
            total: Duration::from_nanos(self.stall_nanos.load(Ordering::Acquire)),
        }
    }

    pub(crate) fn begin_stall(&self, now: Instant) {
        if !self.is_stalled() {
            self.stall_since
                .store(self.nanos(now).max(1), Ordering::Release);
            self.stall_count.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn end_stall(&self, now: Instant) {
        let since = self.stall_since.load(Ordering::Acquire);
        if since != 0 {
            let lasted = self.nanos(now).saturating_sub(since);
            self.stall_nanos.fetch_add(lasted, Ordering::AcqRel);
            self.stall_since.store(0, Ordering::Release);
        }
    }

    pub(crate) fn fail(&self, reason: String) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub(crate) fn take_failure(&self) -> Option<String> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// How the output behaves; part of the player's configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputTuning {
    pub(crate) ring: Duration,
    pub(crate) resume: Duration,
    pub(crate) ramp: Duration,
}

/// The player's end of a running output.
pub(crate) struct Output {
    pub(crate) format: AudioFormat,
    pub(crate) shared: Arc<Shared>,
    samples: Producer<f32>,
    marks: Producer<Mark>,
    passed: Consumer<Passed>,
    /// Frames that went into the ring.
    written: u64,
    epoch: u32,
}

impl Output {
    pub(crate) fn new(
        format: AudioFormat,
        tuning: OutputTuning,
        volume: Volume,
    ) -> (Self, Renderer) {
        let channels = usize::from(format.channels);
        let frames = duration_to_frames(tuning.ring, format.rate).max(1) as usize;
        // Twice the target, so that after a flush new frames fit behind stale ones.
        let (samples, samples_out) = RingBuffer::new(frames * 2 * channels);
        let (marks, marks_out) = RingBuffer::new(MARKS);
        let (passed_in, passed) = RingBuffer::new(MARKS * 2);
        let shared = Arc::new(Shared {
            born: Instant::now(),
            gate_open: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            expecting: AtomicBool::new(false),
            volume: AtomicU32::new(volume.linear().to_bits()),
            discard_until: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            taken: AtomicU64::new(0),
            stall_since: AtomicU64::new(0),
            stall_count: AtomicU64::new(0),
            stall_nanos: AtomicU64::new(0),
            failure: Mutex::new(None),
        });
        let renderer = Renderer::new(
            format,
            tuning,
            Arc::clone(&shared),
            samples_out,
            marks_out,
            passed_in,
        );
        let output = Self {
            format,
            shared,
            samples,
            marks,
            passed,
            written: 0,
            epoch: 0,
        };
        (output, renderer)
    }

    /// Frames written since the output was opened: the place of the next one.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn taken(&self) -> u64 {
        self.shared.taken.load(Ordering::Acquire)
    }

    /// Frames in the ring that will still be heard.
    pub(crate) fn waiting(&self) -> u64 {
        let from = self
            .taken()
            .max(self.shared.discard_until.load(Ordering::Acquire));
        self.written.saturating_sub(from)
    }

    /// Frames that fit before the target filling is reached.
    pub(crate) fn room(&self) -> usize {
        let channels = usize::from(self.format.channels);
        let target = self.samples.buffer().capacity() / channels / 2;
        let free = self.samples.slots() / channels;
        free.min(target.saturating_sub(usize::try_from(self.waiting()).unwrap_or(usize::MAX)))
    }

    /// Writes as many whole frames as have room; returns how many samples went in.
    pub(crate) fn write(&mut self, samples: &[f32]) -> usize {
        let channels = usize::from(self.format.channels);
        let count = (samples.len() / channels).min(self.room()) * channels;
        let Some(part) = samples.get(..count) else {
            return 0;
        };
        if self.samples.push_entire_slice(part).is_err() {
            return 0;
        }
        self.written += (count / channels) as u64;
        count
    }

    /// Marks the present place; false if too many marks are under way.
    pub(crate) fn mark(&mut self, kind: MarkKind) -> bool {
        let mark = Mark {
            at: self.written,
            epoch: self.epoch,
            kind,
        };
        self.marks.push(mark).is_ok()
    }

    /// The next mark of this epoch the sink has passed.
    pub(crate) fn next_passed(&mut self) -> Option<Passed> {
        while let Ok(passed) = self.passed.pop() {
            if passed.mark.epoch == self.epoch {
                return Some(passed);
            }
        }
        None
    }

    /// Makes everything written so far go nowhere, and closes the gate.
    pub(crate) fn flush(&mut self) {
        self.close_gate();
        self.epoch = self.epoch.wrapping_add(1);
        self.shared.epoch.store(self.epoch, Ordering::Release);
        self.shared
            .discard_until
            .store(self.written, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.shared.gate_open.load(Ordering::Acquire)
    }

    pub(crate) fn close_gate(&self) {
        self.shared.expecting.store(false, Ordering::Release);
        self.shared.gate_open.store(false, Ordering::Release);
    }

    pub(crate) fn open_gate(&self) {
        self.shared.gate_open.store(true, Ordering::Release);
    }
}
