//! What the node tells about itself.

use std::sync::atomic::Ordering;

use antiphon_player::PlayState;
use antiphon_protocol::{ByteCount, ChunkIndex};

use super::Driver;
use super::stage::{OnStage, Stage};
use crate::status::{Playing, Status};

impl Driver {
    pub(super) fn status(&self) -> Status {
        let (bytes, wasted, stalls, plays) = self.log.totals();
        let (entries, current) = self.queue.entries();
        let snapshot = self.core.snapshot();
        let addresses = self.peers.listen_addresses().iter();
        Status {
            node: self.identity.node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tracker_connected: self.tracker_connected,
            listening: addresses.map(ToString::to_string).collect(),
            outside: self.outside.map(|address| address.to_string()),
            neighbors: u32::try_from(snapshot.neighbors.len()).unwrap_or(u32::MAX),
            playing: self.playing(),
            waits_for_tracker: self.waits_for_tracker(),
            queued: entries.len().saturating_sub(current + 1) as u32,
            bytes,
            uploaded: self.uploaded.0,
            wasted,
            plays,
            stalls,
            corrupt_chunks: self.corrupt_chunks,
            corrupt_played: self.corrupt_played.load(Ordering::Relaxed),
            held: self.log.complete_count(),
            cache_bytes: self.store.bytes_on_disk().0,
            notices: self.notices.iter().cloned().collect(),
        }
    }

    fn playing(&self) -> Option<Playing> {
        let stage = self.stage.as_ref()?;
        let play = stage.current.as_ref()?;
        let Some(ready) = &play.ready else {
            return Some(Playing {
                track: play.wish.track.to_string(),
                title: self.title(play.wish.track),
                state: "opening".to_owned(),
                ..Playing::default()
            });
        };
        let manifest = &ready.playable.manifest;
        let record = self.log.record(play.play);
        let status = stage.status();
        let heard = status.track.is_some_and(|id| id.0 == play.play.0);
        Some(Playing {
            track: play.wish.track.to_string(),
            title: manifest.title.clone(),
            artist: manifest.artist.clone(),
            state: state(stage, play).to_owned(),
            position_ms: if heard {
                status.position.as_millis() as u64
            } else {
                0
            },
            duration_ms: ready.playable.rendition().duration().0 / 1_000,
            buffer_ms: self.buffer_ms(play.chunk, play),
            start_ms: record
                .and_then(|record| record.start_us)
                .map(|us| us as f64 / 1e3),
            bytes: record.map(|record| record.bytes).unwrap_or_default(),
        })
    }

    /// Music in the store ahead of the reader.
    fn buffer_ms(&self, from: ChunkIndex, play: &OnStage) -> u64 {
        let Some(ready) = &play.ready else { return 0 };
        let Some(held) = self.store.held(ready.playable.content) else {
            return 0;
        };
        let until = held
            .present_until(from)
            .byte_offset()
            .min(ready.geometry.size().0);
        let bytes = ByteCount(until.saturating_sub(from.byte_offset()));
        ready.playable.rendition().bit_rate.time_of(bytes).0 / 1_000
    }
}

fn state(stage: &Stage, play: &OnStage) -> &'static str {
    match stage.status().state {
        PlayState::Paused => "paused",
        PlayState::Playing if play.sounded => "playing",
        _ => "waiting",
    }
}
