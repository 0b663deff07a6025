//! Accounts of plays and of where their bytes came from.
//!
//! Pure bookkeeping, told by the driver. The core counts too, for its decisions; this is what
//! people and reports see.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use antiphon_protocol::{ChunkIndex, ChunkSet, Geometry, TrackId};
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{PlayId, RenditionKey};

use crate::status::{BytesBySource, LedgerEntry, PlayRecord};

/// Plays remembered: a long day at a skip every few seconds; guess. The oldest go first.
const PLAYS_MAX: usize = 4_096;
/// Renditions remembered; the first asked for go first. Guess, above a full cache's 2,500.
const LEDGER_MAX: usize = 8_192;

struct Play {
    id: PlayId,
    began: Instant,
    /// Its turn has come. What is only prepared is nothing that anybody played.
    is_due: bool,
    data: Option<Data>,
    record: PlayRecord,
}

/// The rendition of a play that got so far.
struct Data {
    rendition: RenditionKey,
    geometry: Geometry,
    /// Chunks whose first reading still counts as a cache hit.
    cached: ChunkSet,
}

/// What a play begins with.
pub(crate) struct Beginning {
    pub(crate) id: PlayId,
    pub(crate) track: TrackId,
    pub(crate) rendition: RenditionKey,
    pub(crate) geometry: Geometry,
    /// What the store held at that moment.
    pub(crate) held: ChunkSet,
    /// When the command came, or the former track ended.
    pub(crate) began: Instant,
    pub(crate) began_unix_us: u64,
    pub(crate) commanded: bool,
    /// Whether it plays now, or is prepared to.
    pub(crate) is_due: bool,
}

/// All accounts of a node.
#[derive(Default)]
pub(crate) struct PlayLog {
    plays: VecDeque<Play>,
    ledger: BTreeMap<RenditionKey, LedgerEntry>,
    asked: VecDeque<RenditionKey>,
    total: BytesBySource,
    wasted: u64,
    stalls: u64,
    begun: u64,
}

impl PlayLog {
    /// A play begins. What was fetched for it while its license was on its way is its own: if it
    /// began then, only another rendition is news.
    pub(crate) fn begin(&mut self, beginning: Beginning) {
        let Beginning {
            id,
            track,
            rendition,
            geometry,
            held,
            began,
            began_unix_us,
            commanded,
            is_due,
        } = beginning;
        if self.play(id).is_none() {
            self.write_down(id, track, began, commanded);
        }
        if is_due {
            self.has_turn(id, began, began_unix_us);
        }
        let known = |play: &&mut Play| {
            let data = play.data.as_ref();
            data.is_some_and(|data| data.rendition == rendition)
        };
        if let Some(play) = self.play(id).filter(|play| !known(play)) {
            play.data = Some(Data {
                rendition,
                geometry,
                cached: held,
            });
        }
    }

    /// A play that fails before it is known what to read.
    pub(crate) fn begin_without_data(
        &mut self,
        id: PlayId,
        track: TrackId,
        began: Instant,
        began_unix_us: u64,
        commanded: bool,
    ) {
        self.write_down(id, track, began, commanded);
        self.has_turn(id, began, began_unix_us);
    }

    /// When it began is said when it has its turn.
    fn write_down(&mut self, id: PlayId, track: TrackId, began: Instant, commanded: bool) {
        let record = PlayRecord {
            track: track.to_string(),
            began_unix_us: 0,
            commanded,
            start_us: None,
            stalls: 0,
            stalled_us: 0,
            bytes: BytesBySource::default(),
            failure: String::new(),
        };
        if self.plays.len() == PLAYS_MAX {
            self.plays.pop_front();
        }
        self.plays.push_back(Play {
            id,
            began,
            is_due: false,
            data: None,
            record,
        });
    }

    /// What was prepared plays from now on. A play whose turn has come already began when it did.
    pub(crate) fn has_turn(&mut self, id: PlayId, at: Instant, at_unix_us: u64) {
        let Some(play) = self.play(id).filter(|play| !play.is_due) else {
            return;
        };
        (play.is_due, play.began) = (true, at);
        play.record.began_unix_us = at_unix_us;
        self.begun += 1;
    }

    pub(crate) fn started(&mut self, id: PlayId, first_sample: Instant) {
        if let Some(play) = self.play(id) {
            let waited = first_sample.saturating_duration_since(play.began);
            play.record.start_us.get_or_insert(micros(waited));
        }
    }

    pub(crate) fn stalled(&mut self, id: PlayId) {
        self.stalls += 1;
        if let Some(play) = self.play(id) {
            play.record.stalls += 1;
        }
    }

    pub(crate) fn resumed(&mut self, id: PlayId, after: Duration) {
        if let Some(play) = self.play(id) {
            play.record.stalled_us += micros(after);
        }
    }

    pub(crate) fn failed(&mut self, id: PlayId, why: &str) {
        if let Some(play) = self.play(id) {
            why.clone_into(&mut play.record.failure);
        }
    }

    /// It was prepared, and its turn never came.
    pub(crate) fn forget(&mut self, id: PlayId) {
        self.plays.retain(|play| play.id != id || play.is_due);
    }

    /// The player reads `chunk`; counts it as cached if it was there before the play.
    pub(crate) fn read(&mut self, id: PlayId, chunk: ChunkIndex) {
        let Some(play) = self.play(id) else { return };
        let Some(data) = &mut play.data else { return };
        if data.cached.remove(chunk) {
            let bytes = data.geometry.chunk_bytes(chunk) as u64;
            play.record.bytes.cache += bytes;
            self.total.cache += bytes;
        }
    }

    pub(crate) fn asked(&mut self, rendition: RenditionKey, track: TrackId, unix_us: u64) {
        if self.ledger.contains_key(&rendition) {
            return;
        }
        if self.asked.len() == LEDGER_MAX
            && let Some(oldest) = self.asked.pop_front()
        {
            self.ledger.remove(&oldest);
        }
        self.asked.push_back(rendition);
        let entry = LedgerEntry {
            track: track.to_string(),
            first_asked_unix_us: unix_us,
            complete_unix_us: None,
            bytes: BytesBySource::default(),
        };
        self.ledger.insert(rendition, entry);
    }

    pub(crate) fn complete(&mut self, rendition: RenditionKey, unix_us: u64) {
        if let Some(entry) = self.ledger.get_mut(&rendition) {
            entry.complete_unix_us.get_or_insert(unix_us);
        }
    }

    pub(crate) fn received(
        &mut self,
        rendition: RenditionKey,
        source: Source,
        bytes: u64,
        wasted: u64,
    ) {
        self.wasted += wasted;
        let of_it = |play: &&mut Play| {
            play.data
                .as_ref()
                .is_some_and(|data| data.rendition == rendition)
        };
        let latest = self.plays.iter_mut().rev().find(of_it);
        let accounts = [
            Some(&mut self.total),
            self.ledger
                .get_mut(&rendition)
                .map(|entry| &mut entry.bytes),
            latest.map(|play| &mut play.record.bytes),
        ];
        for account in accounts.into_iter().flatten() {
            match source {
                Source::Peer(_) => account.peers += bytes,
                Source::Origin(_) => account.origin += bytes,
            }
        }
    }

    pub(crate) fn record(&self, id: PlayId) -> Option<&PlayRecord> {
        self.plays
            .iter()
            .rev()
            .find(|play| play.id == id)
            .map(|play| &play.record)
    }

    pub(crate) fn records(&self) -> Vec<PlayRecord> {
        let due = self.plays.iter().filter(|play| play.is_due);
        due.map(|play| play.record.clone()).collect()
    }

    pub(crate) fn ledger(&self) -> Vec<LedgerEntry> {
        self.ledger.values().cloned().collect()
    }

    /// Renditions of the ledger that are held whole.
    pub(crate) fn complete_count(&self) -> u32 {
        let whole = self
            .ledger
            .values()
            .filter(|entry| entry.complete_unix_us.is_some());
        u32::try_from(whole.count()).unwrap_or(u32::MAX)
    }

    pub(crate) const fn totals(&self) -> (BytesBySource, u64, u64, u64) {
        (self.total, self.wasted, self.stalls, self.begun)
    }

    fn play(&mut self, id: PlayId) -> Option<&mut Play> {
        self.plays.iter_mut().rev().find(|play| play.id == id)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::{ByteCount, CHUNK_BYTES};
    use antiphon_swarm::PeerKey;
    use antiphon_swarm::node::output::OriginRoute;

    use super::*;

    fn begin(log: &mut PlayLog, id: u64, rendition: RenditionKey, held: ChunkSet) {
        let geometry = Geometry::new(ByteCount(CHUNK_BYTES * 4)).expect("legal");
        log.begin(Beginning {
            id: PlayId(id),
            track: TrackId([1; 16]),
            rendition,
            geometry,
            held,
            began: Instant::now(),
            began_unix_us: 0,
            commanded: true,
            is_due: true,
        });
    }

    #[test]
    fn what_is_prepared_is_a_play_once_it_has_its_turn() {
        let geometry = Geometry::new(ByteCount(CHUNK_BYTES * 4)).expect("legal");
        let mut log = PlayLog::default();
        let prepare = |log: &mut PlayLog, id: u64| {
            log.begin(Beginning {
                id: PlayId(id),
                track: TrackId([1; 16]),
                rendition: RenditionKey(0),
                geometry,
                held: ChunkSet::empty(geometry),
                began: Instant::now(),
                began_unix_us: 5,
                commanded: false,
                is_due: false,
            });
        };
        begin(&mut log, 1, RenditionKey(0), ChunkSet::empty(geometry));
        prepare(&mut log, 2);
        prepare(&mut log, 3);
        assert_eq!((log.records().len(), log.begun), (1, 1));
        log.has_turn(PlayId(2), Instant::now(), 9);
        log.has_turn(PlayId(2), Instant::now(), 11);
        for id in [1, 2, 3, 7] {
            log.forget(PlayId(id));
        }
        let began: Vec<u64> = log.records().iter().map(|r| r.began_unix_us).collect();
        assert_eq!((began, log.begun), (vec![0, 9], 2));
        assert!(log.record(PlayId(3)).is_none());
    }

    #[test]
    fn a_chunk_counts_as_cached_once_and_only_if_it_was_there_before() {
        let geometry = Geometry::new(ByteCount(CHUNK_BYTES * 4)).expect("legal");
        let mut held = ChunkSet::empty(geometry);
        held.insert(ChunkIndex(0));
        let mut log = PlayLog::default();
        begin(&mut log, 1, RenditionKey(7), held);
        for chunk in [0, 0, 1] {
            log.read(PlayId(1), ChunkIndex(chunk));
        }
        assert_eq!(log.totals().0.cache, CHUNK_BYTES);
    }

    #[test]
    fn what_came_while_the_license_was_on_its_way_is_no_cache_hit() {
        let geometry = Geometry::new(ByteCount(CHUNK_BYTES * 4)).expect("legal");
        let (wished, opened) = (RenditionKey(7), RenditionKey(8));
        let mut log = PlayLog::default();
        begin(&mut log, 1, wished, ChunkSet::empty(geometry));
        log.received(wished, Source::Peer(PeerKey(1)), CHUNK_BYTES, 0);
        begin(&mut log, 1, wished, ChunkSet::full(geometry));
        log.read(PlayId(1), ChunkIndex(0));
        let bytes = log.record(PlayId(1)).expect("a play").bytes;
        assert_eq!((bytes.peers, bytes.cache), (CHUNK_BYTES, 0));
        begin(&mut log, 1, opened, ChunkSet::full(geometry));
        log.read(PlayId(1), ChunkIndex(0));
        let bytes = log.record(PlayId(1)).expect("the same play").bytes;
        assert_eq!((bytes.peers, bytes.cache), (CHUNK_BYTES, CHUNK_BYTES));
        assert_eq!(log.records().len(), 1);
    }

    #[test]
    fn network_bytes_go_to_the_play_the_ledger_and_the_total() {
        let geometry = Geometry::new(ByteCount(CHUNK_BYTES * 4)).expect("legal");
        let mut log = PlayLog::default();
        log.asked(RenditionKey(7), TrackId([1; 16]), 5);
        begin(&mut log, 1, RenditionKey(7), ChunkSet::empty(geometry));
        log.received(RenditionKey(7), Source::Peer(PeerKey(1)), 10, 1);
        log.received(RenditionKey(7), Source::Origin(OriginRoute::Quic), 3, 0);
        let expected = BytesBySource {
            cache: 0,
            peers: 10,
            origin: 3,
        };
        assert_eq!(
            log.record(PlayId(1)).map(|record| record.bytes),
            Some(expected)
        );
        assert_eq!(
            log.ledger().first().map(|entry| entry.bytes),
            Some(expected)
        );
        assert_eq!(log.totals().0, expected);
    }
}
