//! What the player and its readers report, and what follows from it.

use std::time::{Duration, Instant};

use antiphon_player::Event;
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
            if self.current_needs_nothing() {
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

    /// Whether all from the reader on is here. What a seek left out is not missed.
    fn current_needs_nothing(&self) -> bool {
        let current = self.stage.as_ref().and_then(|stage| stage.current.as_ref());
        let ready = current.and_then(|play| Some((play.chunk, play.ready.as_ref()?)));
        ready.is_none_or(|(chunk, ready)| {
            let held = self.store.held(ready.playable.content);
            held.is_some_and(|held| held.first_missing(chunk).is_none())
        })
    }

    pub(super) fn tell_core_to_play(&mut self, id: PlayId) {
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
                self.on_stalled(PlayId(id.0));
            }
            Event::Resumed { id, stalled_for } => self.on_resumed(PlayId(id.0), stalled_for),
            Event::Paused { .. } => self.set_paused(true),
            Event::Unpaused { .. } => self.set_paused(false),
            Event::TrackEnded { id, .. } => self.on_ended(PlayId(id.0)),
            // Maybe of the next one, which the player drops while the one before it sounds.
            Event::Failed { id, reason, .. } => self.give_up(PlayId(id.0), &reason.to_string()),
            Event::SinkLost { reason } => self.notice(format!("the sound output ended: {reason}")),
            _ => {}
        }
    }

    /// Silence before the first sample is a slow start, and counted as one.
    fn on_stalled(&mut self, id: PlayId) {
        let Some(play) = self.on_stage(id).filter(|play| play.sounded) else {
            return;
        };
        play.stalled = true;
        self.log.stalled(id);
    }

    fn on_resumed(&mut self, id: PlayId, after: Duration) {
        let Some(play) = self.on_stage(id).filter(|play| play.stalled) else {
            return;
        };
        play.stalled = false;
        self.log.resumed(id, after);
    }

    fn on_started(&mut self, id: PlayId, first_sample: Instant) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if stage.next.as_ref().is_some_and(|next| next.play == id) {
            // In order, without a command: the former track's last sample and this one's first
            // are neighbors.
            self.follow(first_sample);
        }
        if let Some(play) = self.on_stage(id) {
            play.sounded = true;
        }
        self.tell_playhead(id);
        self.log.started(id, first_sample);
        self.prepare_next();
    }

    fn on_ended(&mut self, id: PlayId) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if stage.current.as_ref().is_none_or(|play| play.play != id) {
            return;
        }
        // The player goes on by itself with what it has, as soon as that is there.
        if stage.next.as_ref().is_some_and(|next| next.ready.is_some()) {
            self.follow(Instant::now());
        } else {
            self.go_on(false, Instant::now());
        }
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
        let Some(play) = self.on_stage(id) else {
            return;
        };
        let (sounded, track) = (play.sounded, play.wish.track);
        if sounded {
            let title = self.title(track);
            self.notice(format!("{title}: no source can deliver it now; waiting"));
        } else {
            self.give_up(id, "not available now");
        }
    }
}
