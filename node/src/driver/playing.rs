//! The player and the core, kept in step: what is on stage, what comes next, and what each event
//! of the player means.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_player::{
    Event, Events, Player, PlayerConfig, SinkSpec, Track, TrackSpec, Volume, millibel_to_linear,
};
use antiphon_protocol::manifest::Rendition;
use antiphon_protocol::{ChunkIndex, ChunkSet, Geometry, MediaTime, TrackId};
use antiphon_swarm::node::input::{Command, Expected, RenditionSpec};
use antiphon_swarm::{Input, PlayId, RenditionKey};
use tokio::sync::Notify;

use super::{ChunkRead, Driver, Wish};
use crate::clock::unix_micros;
use crate::command::{CommandError, Control};
use crate::licenses::Playable;
use crate::play_log::Beginning;
use crate::play_queue::Queued;
use crate::play_source::PlaySource;
use crate::reader::{ReaderControl, ReaderEvent, TrackReader};

/// How sure the node is that the next entry of its queue will be heard: 61 % of plays follow in
/// order, and a queue is a stronger sign than the order of an album. Guess.
const NEXT_CHANCE_PERMILLE: u16 = 800;

/// The player and what it plays.
pub(super) struct Stage {
    player: Player,
    events: Events,
    pub(super) current: Option<OnStage>,
    next: Option<OnStage>,
    plays: u64,
    paused: bool,
}

/// A play, from the wish to its end.
pub(super) struct OnStage {
    pub(super) play: PlayId,
    pub(super) wish: Wish,
    pub(super) ready: Option<Ready>,
    /// The rendition the core was told to play before the license was there.
    early: Option<RenditionKey>,
    pub(super) sounded: bool,
    /// Where the reader is.
    pub(super) chunk: ChunkIndex,
}

/// What a play has once its license is there.
pub(super) struct Ready {
    pub(super) playable: Playable,
    pub(super) rendition: RenditionKey,
    pub(super) geometry: Geometry,
    control: ReaderControl,
    /// What was in the store before; none after the log took it.
    held: Option<ChunkSet>,
}

impl Stage {
    pub(super) fn open(sink: &SinkSpec, wake: Arc<Notify>) -> Result<Self, CommandError> {
        let failed = |error: &dyn std::fmt::Display| CommandError::Player(error.to_string());
        let config = PlayerConfig {
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

    fn new_play(&mut self, wish: Wish) -> OnStage {
        self.plays += 1;
        OnStage {
            play: PlayId(self.plays),
            wish,
            ready: None,
            early: None,
            sounded: false,
            chunk: ChunkIndex(0),
        }
    }
}

impl OnStage {
    fn abort(&self) {
        if let Some(ready) = &self.ready {
            ready.control.abort();
        }
    }
}

/// A command of a person to the player.
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
                if !self.queue.advance() {
                    self.stop();
                    return Ok(());
                }
                self.play_current(true, commanded);
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

    /// Plays the queue's current entry from its start.
    pub(super) fn play_current(&mut self, commanded: bool, began: Instant) {
        let Some(entry) = self.queue.current().cloned() else {
            self.stop();
            return;
        };
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        for play in [stage.current.take(), stage.next.take()]
            .into_iter()
            .flatten()
        {
            play.abort();
        }
        let wish = Wish {
            track: entry.track,
            commanded,
            began,
        };
        let play = stage.new_play(wish);
        let id = play.play;
        stage.current = Some(play);
        if let Some(playable) = self.licensed(entry.track) {
            self.take_stage(id, playable);
        } else {
            self.ask_early(id, &entry);
            self.open_track(entry.track, super::tracker_link::Purpose::Play(id));
        }
    }

    /// The first bytes, while the license is still on its way.
    fn ask_early(&mut self, play: PlayId, entry: &Queued) {
        let summary = entry
            .summary
            .clone()
            .or_else(|| self.summaries.get(&entry.track).cloned());
        let Some(summary) = summary else { return };
        let Some(geometry) = Geometry::new(summary.size) else {
            return;
        };
        let spec = RenditionSpec {
            geometry,
            bit_rate: summary.bit_rate,
        };
        let Some(rendition) = self.introduce(entry.track, summary.content, spec) else {
            return;
        };
        if let Some(current) = self.on_stage(play) {
            current.early = Some(rendition);
        }
        self.core_play(play, rendition, ChunkIndex(0));
    }

    fn core_play(&mut self, play: PlayId, rendition: RenditionKey, from: ChunkIndex) {
        self.core_plays = Some(play);
        self.feed(Input::Command(Command::Play {
            play,
            rendition,
            from,
        }));
    }

    /// The license for play `id` is there: sound may begin.
    pub(super) fn take_stage(&mut self, id: PlayId, playable: Playable) {
        let is_current = self.is_current(id);
        let Some((ready, track)) = self.make_ready(id, playable) else {
            return;
        };
        let rendition = ready.rendition;
        let Some(play) = self.on_stage(id) else {
            return;
        };
        play.ready = Some(ready);
        let early = play.early == Some(rendition);
        if is_current {
            self.begin_log(id);
            if !early {
                self.core_play(id, rendition, ChunkIndex(0));
            }
        } else {
            let chance_permille = NEXT_CHANCE_PERMILLE;
            let next = vec![Expected {
                rendition,
                chance_permille,
            }];
            self.feed(Input::Command(Command::Expect { next }));
        }
        let Some(stage) = self.stage.as_ref() else {
            return;
        };
        let told = if is_current {
            stage.player.play(track)
        } else {
            stage.player.enqueue(track)
        };
        if let Err(error) = told {
            self.notice(format!("the player cannot play: {error}"));
        }
        if is_current {
            self.prepare_next();
        }
    }

    /// Opens the entry after the current one, so that it follows without a gap.
    pub(super) fn prepare_next(&mut self) {
        let Some(upcoming) = self.queue.upcoming().cloned() else {
            return;
        };
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if stage.next.is_some() || stage.current.is_none() {
            return;
        }
        let wish = Wish {
            track: upcoming.track,
            commanded: false,
            began: Instant::now(),
        };
        let play = stage.new_play(wish);
        let id = play.play;
        stage.next = Some(play);
        if let Some(playable) = self.licensed(upcoming.track) {
            self.take_stage(id, playable);
        } else {
            self.open_track(upcoming.track, super::tracker_link::Purpose::Play(id));
        }
    }

    fn make_ready(&mut self, id: PlayId, playable: Playable) -> Option<(Ready, Track)> {
        let rendition = playable.rendition().clone();
        let geometry = rendition.geometry()?;
        let spec = RenditionSpec {
            geometry,
            bit_rate: rendition.bit_rate,
        };
        let track = self.on_stage(id)?.wish.track;
        let key = self.introduce(track, playable.content, spec)?;
        let held = self
            .store
            .held(playable.content)
            .unwrap_or_else(|| ChunkSet::empty(geometry));
        self.store.touch(playable.content);
        let reads = self.reads.clone();
        let observer = move |event| {
            if let ReaderEvent::Entered(chunk) = event {
                // A report that does not fit is made good by the next one.
                let _ = reads.try_send(ChunkRead { play: id, chunk });
            }
        };
        let opened = TrackReader::new(
            self.store.clone(),
            playable.content,
            geometry,
            playable.key.clone(),
            observer,
        );
        let (reader, control) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.notice(format!("the chunk store cannot take this track: {error}"));
                return None;
            }
        };
        let source = PlaySource::new(
            reader,
            control.clone(),
            (self.store.clone(), playable.content, geometry),
            playable.key.clone(),
            Arc::clone(&self.corrupt_played),
        );
        let spec = track_spec(&playable, &rendition);
        let id = antiphon_player::PlayId(id.0);
        let track = Track {
            id,
            source: Box::new(source),
            spec,
        };
        Some((
            Ready {
                playable,
                rendition: key,
                geometry,
                control,
                held: Some(held),
            },
            track,
        ))
    }

    /// Play `id` cannot be: goes on to the next entry, if it was the current one.
    pub(super) fn give_up(&mut self, id: PlayId, why: &str) {
        let is_current = self.is_current(id);
        let title = self.on_stage(id).map(|play| play.wish.track);
        self.log_failure(id, why);
        self.notice(match title {
            Some(track) => format!("{}: {why}", self.title(track)),
            None => why.to_owned(),
        });
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if !is_current {
            stage.next = None;
            return;
        }
        if self.queue.advance() {
            self.play_current(false, Instant::now());
        } else {
            self.stop();
        }
    }

    /// A failure of a play that may not have begun in the log.
    fn log_failure(&mut self, id: PlayId, why: &str) {
        if self.log.record(id).is_none() {
            let Some(play) = self.on_stage(id) else {
                return;
            };
            let wish = play.wish;
            if !self.is_current(id) {
                return;
            }
            self.log
                .begin_without_data(id, wish.track, wish.began, unix_micros(), wish.commanded);
        }
        self.log.failed(id, why);
    }

    fn begin_log(&mut self, id: PlayId) {
        let Some(play) = self.on_stage(id) else {
            return;
        };
        let wish = play.wish;
        let Some(ready) = play.ready.as_mut() else {
            return;
        };
        let Some(held) = ready.held.take() else {
            return;
        };
        let (rendition, geometry) = (ready.rendition, ready.geometry);
        let passed = u64::try_from(wish.began.elapsed().as_micros()).unwrap_or(0);
        self.log.begin(Beginning {
            id,
            track: wish.track,
            rendition,
            geometry,
            held,
            began: wish.began,
            began_unix_us: unix_micros().saturating_sub(passed),
            commanded: wish.commanded,
        });
    }

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
        if self.core_plays == Some(id) {
            let playing = self.stage.as_ref().is_some_and(|stage| !stage.paused);
            self.feed(Input::Command(Command::Playhead { chunk, playing }));
        }
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
        let following = stage.next.as_ref().is_some_and(|next| next.ready.is_some());
        if following {
            // The player goes on by itself and says so with `Started`.
            return;
        }
        if self.queue.advance() {
            self.play_current(false, Instant::now());
        } else {
            self.stop();
        }
    }

    fn set_paused(&mut self, paused: bool) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        stage.paused = paused;
        let Some(chunk) = stage.current.as_ref().map(|play| play.chunk) else {
            return;
        };
        self.feed(Input::Command(Command::Playhead {
            chunk,
            playing: !paused,
        }));
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

    pub(super) fn is_current(&self, id: PlayId) -> bool {
        let current = self.stage.as_ref().and_then(|stage| stage.current.as_ref());
        current.is_some_and(|play| play.play == id)
    }

    pub(super) fn on_stage(&mut self, id: PlayId) -> Option<&mut OnStage> {
        let stage = self.stage.as_mut()?;
        let plays = [stage.current.as_mut(), stage.next.as_mut()];
        plays.into_iter().flatten().find(|play| play.play == id)
    }

    /// What the catalog calls a track, or its id.
    pub(super) fn title(&self, track: TrackId) -> String {
        let summary = self.summaries.get(&track);
        summary.map_or_else(|| track.to_string(), |summary| summary.title.clone())
    }
}

fn track_spec(playable: &Playable, rendition: &Rendition) -> TrackSpec {
    let manifest = &playable.manifest;
    TrackSpec {
        title: manifest.title.clone(),
        track_gain_millibel: i32::from(manifest.track_gain.0),
        peak: Some(millibel_to_linear(i32::from(manifest.true_peak.0))),
        frames: Some(rendition.frames),
        sample_rate_hint: Some(rendition.sample_rate),
        channels_hint: Some(u16::from(rendition.channels)),
        seek_table: rendition
            .seek_table
            .iter()
            .map(|offset| u64::from(*offset))
            .collect(),
    }
}
