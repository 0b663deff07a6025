//! The handle: commands go in, events and status come out, all without waiting.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::engine::{Command, Engine};
use crate::entry::Track;
use crate::event::{EventHook, Events};
use crate::gain::Volume;
use crate::inbox::Inbox;
use crate::output::OutputTuning;
use crate::sink::{Sink, SinkError};
use crate::status::{Board, Status};

/// How a player behaves. The defaults are for listening.
#[derive(Clone)]
pub struct PlayerConfig {
    /// Sound that must be decoded before a play starts. The default of 20 ms is about one Vorbis
    /// block: less cannot be had, more only delays the start.
    pub start_threshold: Duration,
    /// Sound that must be decoded before a stall ends, so that one hiccup is not heard as many.
    /// 250 ms; guess.
    pub resume_threshold: Duration,
    /// Decoded sound the output holds. 250 ms rides out a busy machine's scheduling; guess.
    pub output_buffer: Duration,
    /// How long changes of volume, pauses and jumps are smoothed. 10 ms hides the click and is
    /// not heard as a fade. Zero switches hard.
    pub ramp: Duration,
    /// How often [`crate::Event::Position`] comes while playing.
    pub position_every: Duration,
    /// How long before the end of a track the next one is opened and decoded ahead. 10 s; guess.
    pub prepare_next: Duration,
    /// Whether the track gain is applied.
    pub normalize: bool,
    /// The volume to start with.
    pub volume: Volume,
    /// Tracks that may be queued, the one that plays included.
    pub queue_max: usize,
    /// Called after every event, to wake whoever fetches them.
    pub on_event: Option<EventHook>,
}

impl Default for PlayerConfig {
    fn default() -> Self {
        Self {
            start_threshold: Duration::from_millis(20),
            resume_threshold: Duration::from_millis(250),
            output_buffer: Duration::from_millis(250),
            ramp: Duration::from_millis(10),
            position_every: Duration::from_millis(250),
            prepare_next: Duration::from_secs(10),
            normalize: true,
            volume: Volume::FULL,
            queue_max: 64,
            on_event: None,
        }
    }
}

impl PlayerConfig {
    pub(crate) fn tuning(&self) -> OutputTuning {
        let longest = self.start_threshold.max(self.resume_threshold);
        OutputTuning {
            // A threshold above what the ring holds would never be reached.
            ring: self
                .output_buffer
                .max(longest)
                .max(Duration::from_millis(1)),
            resume: self.resume_threshold,
            ramp: self.ramp,
        }
    }
}

/// Plays tracks one after the other. Dropping it stops the sound and completes what the sink
/// writes.
pub struct Player {
    inbox: Arc<Inbox<Command>>,
    board: Board,
    thread: Option<JoinHandle<Result<(), SinkError>>>,
}

impl Player {
    /// Starts a player on `sink`. A sink with a fixed format, such as a sound card, starts now;
    /// others with the first track.
    pub fn new(config: PlayerConfig, sink: Box<dyn Sink>) -> Result<(Self, Events), PlayerError> {
        let inbox = Arc::new(Inbox::new());
        let board = Board::default();
        let events = Events::new();
        let mut engine = Engine::new(
            config,
            sink,
            Arc::clone(&inbox),
            events.clone(),
            board.clone(),
        );
        engine.start_fixed_sink()?;
        let thread = std::thread::Builder::new()
            .name("antiphon-player".to_owned())
            .spawn(move || engine.run())
            .map_err(|error| PlayerError::Thread {
                reason: error.to_string(),
            })?;
        Ok((
            Self {
                inbox,
                board,
                thread: Some(thread),
            },
            events,
        ))
    }

    /// Plays `track` now, instead of everything queued; ends a pause.
    pub fn play(&self, track: Track) -> Result<(), PlayerError> {
        self.send(Command::Play(track))
    }

    /// Plays `track` after everything queued, without a gap.
    pub fn enqueue(&self, track: Track) -> Result<(), PlayerError> {
        self.send(Command::Enqueue(track))
    }

    /// Stops the sound where it is.
    pub fn pause(&self) -> Result<(), PlayerError> {
        self.send(Command::Pause)
    }

    /// Goes on after a pause.
    pub fn resume(&self) -> Result<(), PlayerError> {
        self.send(Command::Resume)
    }

    /// Makes the frame at `position` the next one heard; behind the end, the track ends.
    pub fn seek(&self, position: Duration) -> Result<(), PlayerError> {
        self.send(Command::Seek(crate::engine::Target::Time(position)))
    }

    /// Makes `frame` the next one heard, counted at the track's own rate.
    pub fn seek_to_frame(&self, frame: u64) -> Result<(), PlayerError> {
        self.send(Command::Seek(crate::engine::Target::Frame(frame)))
    }

    /// Changes the volume.
    pub fn set_volume(&self, volume: Volume) -> Result<(), PlayerError> {
        self.send(Command::Volume(volume))
    }

    /// Leaves this track for the next one.
    pub fn skip(&self) -> Result<(), PlayerError> {
        self.send(Command::Skip)
    }

    /// Stops, and forgets everything queued.
    pub fn stop(&self) -> Result<(), PlayerError> {
        self.send(Command::Stop)
    }

    /// What is going on right now. Cheap: one short lock, no waiting for the player's thread.
    #[must_use]
    pub fn status(&self) -> Status {
        self.board.status()
    }

    /// Stops, completes what the sink writes, and says whether that worked.
    pub fn shutdown(mut self) -> Result<(), PlayerError> {
        self.join()
    }

    fn send(&self, command: Command) -> Result<(), PlayerError> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            return Err(PlayerError::Gone);
        }
        self.inbox.send(command).map_err(|_| PlayerError::Busy)
    }

    fn join(&mut self) -> Result<(), PlayerError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.inbox.close();
        let gone = || PlayerError::Thread {
            reason: "it panicked".to_owned(),
        };
        Ok(thread.join().map_err(|_| gone())??)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        if let Err(error) = self.join() {
            tracing::warn!(%error, "the player did not end cleanly");
        }
    }
}

/// Why a player cannot be made or does not take a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlayerError {
    /// Too many commands wait.
    #[error("the player has too many commands waiting; try again in a moment")]
    Busy,
    /// The player's thread has ended.
    #[error("the player has stopped; start a new one")]
    Gone,
    /// The player's thread could not be started, or panicked.
    #[error("the player's thread failed: {reason}")]
    Thread {
        /// Why.
        reason: String,
    },
    /// The sink could not be started or completed.
    #[error(transparent)]
    Sink(#[from] SinkError),
}
