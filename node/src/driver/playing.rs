//! The player and the core, kept in step: how a play comes on stage and how the next follows.

use std::sync::Arc;
use std::time::Instant;

use antiphon_player::{Track, TrackSpec, millibel_to_linear};
use antiphon_protocol::manifest::Rendition;
use antiphon_protocol::{ChunkIndex, ChunkSet, Geometry, TrackId};
use antiphon_swarm::node::input::{Command, Expected, RenditionSpec};
use antiphon_swarm::{Input, PlayId, RenditionKey};

use super::stage::{Keys, OnStage, Ready};
use super::{ChunkRead, Driver, Wish};
use crate::clock::unix_micros;
use crate::licenses::Playable;
use crate::play_log::Beginning;
use crate::play_queue::Queued;
use crate::play_source::PlaySource;
use crate::reader::{ReaderEvent, TrackReader};

/// How sure the node is that the next entry of its queue will be heard: 61 % of plays follow in
/// order, and a queue is a stronger sign than the order of an album. Guess.
const NEXT_CHANCE_PERMILLE: u16 = 800;

impl Driver {
    /// Plays the queue's current entry from its start.
    pub(super) fn play_current(&mut self, commanded: bool, began: Instant) {
        self.play_with(Keys::default(), commanded, began);
    }

    /// The same with what was pressed before.
    fn play_with(&mut self, keys: Keys, commanded: bool, began: Instant) {
        let Some(entry) = self.queue.current().cloned() else {
            self.stop();
            return;
        };
        self.clear_stage();
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        let wish = Wish {
            track: entry.track,
            commanded,
            began,
        };
        let mut play = stage.new_play(wish);
        play.keys = keys;
        let id = play.play;
        stage.current = Some(play);
        if let Some(playable) = self.licensed(entry.track) {
            self.take_stage(id, playable);
        } else {
            self.ask_early(id, &entry);
            self.open_track(entry.track, super::tracker_link::Purpose::Play(id));
        }
    }

    /// Nothing plays and nothing is prepared any more.
    pub(super) fn clear_stage(&mut self) {
        self.waits = None;
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        (stage.unprepared, stage.paused) = (None, false);
        if let Some(play) = stage.current.take() {
            play.abort();
        }
        if let Some(next) = stage.next.take() {
            next.abort();
            self.log.forget(next.play);
        }
    }

    /// The former track has ended, and what was prepared has its turn, whether or not it sounds already.
    pub(super) fn follow(&mut self, at: Instant) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        let Some(mut next) = stage.next.take() else {
            return;
        };
        let id = next.play;
        next.wish.began = at;
        (stage.current, stage.unprepared) = (Some(next), None);
        self.queue.advance();
        self.begin_log(id);
        self.log.has_turn(id, at, unix_micros());
        self.tell_core_to_play(id);
        self.prepare_next();
    }

    /// Leaves the queue's current entry for the next one, or stops.
    pub(super) fn go_on(&mut self, commanded: bool, began: Instant) {
        if !self.queue.advance() {
            return self.stop();
        }
        let keys = match commanded {
            true => Keys::default(),
            false => self.kept_keys(),
        };
        let (Some(entry), Some(stage)) = (self.queue.current().cloned(), self.stage.as_mut())
        else {
            return;
        };
        let opens = |next: &mut OnStage| next.wish.track == entry.track && next.ready.is_none();
        let Some(mut next) = stage.next.take_if(opens) else {
            return self.play_with(keys, commanded, began);
        };
        // The answer that it waits for serves; another would come later.
        if let Some(play) = stage.current.take() {
            play.abort();
        }
        (stage.unprepared, stage.paused, next.keys) = (None, false, keys);
        (next.wish.commanded, next.wish.began) = (commanded, began);
        let id = next.play;
        stage.current = Some(next);
        self.ask_early(id, &entry);
    }

    /// Who paused does not hear what comes in place of a track that could not be played.
    pub(super) fn kept_keys(&self) -> Keys {
        let stage = self.stage.as_ref();
        let current = stage.and_then(|stage| stage.current.as_ref());
        let pressed = current.is_some_and(|play| play.keys.paused);
        Keys {
            paused: pressed || stage.is_some_and(|stage| stage.paused),
            seek: None,
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
        let held = self.store.held(summary.content);
        let held = held.unwrap_or_else(|| ChunkSet::empty(geometry));
        if let Some(current) = self.on_stage(play) {
            current.early = Some(rendition);
            let wish = current.wish;
            self.log_beginning(play, wish, (rendition, geometry, held));
        }
        self.core_play(play, rendition, ChunkIndex(0));
    }

    pub(super) fn core_play(&mut self, play: PlayId, rendition: RenditionKey, from: ChunkIndex) {
        tracing::debug!(?play, ?rendition, "plays");
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
            return self.give_up(id, "it cannot be read here");
        };
        let rendition = ready.rendition;
        let Some(play) = self.on_stage(id) else {
            return;
        };
        play.ready = Some(ready);
        let early = play.early == Some(rendition);
        // What is fetched from now on is fetched for it.
        self.begin_log(id);
        if is_current {
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
            self.press_keys(id);
            self.prepare_next();
        }
    }

    /// What was asked for while the track was being opened.
    fn press_keys(&mut self, id: PlayId) {
        let Some(play) = self.on_stage(id) else {
            return;
        };
        let keys = std::mem::take(&mut play.keys);
        let mut pressed = Ok(());
        if let Some(to) = keys.seek {
            pressed = self.seek(to);
        }
        if keys.paused && pressed.is_ok() {
            pressed = self.pause();
        }
        if let Err(error) = pressed {
            self.notice(format!(
                "what was asked for before the track was there is not done: {error}"
            ));
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
        // In the player's queue it must come behind the current one.
        let is_behind = stage
            .current
            .as_ref()
            .is_some_and(|play| play.ready.is_some());
        let unprepared = stage.unprepared == Some(upcoming.track);
        if stage.next.is_some() || !is_behind || unprepared {
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

    /// Play `id` cannot be: goes on to the next entry if it was the current one, or forgets that it was to follow.
    pub(super) fn give_up(&mut self, id: PlayId, why: &str) {
        if !self.is_current(id) {
            return self.forget_next(id, why);
        }
        self.tell_failure(id, why);
        self.go_on(false, Instant::now());
    }

    /// What was to follow cannot be prepared. It is tried once more at its turn, and then told of and left as any
    /// other.
    fn forget_next(&mut self, id: PlayId, why: &str) {
        let Some(stage) = self.stage.as_mut() else {
            return;
        };
        if let Some(next) = stage.next.take_if(|next| next.play == id) {
            tracing::info!(track = %next.wish.track, why, "the next track cannot be prepared");
            stage.unprepared = Some(next.wish.track);
            next.abort();
            self.log.forget(id);
        }
    }

    /// The play that was to sound, which may not have begun in the log, failed.
    pub(super) fn tell_failure(&mut self, id: PlayId, why: &str) {
        let Some(wish) = self.on_stage(id).map(|play| play.wish) else {
            return;
        };
        if self.log.record(id).is_none() {
            self.log
                .begin_without_data(id, wish.track, wish.began, unix_micros(), wish.commanded);
        }
        self.log.failed(id, why);
        self.notice(format!("{}: {why}", self.title(wish.track)));
    }

    pub(super) fn begin_log(&mut self, id: PlayId) {
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
        self.log_beginning(id, wish, (rendition, geometry, held));
    }

    fn log_beginning(
        &mut self,
        id: PlayId,
        wish: Wish,
        (rendition, geometry, held): (RenditionKey, Geometry, ChunkSet),
    ) {
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
            is_due: self.is_current(id),
        });
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
