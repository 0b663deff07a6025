//! The sink's end of the output: takes samples when the sink wants them.
//!
//! Runs in a sound card's callback, so nothing here locks, waits or allocates. What was asked of
//! it by the player's thread (pause, volume, flush) it reads from atomics and smooths with a
//! short ramp. It is also the one place that knows that a sample was wanted and not there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rtrb::{Consumer, Producer};

use crate::output::{Mark, MarkKind, OutputTuning, Passed, Shared};
use crate::source::{AudioFormat, duration_to_frames};

/// Gives a sink its samples.
pub struct Renderer {
    format: AudioFormat,
    shared: Arc<Shared>,
    samples: Consumer<f32>,
    marks: Consumer<Mark>,
    passed: Producer<Passed>,
    /// Frames taken so far, stale ones included.
    taken: u64,
    /// The factor in force; moves towards the target by `step` a frame.
    factor: f32,
    step: f32,
    /// Frames that must be there before a stall ends.
    resume_frames: usize,
    /// The last turn wanted more frames than were there.
    starved: bool,
}

impl Renderer {
    pub(crate) fn new(
        format: AudioFormat,
        tuning: OutputTuning,
        shared: Arc<Shared>,
        samples: Consumer<f32>,
        marks: Consumer<Mark>,
        passed: Producer<Passed>,
    ) -> Self {
        let ramp = duration_to_frames(tuning.ramp, format.rate);
        let step = if ramp == 0 { 1.0 } else { 1.0 / ramp as f32 };
        let factor = shared.volume();
        let resume_frames = duration_to_frames(tuning.resume, format.rate) as usize;
        Self {
            format,
            shared,
            samples,
            marks,
            passed,
            taken: 0,
            factor,
            step,
            resume_frames,
            starved: false,
        }
    }

    /// What the samples are.
    #[must_use]
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Fills `out` for a sink that cannot wait: what is missing becomes silence, and if music was
    /// due, a stall is counted. Returns how many frames of music went in.
    pub fn render(&mut self, out: &mut [f32]) -> usize {
        let channels = usize::from(self.format.channels);
        let wanted = out.len() / channels;
        let now = Instant::now();
        let was_expecting = self.shared.expecting.load(Ordering::Acquire);
        let done = self.take(out, now);
        if done < wanted {
            out.get_mut(done * channels..).unwrap_or_default().fill(0.0);
            // Looked at again: the last frames of the queue are written before this is taken
            // back, so running out of exactly those is no stall.
            let expecting = self.shared.expecting.load(Ordering::Acquire);
            if self.starved && was_expecting && expecting {
                self.shared.begin_stall(now);
                if self.step < 1.0 {
                    self.factor = 0.0;
                }
            } else if !expecting || !self.is_running() {
                self.shared.end_stall(now);
            }
        }
        self.report_passed(now);
        done
    }

    /// Fills the front of `out` for a sink that can wait; nothing missing is ever a stall.
    /// Returns how many frames went in, possibly none. They count as played once the sink calls
    /// [`Self::settle`].
    pub fn drain(&mut self, out: &mut [f32]) -> usize {
        self.take(out, Instant::now())
    }

    /// What was drained is where it belongs: tracks that began or ended in it may be reported.
    pub fn settle(&mut self) {
        self.report_passed(Instant::now());
    }

    /// Whether a sink may sleep until it is notified: nothing will come out before that.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let is_stale = self.taken < self.shared.discard_until.load(Ordering::Acquire);
        // A stall that a pause or a jump cut short still has to be ended, by rendering once more.
        !is_stale && !self.is_running() && !self.shared.is_stalled()
    }

    /// Reports that the sink is dead. Not for a sound card's callback: it locks.
    pub fn fail(&self, reason: String) {
        self.shared.fail(reason);
    }

    /// A way to report a dead sink from elsewhere.
    #[must_use]
    pub fn failure_reporter(&self) -> FailureReporter {
        FailureReporter(Arc::clone(&self.shared))
    }

    fn take(&mut self, out: &mut [f32], now: Instant) -> usize {
        let channels = usize::from(self.format.channels);
        let mut done = self.fade_out_stale(out);
        let wanted = out.len() / channels;
        self.starved = false;
        if self.is_running() && !self.is_waiting_out_stall(now) {
            let target = self.target();
            let available = self.available();
            let mut count = available.min(wanted - done);
            self.starved = available < wanted - done;
            if target == 0.0 && self.shared.paused.load(Ordering::Acquire) {
                count = count.min(self.ramp_frames_to(0.0));
                self.starved = false;
            }
            let place = done * channels..(done + count) * channels;
            self.pull(out.get_mut(place).unwrap_or_default(), target);
            done += count;
        }
        self.shared.taken.store(self.taken, Ordering::Release);
        done
    }

    /// Lets what was flushed fade, as far as it reaches, and drops the rest.
    fn fade_out_stale(&mut self, out: &mut [f32]) -> usize {
        let until = self.shared.discard_until.load(Ordering::Acquire);
        if self.taken >= until {
            return 0;
        }
        let channels = usize::from(self.format.channels);
        let stale = usize::try_from(until - self.taken)
            .unwrap_or(usize::MAX)
            .min(self.available());
        let mut faded = 0;
        if self.step < 1.0 && self.factor > 0.0 {
            faded = stale
                .min(self.ramp_frames_to(0.0))
                .min(out.len() / channels);
            self.pull(out.get_mut(..faded * channels).unwrap_or_default(), 0.0);
            self.factor = 0.0;
        }
        if let Ok(chunk) = self.samples.read_chunk((stale - faded) * channels) {
            chunk.commit_all();
            self.taken += (stale - faded) as u64;
        }
        let epoch = self.shared.epoch.load(Ordering::Acquire);
        while self
            .marks
            .peek()
            .is_ok_and(|mark| mark.epoch != epoch && mark.at <= until)
        {
            self.marks.pop().ok();
        }
        faded
    }

    /// In a stall nothing is taken until enough is there, or until no more will come.
    fn is_waiting_out_stall(&self, now: Instant) -> bool {
        if !self.shared.is_stalled() {
            return false;
        }
        let expecting = self.shared.expecting.load(Ordering::Acquire);
        if expecting && self.available() < self.resume_frames.max(1) {
            return true;
        }
        self.shared.end_stall(now);
        false
    }

    fn is_running(&self) -> bool {
        let paused = self.shared.paused.load(Ordering::Acquire);
        let fading = self.step < 1.0 && self.factor > 0.0;
        self.shared.gate_open.load(Ordering::Acquire) && (!paused || fading)
    }

    fn target(&self) -> f32 {
        if self.shared.paused.load(Ordering::Acquire) {
            0.0
        } else {
            self.shared.volume()
        }
    }

    fn available(&self) -> usize {
        self.samples.slots() / usize::from(self.format.channels)
    }

    fn ramp_frames_to(&self, target: f32) -> usize {
        ((self.factor - target).abs() / self.step).ceil() as usize
    }

    /// Copies frames that are known to be there, moving the factor towards `target`.
    fn pull(&mut self, out: &mut [f32], target: f32) {
        let channels = usize::from(self.format.channels);
        let Ok(chunk) = self.samples.read_chunk(out.len()) else {
            return;
        };
        let (front, back) = chunk.as_slices();
        let (out_front, out_back) = out.split_at_mut(front.len());
        out_front.copy_from_slice(front);
        out_back.copy_from_slice(back);
        chunk.commit_all();
        self.taken += (out.len() / channels) as u64;
        for frame in out.chunks_exact_mut(channels) {
            if self.factor != target {
                let distance = target - self.factor;
                self.factor += distance.clamp(-self.step, self.step);
            } else if self.factor == 1.0 {
                continue;
            }
            frame.iter_mut().for_each(|sample| *sample *= self.factor);
        }
    }

    fn report_passed(&mut self, when: Instant) {
        while let Ok(mark) = self.marks.peek().copied() {
            let passed = match mark.kind {
                MarkKind::Start => self.taken > mark.at,
                MarkKind::End => self.taken >= mark.at,
            };
            // The report of a mark can wait for room; it is never lost.
            if !passed || self.passed.is_full() {
                break;
            }
            self.marks.pop().ok();
            self.passed.push(Passed { mark, when }).ok();
        }
    }
}

/// Tells the player that its sink is dead.
#[derive(Clone)]
pub struct FailureReporter(Arc<Shared>);

impl FailureReporter {
    /// Reports the reason. Not for a sound card's callback: it locks.
    pub fn fail(&self, reason: String) {
        self.0.fail(reason);
    }
}

#[cfg(test)]
mod tests;
