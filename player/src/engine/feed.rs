//! Moving samples from the decoding threads into the output, one track right behind the other.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Engine, RATE_GUESS};
use crate::converter::Converter;
use crate::entry::{Entry, Segment, Supply};
use crate::event::{Event, PlayFailure};
use crate::gain::track_factor;
use crate::output::{MarkKind, Output};
use crate::source::{AudioFormat, duration_to_frames};
use crate::worker::{Delivery, Worker};

/// How far one attempt to feed an entry got.
enum Fed {
    /// Something moved; try again.
    Moved,
    /// The output is full, or nothing is decoded yet.
    Blocked,
    /// All of it is in the output.
    Whole,
    /// It gave no sound at all and never will.
    Nothing(PlayFailure),
}

impl Engine {
    /// Fills the output as far as there is room and sound, then lets it run if there is enough.
    pub(super) fn feed(&mut self) {
        // A lost sink is opened again only when somebody wants to hear something.
        let is_wanted = self.output.is_some() || !self.is_paused;
        while is_wanted && self.feeding < self.entries.len() {
            match self.feed_one() {
                Fed::Moved => {}
                Fed::Blocked => break,
                Fed::Whole => self.feeding += 1,
                Fed::Nothing(reason) => self.drop_failed(reason),
            }
        }
        self.open_gate_if_ready();
        if let Some(output) = &self.output {
            let expecting = output.is_open() && self.feeding < self.entries.len();
            output.shared.expecting.store(expecting, Ordering::Release);
        }
    }

    /// Opens the track after the one being heard when that nears its end.
    pub(super) fn prepare_next(&mut self) {
        let taken = self.taken();
        let margin = self.config.prepare_next;
        let is_near = self.entries.front().is_some_and(|entry| {
            let rate = entry.rate().unwrap_or(RATE_GUESS);
            let end = if entry.decode_done {
                Some(entry.decoded_end)
            } else {
                entry.spec.frames
            };
            let left = end.map(|end| end.saturating_sub(entry.frame_at(taken)));
            entry.has_started && left.is_some_and(|left| left <= duration_to_frames(margin, rate))
        });
        if is_near && self.entries.len() > 1 {
            self.ensure_worker(1);
        }
    }

    fn ensure_worker(&mut self, index: usize) {
        let wake = self.wake();
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if !matches!(entry.supply, Supply::Source(_)) {
            return;
        }
        let Supply::Source(source) = std::mem::replace(&mut entry.supply, Supply::Gone) else {
            return;
        };
        let spec = Arc::clone(&entry.spec);
        match Worker::spawn(source, spec, entry.start_frame, wake, &self.workers) {
            Ok(worker) => entry.supply = Supply::Worker(worker),
            Err(failure) => {
                entry.failure = Some(failure);
                entry.decode_done = true;
            }
        }
    }

    fn feed_one(&mut self) -> Fed {
        self.ensure_worker(self.feeding);
        let Some(entry) = self.entries.get_mut(self.feeding) else {
            return Fed::Blocked;
        };
        if !entry.pending_rest().is_empty() {
            let Some(output) = &mut self.output else {
                return Fed::Blocked;
            };
            let fed = write_pending(entry, output);
            self.is_news |= matches!(fed, Fed::Moved);
            return fed;
        }
        if entry.decode_done {
            return self.finish_entry();
        }
        let Supply::Worker(worker) = &entry.supply else {
            return Fed::Blocked;
        };
        match worker.try_next() {
            None => Fed::Blocked,
            Some(delivery) => {
                if let Err(failure) = self.accept(delivery) {
                    self.fail_entry(failure);
                }
                Fed::Moved
            }
        }
    }

    fn accept(&mut self, delivery: Delivery) -> Result<(), PlayFailure> {
        let Some(entry) = self.entries.get_mut(self.feeding) else {
            return Ok(());
        };
        match delivery {
            Delivery::Opened(format) => {
                entry.format = Some(format);
                return self.begin_conversion(format);
            }
            Delivery::Block {
                first_frame,
                mut samples,
            } => {
                let format = entry.format.unwrap_or(AudioFormat {
                    rate: RATE_GUESS,
                    channels: 1,
                });
                let frames = samples.len() as u64 / u64::from(format.channels.max(1));
                if let Some(converter) = &mut entry.converter {
                    converter.convert(&mut samples)?;
                }
                entry.first_frame.get_or_insert(first_frame);
                entry.decoded_end = first_frame + frames;
                entry.pending = samples;
                entry.pending_done = 0;
            }
            Delivery::End => {
                let tail = entry
                    .converter
                    .as_mut()
                    .map(Converter::finish)
                    .transpose()?;
                entry.pending = tail.unwrap_or_default();
                entry.pending_done = 0;
                entry.decode_done = true;
            }
            Delivery::Failed(failure) => return Err(failure),
        }
        Ok(())
    }

    fn begin_conversion(&mut self, format: AudioFormat) -> Result<(), PlayFailure> {
        if self.output.is_none() {
            let wanted = self.sink.fixed_format().unwrap_or(format);
            self.start_sink(wanted)?;
        }
        let (Some(entry), Some(output)) = (self.entries.get_mut(self.feeding), &self.output) else {
            return Ok(());
        };
        let factor = if self.config.normalize {
            track_factor(entry.spec.track_gain_millibel, entry.spec.peak)
        } else {
            1.0
        };
        entry.converter = Some(Converter::new(format, output.format, factor)?);
        Ok(())
    }

    fn fail_entry(&mut self, failure: PlayFailure) {
        if let Some(entry) = self.entries.get_mut(self.feeding) {
            entry.failure = Some(failure);
            entry.decode_done = true;
            entry.supply = Supply::Gone;
        }
    }

    fn finish_entry(&mut self) -> Fed {
        let Some(entry) = self.entries.get_mut(self.feeding) else {
            return Fed::Blocked;
        };
        let gave_nothing = entry.segment.is_none() && !entry.has_started;
        if gave_nothing && let Some(failure) = entry.failure.take() {
            return Fed::Nothing(failure);
        }
        if self
            .output
            .as_mut()
            .is_some_and(|output| output.mark(MarkKind::End))
        {
            self.is_news = true;
            return Fed::Whole;
        }
        Fed::Blocked
    }

    fn drop_failed(&mut self, reason: PlayFailure) {
        if let Some(entry) = self.entries.remove(self.feeding) {
            self.tell(Event::Failed {
                id: entry.id,
                reason,
                frames_played: entry.heard_before,
            });
            self.end_if_empty();
        }
    }

    fn open_gate_if_ready(&mut self) {
        let Some(output) = &self.output else {
            return;
        };
        if output.is_open() || self.is_paused || self.entries.is_empty() {
            return;
        }
        let enough = duration_to_frames(self.config.start_threshold, output.format.rate).max(1);
        if self.feeding > 0 || output.waiting() >= enough {
            output.open_gate();
            self.is_news = true;
        }
    }
}

fn write_pending(entry: &mut Entry, output: &mut Output) -> Fed {
    if output.room() == 0 {
        return Fed::Blocked;
    }
    if entry.segment.is_none() {
        if !output.mark(MarkKind::Start) {
            return Fed::Blocked;
        }
        let first_frame = entry.first_frame.unwrap_or(entry.start_frame);
        entry.segment = Some(Segment {
            output_start: output.written(),
            output_rate: output.format.rate,
            first_frame,
            track_rate: entry
                .format
                .map_or(output.format.rate, |format| format.rate),
            frames_end: first_frame,
        });
    }
    if let Some(segment) = &mut entry.segment {
        segment.frames_end = entry.decoded_end;
    }
    let count = output.write(entry.pending_rest());
    entry.pending_done += count;
    if count == 0 { Fed::Blocked } else { Fed::Moved }
}
