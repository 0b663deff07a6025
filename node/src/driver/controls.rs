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
            Control::Pause => stage.player.pause(),
            Control::Resume => stage.player.resume(),
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

    fn seek(&mut self, to: Duration) -> Result<(), CommandError> {
        let stage = self.stage.as_mut().ok_or(CommandError::NoPlayer)?;
        let current = stage.current.as_mut().ok_or(CommandError::NothingPlaying)?;
        let ready = current.ready.as_ref().ok_or(CommandError::NothingPlaying)?;
        let micros = u64::try_from(to.as_micros()).unwrap_or(u64::MAX);
        let byte = ready.playable.rendition().byte_of(MediaTime(micros));
        let chunk = ChunkIndex::of_byte(byte);
        current.chunk = chunk;
        let told = stage.player.seek(to);
        self.feed(Input::Command(Command::Seek { to: chunk }));
        told.map_err(|error| CommandError::Player(error.to_string()))
    }

    /// Ends the play; the queue stays.
    pub(super) fn stop(&mut self) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        // The player's own answer to a stop it cannot take is the same silence.
        let _ = stage.player.stop();
        for play in [stage.current.take(), stage.next.take()]
            .into_iter()
            .flatten()
        {
            play.abort();
        }
        self.core_plays = None;
        self.feed(Input::Command(Command::Stop));
        self.feed(Input::Command(Command::Expect { next: Vec::new() }));
    }
}
