//! What the player and its readers report, and what follows from it.

use std::time::Instant;

use antiphon_player::{Event, PlayFailure};
use antiphon_swarm::node::input::Command;
use antiphon_swarm::{Input, PlayId};

use super::{ChunkRead, Driver};

impl Driver {
    pub(super) fn on_read(&mut self, read: ChunkRead) {
        let ChunkRead { play: id, chunk } = read;
        let is_current = self.is_current(id);
        let Some(play) = self.on_stage(id) else {
            return;
        };
        play.chunk = chunk;
        if !is_current {
            // The player decodes the next track ahead. Its bytes are as urgent as any now, once
            // the current track needs none any more.
            self.begin_log(id);
            if self.current_is_complete() {
                self.tell_core_to_play(id);
            }
        }
        self.log.read(id, chunk);
        self.tell_playhead(id);
    }

    /// Where the reader of play `id` is, and whether sound comes out. A reader enters a chunk before
    /// it waits for it, so reading alone does not mean that anything is heard.
    fn tell_playhead(&mut self, id: PlayId) {
        if self.core_plays != Some(id) {
            return;
        }
        let paused = self.stage.as_ref().is_none_or(|stage| stage.paused);
        let Some(play) = self.on_stage(id) else {
            return;
        };
        let (chunk, playing) = (play.chunk, play.sounded && !paused);
        self.feed(Input::Command(Command::Playhead { chunk, playing }));
    }

    fn current_is_complete(&self) -> bool {
        let current = self.stage.as_ref().and_then(|stage| stage.current.as_ref());
        let ready = current.and_then(|play| play.ready.as_ref());
        ready.is_none_or(|ready| {
            self.store
                .held(ready.playable.content)
                .is_some_and(|held| held.is_full())
        })
    }

    fn tell_core_to_play(&mut self, id: PlayId) {
        if self.core_plays == Some(id) {
            return;
        }
        let Some(play) = self.on_stage(id) else {
            return;
        };
        let from = play.chunk;
        let Some(rendition) = play.ready.as_ref().map(|ready| ready.rendition) else {
            return;
        };
        self.core_play(id, rendition, from);
    }

    pub(super) fn on_player(&mut self) {
        while let Some(event) = self
            .stage
            .as_ref()
            .and_then(|stage| stage.events.try_recv())
        {
            self.on_player_event(event);
        }
    }

    fn on_player_event(&mut self, event: Event) {
        match event {
            Event::Started { id, first_sample } => self.on_started(PlayId(id.0), first_sample),
            Event::Stalled { id, .. } => {
                tracing::info!(play = id.0, "the sink has no samples");
                self.log.stalled(PlayId(id.0));
            }
            Event::Resumed { id, stalled_for } => self.log.resumed(PlayId(id.0), stalled_for),
            Event::Paused { .. } => self.set_paused(true),
            Event::Unpaused { .. } => self.set_paused(false),
            Event::TrackEnded { id, .. } => self.on_ended(PlayId(id.0)),
            Event::Failed { id, reason, .. } => {
                let id = PlayId(id.0);
                if self.is_current(id) {
                    self.give_up(id, &reason.to_string());
                } else {
                    self.forget_next(id, &reason);
                }
            }
            Event::SinkLost { reason } => self.notice(format!("the sound output ended: {reason}")),
            _ => {}
        }
    }

    fn on_started(&mut self, id: PlayId, first_sample: Instant) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if stage.next.as_ref().is_some_and(|next| next.play == id) {
            // In order, without a command: the former track's last sample and this one's first
            // are neighbors.
            stage.current = stage.next.take();
            self.queue.advance();
            self.begin_log(id);
            self.log.began_at(id, first_sample);
            self.tell_core_to_play(id);
        }
        if let Some(play) = self.on_stage(id) {
            play.sounded = true;
        }
        self.tell_playhead(id);
        self.log.started(id, first_sample);
        self.prepare_next();
    }

    /// The player has dropped what was to follow. When its turn comes it is tried once more, and then told of and
    /// left as any other.
    fn forget_next(&mut self, id: PlayId, reason: &PlayFailure) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if let Some(next) = stage.next.take_if(|next| next.play == id) {
            tracing::info!(track = %next.wish.track, %reason, "the next track cannot be prepared");
            next.abort();
            self.log.forget(id);
        }
    }

    fn on_ended(&mut self, id: PlayId) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if stage.current.as_ref().is_none_or(|play| play.play != id) {
            return;
        }
        let following = stage.next.as_ref().is_some_and(|next| next.ready.is_some());
        if following {
            // The player goes on by itself and says so with `Started`.
            return;
        }
        self.go_on(false, Instant::now());
    }

    fn set_paused(&mut self, paused: bool) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        stage.paused = paused;
        if let Some(id) = self.core_plays {
            self.tell_playhead(id);
        }
    }

    /// No source can deliver. A play that never sounded is left; one that did waits.
    pub(super) fn on_starved(&mut self, id: PlayId) {
        let sounded = self.on_stage(id).is_none_or(|play| play.sounded);
        if sounded {
            self.notice("no source can deliver this track now; waiting".to_owned());
        } else {
            self.give_up(id, "not available now");
        }
    }
}
