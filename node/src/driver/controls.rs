//! The keys of a player, as a person presses them.

use std::time::{Duration, Instant};

use antiphon_player::Volume;
use antiphon_protocol::{ChunkIndex, MediaTime};
use antiphon_swarm::Input;
use antiphon_swarm::node::input::Command;

use super::Driver;
use crate::command::{CommandError, Control};

impl Driver {
    pub(super) fn control(
        &mut self,
        control: Control,
        commanded: Instant,
    ) -> Result<(), CommandError> {
        let stage = self.stage.as_mut().ok_or(CommandError::NoPlayer)?;
        let told = match control {
            Control::Pause => return self.pause(),
            Control::Resume => return self.resume(commanded),
            Control::Volume(level) => stage.player.set_volume(Volume::from_linear(level)),
            Control::Seek(to) => return self.seek(to),
            Control::Next => {
                self.go_on(true, commanded);
                return Ok(());
            }
            Control::Previous => {
                self.queue.back();
                self.play_current(true, commanded);
                return Ok(());
            }
            Control::Stop => {
                self.stop();
                return Ok(());
            }
        };
        told.map_err(|error| CommandError::Player(error.to_string()))
    }

    pub(super) fn pause(&mut self) -> Result<(), CommandError> {
        let stage = self.stage.as_mut().ok_or(CommandError::NoPlayer)?;
        if let Some(opening) = stage.opening() {
            opening.keys.paused = true;
            return Ok(());
        }
        // Music that stands still does not begin by itself then.
        self.waits = None;
        let told = stage.player.pause();
        told.map_err(|error| CommandError::Player(error.to_string()))
    }

    /// After a stop, the entry of the queue that it left.
    fn resume(&mut self, commanded: Instant) -> Result<(), CommandError> {
        let stage = self.stage.as_mut().ok_or(CommandError::NoPlayer)?;
        if let Some(opening) = stage.opening() {
            opening.keys.paused = false;
            return Ok(());
        }
        if stage.current.is_none() {
            self.queue.current().ok_or(CommandError::NothingPlaying)?;
            self.play_current(true, commanded);
            return Ok(());
        }
        let told = stage.player.resume();
        told.map_err(|error| CommandError::Player(error.to_string()))
    }

    pub(super) fn seek(&mut self, to: Duration) -> Result<(), CommandError> {
        let core_plays = self.core_plays;
        let stage = self.stage.as_mut().ok_or(CommandError::NoPlayer)?;
        let current = stage.current.as_mut().ok_or(CommandError::NothingPlaying)?;
        let Some(ready) = current.ready.as_ref() else {
            current.keys.seek = Some(to);
            return Ok(());
        };
        let (id, rendition) = (current.play, ready.rendition);
        let micros = u64::try_from(to.as_micros()).unwrap_or(u64::MAX);
        let byte = ready.playable.rendition().byte_of(MediaTime(micros));
        let chunk = ChunkIndex::of_byte(byte);
        current.chunk = chunk;
        let told = stage.player.seek(to);
        if core_plays == Some(id) {
            self.feed(Input::Command(Command::Seek { to: chunk }));
        } else {
            // The next track was as urgent already; now this one may need something again.
            self.core_play(id, rendition, chunk);
        }
        told.map_err(|error| CommandError::Player(error.to_string()))
    }

    /// Ends the play; the queue stays.
    pub(super) fn stop(&mut self) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        // The player's own answer to a stop it cannot take is the same silence.
        let _ = stage.player.stop();
        self.clear_stage();
        self.core_plays = None;
        self.feed(Input::Command(Command::Stop));
        self.feed(Input::Command(Command::Expect { next: Vec::new() }));
    }
}
