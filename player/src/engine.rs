//! The player's thread: takes commands, keeps the output filled, tells what happened.
//!
//! It never reads a source and never waits for one; decoding threads do. What it does itself is
//! queueing, gain, rate and channels. A panic in here costs the track that was played, no more.

mod feed;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::entry::{Entry, Track};
use crate::event::{Event, Events, PlayFailure, SkipReason};
use crate::gain::Volume;
use crate::inbox::Inbox;
use crate::output::{MarkKind, Output};
use crate::player::PlayerConfig;
use crate::sink::{Sink, SinkError, Wake};
use crate::source::{AudioFormat, PlayId, duration_to_frames, frames_to_duration};
use crate::status::{Board, Notes};
use crate::worker::WorkerCount;

/// How often the thread looks while sound comes out: a sound card's callback cannot wake it. At
/// a twentieth of the output's buffer there is room for several missed turns.
const TICK: Duration = Duration::from_millis(10);
/// How often it looks when nothing plays. A safety net: everything that matters wakes it.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// Rate to place a seek by time before the track's own is known: the usual one.
const RATE_GUESS: u32 = 44_100;
/// Panics of this thread after which the player ends, for it is not the tracks then; guess.
const PANICS_MAX: u32 = 8;

/// What can be asked of the player.
pub(crate) enum Command {
    Play(Track),
    Enqueue(Track),
    Pause,
    Resume,
    Seek(Target),
    Volume(Volume),
    Skip,
    Stop,
}

/// Where to go in a track.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Time(Duration),
    Frame(u64),
}

pub(crate) struct Engine {
    config: PlayerConfig,
    sink: Box<dyn Sink>,
    inbox: Arc<Inbox<Command>>,
    events: Events,
    board: Board,
    output: Option<Output>,
    /// In order; the first is the one that is heard.
    entries: VecDeque<Entry>,
    /// The entry whose samples go to the output next; those before it are there entirely.
    feeding: usize,
    workers: WorkerCount,
    volume: Volume,
    is_paused: bool,
    first_sample: Option<Instant>,
    last_position: Instant,
    stalls_told: u64,
    stall_time_told: Duration,
    is_stall_told: bool,
    /// Events of this turn, told once the status agrees with them.
    untold: Vec<Event>,
    /// The sink is to be told that there is something new.
    is_news: bool,
}

impl Engine {
    pub(crate) fn new(
        config: PlayerConfig,
        sink: Box<dyn Sink>,
        inbox: Arc<Inbox<Command>>,
        events: Events,
        board: Board,
    ) -> Self {
        Self {
            volume: config.volume,
            config,
            sink,
            inbox,
            events,
            board,
            output: None,
            entries: VecDeque::new(),
            feeding: 0,
            workers: WorkerCount::default(),
            is_paused: false,
            first_sample: None,
            last_position: Instant::now(),
            stalls_told: 0,
            stall_time_told: Duration::ZERO,
            is_stall_told: false,
            untold: Vec::new(),
            is_news: false,
        }
    }

    /// Starts a sink that takes only one format, so that it is warm when the first track comes.
    pub(crate) fn start_fixed_sink(&mut self) -> Result<(), SinkError> {
        match self.sink.fixed_format() {
            Some(format) => self.start_sink(format),
            None => Ok(()),
        }
    }

    /// Runs until the handle is gone.
    pub(crate) fn run(mut self) -> Result<(), SinkError> {
        let mut panics = 0;
        while !self.inbox.is_closed() && panics < PANICS_MAX {
            let turn = catch_unwind(AssertUnwindSafe(|| self.turn()));
            if turn.is_err() {
                panics += 1;
                tracing::error!("the player's thread panicked; the track is given up");
                self.give_up_track();
            }
        }
        self.flush();
        self.entries.clear();
        self.post();
        self.deliver_events();
        let finished = self.sink.finish();
        self.events.close();
        finished
    }

    fn turn(&mut self) {
        while let Some(command) = self.inbox.next() {
            self.handle(command);
        }
        self.check_sink();
        self.handle_passed();
        self.feed();
        self.prepare_next();
        self.tell_stalls();
        self.tell_position();
        self.post();
        self.deliver_events();
        if std::mem::take(&mut self.is_news) {
            self.sink.notify();
        }
        self.inbox.wait(self.tick());
    }

    fn tick(&self) -> Duration {
        let is_open = self.output.as_ref().is_some_and(Output::is_open);
        if is_open && !self.is_paused {
            TICK
        } else {
            IDLE_TICK
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Play(track) => {
                self.leave_all(SkipReason::Replaced);
                self.set_paused(false);
                self.entries.push_back(Entry::new(track));
            }
            Command::Enqueue(track) => self.enqueue(track),
            Command::Pause => self.set_paused(true),
            Command::Resume => self.set_paused(false),
            Command::Seek(target) => self.seek(target),
            Command::Volume(volume) => {
                self.volume = volume;
                if let Some(output) = &self.output {
                    output.shared.set_volume(volume);
                }
            }
            Command::Skip => self.skip(),
            Command::Stop => {
                let was_busy = !self.entries.is_empty();
                self.leave_all(SkipReason::Stopped);
                self.set_paused(false);
                if was_busy {
                    self.tell(Event::QueueEmpty);
                }
            }
        }
    }

    fn enqueue(&mut self, track: Track) {
        let max = self.config.queue_max;
        if self.entries.len() >= max {
            let reason = PlayFailure::QueueFull { max };
            self.tell(Event::Failed {
                id: track.id,
                reason,
                frames_played: 0,
            });
            return;
        }
        self.entries.push_back(Entry::new(track));
    }

    fn set_paused(&mut self, paused: bool) {
        if self.is_paused == paused {
            return;
        }
        self.is_paused = paused;
        if let Some(output) = &self.output {
            output.shared.paused.store(paused, Ordering::Release);
        }
        self.is_news = true;
        if let Some(id) = self.current() {
            self.tell(if paused {
                Event::Paused { id }
            } else {
                Event::Unpaused { id }
            });
        }
    }

    fn seek(&mut self, target: Target) {
        let taken = self.taken();
        let Some(entry) = self.entries.front() else {
            return;
        };
        let rate = entry.rate().unwrap_or(RATE_GUESS);
        let frame = match target {
            Target::Frame(frame) => frame,
            Target::Time(time) => duration_to_frames(time, rate),
        };
        self.flush();
        self.rewind_from(1, taken);
        if let Some(entry) = self.entries.front_mut() {
            entry.rewind(frame, taken);
        }
    }

    fn skip(&mut self) {
        let taken = self.taken();
        self.flush();
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        self.tell_skipped(&entry, SkipReason::Skip, taken);
        self.first_sample = None;
        self.rewind_from(0, taken);
        if self.entries.is_empty() {
            self.tell(Event::QueueEmpty);
        }
    }

    fn leave_all(&mut self, reason: SkipReason) {
        let taken = self.taken();
        self.flush();
        for entry in std::mem::take(&mut self.entries) {
            self.tell_skipped(&entry, reason, taken);
        }
        self.first_sample = None;
    }

    /// Starts the tracks from `index` on over, as far as their samples were flushed.
    fn rewind_from(&mut self, index: usize, taken: u64) {
        for entry in self.entries.iter_mut().skip(index) {
            if entry.segment.is_some() || entry.decode_done || !entry.pending.is_empty() {
                entry.rewind(0, taken);
            }
        }
    }

    /// Makes everything in the output go nowhere.
    fn flush(&mut self) {
        self.feeding = 0;
        self.is_news = true;
        if let Some(output) = &mut self.output {
            output.flush();
        }
    }

    fn give_up_track(&mut self) {
        let taken = self.taken();
        self.flush();
        if let Some(entry) = self.entries.pop_front() {
            let message = "in the player's own thread".to_owned();
            let reason = PlayFailure::Panicked { message };
            self.tell(Event::Failed {
                id: entry.id,
                reason,
                frames_played: entry.heard(taken),
            });
        }
        self.first_sample = None;
        self.rewind_from(0, taken);
    }

    /// A dead sink stops the music where it is, until somebody wants to hear it again.
    fn check_sink(&mut self) {
        let failure = self
            .output
            .as_ref()
            .and_then(|output| output.shared.take_failure());
        if let Some(reason) = failure {
            let taken = self.taken();
            self.flush();
            if let Some(entry) = self.entries.front_mut() {
                let frame = entry.frame_at(taken);
                entry.rewind(frame, taken);
            }
            self.rewind_from(1, taken);
            // Its error is the one just reported.
            self.sink.finish().ok();
            self.output = None;
            self.is_paused = true;
            self.tell(Event::SinkLost { reason });
        }
    }

    fn start_sink(&mut self, format: AudioFormat) -> Result<(), SinkError> {
        let (output, renderer) = Output::new(format, self.config.tuning(), self.volume);
        output
            .shared
            .paused
            .store(self.is_paused, Ordering::Release);
        let inbox = Arc::clone(&self.inbox);
        self.sink.start(renderer, Arc::new(move || inbox.wake()))?;
        self.output = Some(output);
        self.stalls_told = 0;
        self.stall_time_told = Duration::ZERO;
        self.is_stall_told = false;
        Ok(())
    }

    fn wake(&self) -> Wake {
        let inbox = Arc::clone(&self.inbox);
        Arc::new(move || inbox.wake())
    }

    fn handle_passed(&mut self) {
        while let Some(passed) = self.output.as_mut().and_then(Output::next_passed) {
            match passed.mark.kind {
                MarkKind::Start => self.handle_started(passed.when),
                MarkKind::End => self.handle_ended(),
            }
        }
    }

    fn handle_started(&mut self, when: Instant) {
        let Some(entry) = self.entries.front_mut() else {
            return;
        };
        let id = entry.id;
        let frame = entry.segment.map_or(0, |segment| segment.first_frame);
        if entry.has_started {
            self.tell(Event::Seeked { id, frame });
            return;
        }
        entry.has_started = true;
        self.first_sample = Some(when);
        self.last_position = when;
        self.tell(Event::Started {
            id,
            first_sample: when,
        });
    }

    fn handle_ended(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        self.feeding = self.feeding.saturating_sub(1);
        self.first_sample = None;
        let frames_played = entry.heard(u64::MAX);
        match entry.failure {
            Some(reason) => self.tell(Event::Failed {
                id: entry.id,
                reason,
                frames_played,
            }),
            None => self.tell(Event::TrackEnded {
                id: entry.id,
                frames_played,
            }),
        }
        self.end_if_empty();
    }

    fn end_if_empty(&mut self) {
        if self.entries.is_empty() {
            if let Some(output) = &self.output {
                output.close_gate();
            }
            self.tell(Event::QueueEmpty);
        }
    }

    fn tell_stalls(&mut self) {
        let Some(output) = &self.output else {
            return;
        };
        let since = output.shared.stalled_since();
        let stalls = output.shared.stalls();
        let current = self.current();
        if stalls.count > self.stalls_told && !self.is_stall_told {
            self.stalls_told = stalls.count;
            self.is_stall_told = true;
            // One that is over already: its start is not kept, its length is.
            let lasted = stalls.total.saturating_sub(self.stall_time_told);
            let now = Instant::now();
            let since = since.or_else(|| now.checked_sub(lasted)).unwrap_or(now);
            if let Some(id) = current {
                self.tell(Event::Stalled { id, since });
            }
        }
        if self.is_stall_told && since.is_none() {
            self.is_stall_told = false;
            let stalled_for = stalls.total.saturating_sub(self.stall_time_told);
            self.stall_time_told = stalls.total;
            if let Some(id) = current {
                self.tell(Event::Resumed { id, stalled_for });
            }
        }
    }

    fn tell_position(&mut self) {
        let is_due = self.last_position.elapsed() >= self.config.position_every;
        let taken = self.taken();
        let Some(entry) = self
            .entries
            .front()
            .filter(|entry| entry.has_started && is_due)
        else {
            return;
        };
        if self.is_paused || entry.segment.is_none() {
            return;
        }
        let frame = entry.frame_at(taken);
        let position = frames_to_duration(frame, entry.rate().unwrap_or(RATE_GUESS));
        let id = entry.id;
        self.last_position = Instant::now();
        self.tell(Event::Position {
            id,
            frame,
            position,
        });
    }

    fn tell_skipped(&mut self, entry: &Entry, reason: SkipReason, taken: u64) {
        self.tell(Event::Skipped {
            id: entry.id,
            reason,
            frame: entry.frame_at(taken),
            frames_played: entry.heard(taken),
        });
    }

    fn tell(&mut self, event: Event) {
        self.untold.push(event);
    }

    fn deliver_events(&mut self) {
        for event in self.untold.drain(..) {
            self.events.push(event);
            if let Some(hook) = &self.config.on_event {
                hook();
            }
        }
    }

    fn post(&self) {
        let output = self.output.as_ref();
        let front = self.entries.front();
        self.board.put(Notes {
            track: front.map(|entry| entry.id),
            segment: front.and_then(|entry| entry.segment),
            start_frame: front.map_or(0, |entry| entry.start_frame),
            rate: front.and_then(Entry::rate).unwrap_or(RATE_GUESS),
            frames: front.and_then(|entry| entry.spec.frames),
            first_sample: self.first_sample,
            queued: self.entries.len().saturating_sub(1),
            written: output.map_or(0, Output::written),
            is_open: output.is_some_and(Output::is_open),
            is_paused: self.is_paused,
            volume: self.volume,
            output: output.map(|output| (Arc::clone(&output.shared), output.format.rate)),
        });
    }

    fn current(&self) -> Option<PlayId> {
        self.entries.front().map(|entry| entry.id)
    }

    fn taken(&self) -> u64 {
        self.output.as_ref().map_or(0, Output::taken)
    }
}
