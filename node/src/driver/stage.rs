//! The player and the plays it has: the one that sounds and the one that follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_player::{Events, Player, PlayerConfig, SinkSpec};
use antiphon_protocol::{ChunkIndex, ChunkSet, Geometry, TrackId};
use antiphon_swarm::{PlayId, RenditionKey};
use tokio::sync::Notify;

use super::Wish;
use crate::command::CommandError;
use crate::licenses::Playable;
use crate::reader::ReaderControl;

/// Decoded sound the output holds. A second rides out a machine with more to do than cores, which
/// is where most stutter comes from (the published design's measurement); 350 KB.
const OUTPUT_BUFFER: Duration = Duration::from_secs(1);

/// The player and what it plays.
pub(super) struct Stage {
    pub(super) player: Player,
    pub(super) events: Events,
    pub(super) current: Option<OnStage>,
    pub(super) next: Option<OnStage>,
    /// What was to follow and could not be prepared: it is tried again at its turn.
    pub(super) unprepared: Option<TrackId>,
    plays: u64,
    pub(super) paused: bool,
}

/// A play, from the wish to its end.
pub(super) struct OnStage {
    pub(super) play: PlayId,
    pub(super) wish: Wish,
    pub(super) ready: Option<Ready>,
    /// The rendition the core was told to play before the license was there.
    pub(super) early: Option<RenditionKey>,
    pub(super) sounded: bool,
    /// Where the reader is.
    pub(super) chunk: ChunkIndex,
    /// What was asked for while it was being opened.
    pub(super) keys: Keys,
    /// When the tracker is asked again to open it, and how often it was.
    pub(super) open_again: Option<Instant>,
    pub(super) opened_again: u8,
    /// The log was told that its sound stopped.
    pub(super) stalled: bool,
}

/// Keys that were pressed before there was anything to pause or to seek in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    pub(super) paused: bool,
    pub(super) seek: Option<Duration>,
}

/// What a play has once its license is there.
pub(super) struct Ready {
    pub(super) playable: Playable,
    pub(super) rendition: RenditionKey,
    pub(super) geometry: Geometry,
    pub(super) control: ReaderControl,
    /// What was in the store before; none after the log took it.
    pub(super) held: Option<ChunkSet>,
}

impl Stage {
    pub(super) fn open(sink: &SinkSpec, wake: Arc<Notify>) -> Result<Self, CommandError> {
        let failed = |error: &dyn std::fmt::Display| CommandError::Player(error.to_string());
        let config = PlayerConfig {
            output_buffer: OUTPUT_BUFFER,
            on_event: Some(Arc::new(move || wake.notify_one())),
            ..PlayerConfig::default()
        };
        let sink = sink.open().map_err(|error| failed(&error))?;
        let (player, events) = Player::new(config, sink).map_err(|error| failed(&error))?;
        Ok(Self {
            player,
            events,
            current: None,
            next: None,
            unprepared: None,
            plays: 0,
            paused: false,
        })
    }

    /// Completes what the sink writes.
    pub(super) async fn end(self) {
        for play in [&self.current, &self.next].into_iter().flatten() {
            play.abort();
        }
        let ended = tokio::task::spawn_blocking(move || self.player.shutdown()).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the player did not end well");
        }
    }

    pub(super) fn status(&self) -> antiphon_player::Status {
        self.player.status()
    }

    /// The play whose license is on its way, if one is.
    pub(super) fn opening(&mut self) -> Option<&mut OnStage> {
        self.current.as_mut().filter(|play| play.ready.is_none())
    }

    pub(super) fn new_play(&mut self, wish: Wish) -> OnStage {
        self.plays += 1;
        OnStage {
            play: PlayId(self.plays),
            wish,
            ready: None,
            early: None,
            sounded: false,
            chunk: ChunkIndex(0),
            keys: Keys::default(),
            open_again: None,
            opened_again: 0,
            stalled: false,
        }
    }
}

impl OnStage {
    pub(super) fn abort(&self) {
        if let Some(ready) = &self.ready {
            ready.control.abort();
        }
    }
}
