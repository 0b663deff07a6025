//! Counting while a run goes on. Only what happens after settling counts.

use antiphon_swarm::Stats;
use antiphon_swarm::memory::bring;
use antiphon_swarm::node::output::Source;

use crate::measure::breakdown::{Breakdown, Dialed};
use crate::measure::harm::Harm;
use crate::measure::histogram::Histogram;
use crate::measure::released::Released;
use crate::measure::stall::StallCause;
use crate::net::fluid::AllocationStats;
use crate::scenario::Scenario;
pub(crate) use crate::world::Ending;

/// Plays written down one by one, at most. Of more, every second one is kept, then every fourth and so
/// on, so that the rows are of the whole run; every play counts in the sums.
const PLAY_ROWS_MAX: usize = 200_000;

/// A start that takes longer than this is told apart in the series: a listener notices it.
const SLOW_START_MICROS: u64 = 1_000_000;

/// Bytes of an announced entry and of a lookup's question and answer. From the codec.
const ANNOUNCE_BYTES: u64 = 34;
const LOOKUP_BYTES: u64 = 64;
const CONTACT_BYTES: u64 = 48;

/// Tracks of one row of the tracks table: powers of two of the rank.
const RANK_BINS: usize = 26;

/// One play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlayRow {
    pub(crate) user: u32,
    /// Which of the user's plays it was.
    pub(crate) number: u32,
    pub(crate) region: u8,
    pub(crate) access: u8,
    pub(crate) nat: u8,
    pub(crate) track: u32,
    /// Whether it came out during the run.
    pub(crate) released: bool,
    /// Whether it was the expected one.
    pub(crate) expected: bool,
    /// Whether all of it was in the cache before.
    pub(crate) cached: bool,
    pub(crate) asked: u64,
    pub(crate) start_latency: Option<u64>,
    /// From asking to the end.
    pub(crate) waited: u64,
    pub(crate) stalls: u32,
    /// Those of them that the machine itself caused.
    pub(crate) local_stalls: u32,
    pub(crate) stalled: u64,
    /// Why it stalled first.
    pub(crate) cause: Option<StallCause>,
    /// Bytes heard, by where they came from, and fetched: of one track.
    pub(crate) server: u32,
    pub(crate) peers: u32,
    pub(crate) cache: u32,
    pub(crate) fetched: u32,
    pub(crate) ending: Ending,
}

impl PlayRow {
    /// Bytes heard from the origin, from peers and from the cache.
    pub(crate) fn heard(&self) -> [u64; 3] {
        [self.server.into(), self.peers.into(), self.cache.into()]
    }
}

/// One minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesRow {
    /// Nodes online, of them listening, and their connections.
    pub online: u64,
    /// See `online`.
    pub listening: u64,
    /// See `online`.
    pub connections: u64,
    /// Copies the tracker knows.
    pub copies: u64,
    /// Bytes heard by source; of plays that ended in this minute.
    pub server: u64,
    /// See `server`.
    pub peers: u64,
    /// See `server`.
    pub cache: u64,
    /// Bytes the origin sent.
    pub origin_sent: u64,
    /// Plays that ended.
    pub plays: u64,
    /// Stalls that began.
    pub stalls: u64,
    /// New music that arrived from peers; without them the origin would have sent it.
    pub peers_arrived: u64,
    /// Plays that ended and were given up, or began more than a second late.
    pub refused: u64,
    /// See `refused`.
    pub slow: u64,
}

/// One node over the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeRow {
    /// Its access line and NAT class, as the scenario lists them.
    pub access: u8,
    /// See `access`.
    pub nat: u8,
    /// Whether it may upload at all.
    pub willing: bool,
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// Bytes got from peers.
    pub from_peers: u64,
    /// Bytes got from the origin.
    pub from_origin: u64,
    /// Plays.
    pub plays: u32,
    /// Plays with a stall.
    pub stalled_plays: u32,
}

/// Tracks of one range of ranks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrackRow {
    /// Plays.
    pub plays: u64,
    /// Plays with a stall.
    pub stalled_plays: u64,
    /// Bytes heard by source.
    pub server: u64,
    /// See `server`.
    pub peers: u64,
    /// See `server`.
    pub cache: u64,
}

/// All counts of one run.
#[derive(Clone, Debug)]
pub struct Tally {
    settle: u64,
    /// Bytes heard.
    pub server: u64,
    /// See `server`.
    pub peers: u64,
    /// See `server`.
    pub cache: u64,
    /// Plays that ended, those whose end was cut off by the end of the run included.
    pub plays: u64,
    /// Plays of tracks that were not expected.
    pub random_plays: u64,
    /// Plays that were completely cached.
    pub cached_plays: u64,
    /// Plays with at least one stall.
    pub stalled_plays: u64,
    /// Plays with a stall for want of data.
    pub starved_plays: u64,
    /// Plays that never began, and those refused for want of a license or source.
    pub silent_plays: u64,
    /// See `silent_plays`.
    pub refused_plays: u64,
    /// Microseconds without sound in stalls.
    pub stalled: u64,
    /// Bytes fetched for plays, or for expected ones that were not played.
    pub fetched: u64,
    /// Bytes on the lines, hashes included.
    pub sent: u64,
    /// New music that arrived, from whom.
    pub arrived_peers: u64,
    /// See `arrived_peers`.
    pub arrived_origin: u64,
    /// Music that had been there already.
    pub arrived_twice: u64,
    /// Control messages and requests.
    pub control: u64,
    /// Bytes to and from the tracker.
    pub tracker_bytes: u64,
    /// Tracks that nodes were asked to keep for others.
    pub placed: u64,
    /// Lookups with an answer, and those without any holder.
    pub lookups_answered: u64,
    /// See `lookups_answered`.
    pub lookups_empty: u64,
    /// From pressing play to sound.
    pub start: Histogram,
    /// The same for plays that needed the network.
    pub start_network: Histogram,
    /// Since the beginning of the world, settling included:
    pub sessions: u64,
    /// Control messages.
    pub messages: u64,
    /// Spans asked for.
    pub requests: u64,
    /// Spans declined.
    pub declines: u64,
    /// Dials, and those that led to a connection.
    pub dials: u64,
    /// See `dials`.
    pub dials_connected: u64,
    /// Lookups asked by cores.
    pub lookups: u64,
    /// Tracks opened.
    pub opened: u64,
    /// Entries announced.
    pub announced: u64,
    /// Cores' own counts: hedges and spans given up.
    pub hedges: u64,
    /// See `hedges`.
    pub cancels: u64,
    /// What the allocation of rates did.
    pub allocation: AllocationStats,
    /// What nodes that misbehave did; nothing in a world of honest ones.
    pub harm: Harm,
    /// Plays of what came out during the run.
    pub released: Released,
    /// By class of people, and dials by pair of classes.
    pub breakdown: Breakdown,
    /// By minute.
    pub series: Vec<SeriesRow>,
    /// The minutes before measuring began.
    pub settling: Vec<SeriesRow>,
    /// By node.
    pub nodes: Vec<NodeRow>,
    /// By powers of two of the rank.
    pub tracks: Vec<TrackRow>,
    pub(crate) rows: Vec<PlayRow>,
    row_stride: u64,
    minute: SeriesRow,
}

impl Tally {
    pub(crate) fn new(scenario: &Scenario, nodes: Vec<NodeRow>) -> Self {
        Self {
            settle: scenario.settle.micros(),
            server: 0,
            peers: 0,
            cache: 0,
            plays: 0,
            random_plays: 0,
            cached_plays: 0,
            stalled_plays: 0,
            starved_plays: 0,
            silent_plays: 0,
            refused_plays: 0,
            stalled: 0,
            fetched: 0,
            sent: 0,
            arrived_peers: 0,
            arrived_origin: 0,
            arrived_twice: 0,
            control: 0,
            tracker_bytes: 0,
            placed: 0,
            lookups_answered: 0,
            lookups_empty: 0,
            start: Histogram::default(),
            start_network: Histogram::default(),
            sessions: 0,
            messages: 0,
            requests: 0,
            declines: 0,
            dials: 0,
            dials_connected: 0,
            lookups: 0,
            opened: 0,
            announced: 0,
            hedges: 0,
            cancels: 0,
            allocation: AllocationStats::default(),
            harm: Harm::new(scenario),
            released: Released::new(scenario),
            breakdown: Breakdown::new(scenario.nat.len(), scenario.access.len()),
            series: Vec::new(),
            settling: Vec::new(),
            nodes,
            tracks: vec![TrackRow::default(); RANK_BINS],
            rows: Vec::new(),
            row_stride: 1,
            minute: SeriesRow::default(),
        }
    }

    pub(crate) fn note_play(&mut self, row: PlayRow) {
        let heard = row.heard();
        let [server, peers, cache] = heard;
        if row.released {
            self.released.note(heard, row.start_latency);
        }
        self.server += server;
        self.peers += peers;
        self.cache += cache;
        self.fetched += u64::from(row.fetched);
        self.plays += 1;
        self.random_plays += u64::from(!row.expected);
        self.cached_plays += u64::from(row.cached);
        self.stalled_plays += u64::from(row.stalls > 0);
        self.starved_plays += u64::from(row.stalls > row.local_stalls);
        self.stalled += row.stalled;
        let refused = u64::from(row.ending == Ending::Refused);
        self.refused_plays += refused;
        self.breakdown.note_play(&row);
        match row.start_latency {
            Some(latency) => {
                self.start.note(latency);
                if row.fetched > 0 {
                    self.start_network.note(latency);
                }
            }
            None => self.silent_plays += 1,
        }
        if let Some(node) = self.nodes.get_mut(row.user as usize) {
            node.plays += 1;
            node.stalled_plays += u32::from(row.stalls > 0);
        }
        let bin = 32 - (row.track + 1).leading_zeros() as usize - 1;
        if let Some(bin) = self.tracks.get_mut(bin) {
            bin.plays += 1;
            bin.stalled_plays += u64::from(row.stalls > 0);
            [bin.server, bin.peers, bin.cache] = [
                bin.server + heard[0],
                bin.peers + heard[1],
                bin.cache + heard[2],
            ];
        }
        let minute = &mut self.minute;
        minute.plays += 1;
        minute.refused += refused;
        minute.slow += u64::from(row.start_latency.is_some_and(|l| l > SLOW_START_MICROS));
        [minute.server, minute.peers, minute.cache] = [
            minute.server + heard[0],
            minute.peers + heard[1],
            minute.cache + heard[2],
        ];
        self.write_down(row);
    }

    fn write_down(&mut self, row: PlayRow) {
        if self.rows.len() >= PLAY_ROWS_MAX {
            let mut number = 0_u32;
            self.rows.retain(|_| {
                number += 1;
                number.is_multiple_of(2)
            });
            self.row_stride *= 2;
        }
        if self.plays.is_multiple_of(self.row_stride) {
            self.rows.push(row);
        }
    }

    pub(crate) fn note_prefetch_unplayed(&mut self, now: u64, fetched: u64) {
        if now >= self.settle {
            self.fetched += fetched;
        }
    }

    pub(crate) fn note_stall(&mut self, now: u64, cause: StallCause) {
        self.minute.stalls += 1;
        if now >= self.settle {
            self.breakdown.note_stall(cause);
        }
    }

    pub(crate) fn note_dial(&mut self, now: u64, classes: (u8, u8), dialed: Dialed) {
        if now >= self.settle {
            self.breakdown.note_dial(classes, dialed);
        }
    }

    pub(crate) fn note_sent(&mut self, now: u64, bytes: u64) {
        if now >= self.settle {
            self.sent += bytes;
        }
    }

    pub(crate) fn note_origin(&mut self, _now: u64, bytes: u64) {
        self.minute.origin_sent += bytes;
    }

    pub(crate) fn note_upload(&mut self, now: u64, node: u32, bytes: u64) {
        if let Some(node) = self
            .nodes
            .get_mut(node as usize)
            .filter(|_| now >= self.settle)
        {
            node.uploaded += bytes;
        }
    }

    /// Brings near what is counted of a node.
    pub(crate) fn bring_node(&self, node: usize) {
        bring(&self.nodes, node);
    }

    pub(crate) fn note_arrived(
        &mut self,
        now: u64,
        node: u32,
        source: Source,
        new: u64,
        known: u64,
    ) {
        if matches!(source, Source::Peer(_)) {
            self.minute.peers_arrived += new;
        }
        let Some(node) = self
            .nodes
            .get_mut(node as usize)
            .filter(|_| now >= self.settle)
        else {
            return;
        };
        self.arrived_twice += known;
        match source {
            Source::Peer(_) => {
                self.arrived_peers += new;
                node.from_peers += new;
            }
            Source::Origin(_) => {
                self.arrived_origin += new;
                node.from_origin += new;
            }
        }
    }

    pub(crate) fn note_control(&mut self, now: u64, bytes: u64) {
        if now >= self.settle {
            self.control += bytes;
        }
    }

    /// A track is to be kept for others.
    pub(crate) fn note_placement(&mut self, now: u64, manifest: u64, holders: usize) {
        if now >= self.settle {
            self.placed += 1;
            self.tracker_bytes += manifest + CONTACT_BYTES * holders as u64;
        }
    }

    pub(crate) fn note_tracker_bytes(&mut self, now: u64, entries: usize) {
        if now >= self.settle {
            self.tracker_bytes += LOOKUP_BYTES + ANNOUNCE_BYTES * entries as u64;
        }
    }

    pub(crate) fn note_lookup(&mut self, now: u64, holders: usize) {
        if now < self.settle {
            return;
        }
        self.lookups_answered += 1;
        self.lookups_empty += u64::from(holders == 0);
        self.tracker_bytes += LOOKUP_BYTES + CONTACT_BYTES * holders as u64;
    }

    pub(crate) fn note_core(&mut self, stats: &Stats) {
        self.hedges += u64::from(stats.hedges);
        self.cancels += u64::from(stats.cancels);
    }

    pub(crate) fn note_sample(
        &mut self,
        measured: bool,
        [online, listening, connections, copies]: [u64; 4],
    ) {
        let minute = core::mem::take(&mut self.minute);
        let row = SeriesRow {
            online,
            listening,
            connections,
            copies,
            ..minute
        };
        if measured {
            self.series.push(row);
        } else {
            self.settling.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(number: u32) -> PlayRow {
        PlayRow {
            user: 0,
            number,
            region: 0,
            access: 0,
            nat: 0,
            track: 0,
            released: false,
            expected: false,
            cached: false,
            asked: 0,
            start_latency: None,
            waited: 0,
            stalls: 0,
            local_stalls: 0,
            stalled: 0,
            cause: None,
            server: 0,
            peers: 0,
            cache: 0,
            fetched: 0,
            ending: Ending::Heard,
        }
    }

    #[test]
    fn the_rows_of_many_plays_are_of_the_whole_run() {
        let text = crate::scenario::built_in("hello").expect("there").1;
        let scenario = Scenario::read(text).expect("legal");
        let mut tally = Tally::new(&scenario, Vec::new());
        let plays = 5 * PLAY_ROWS_MAX as u32;
        for number in 1..=plays {
            tally.note_play(play(number));
        }
        assert_eq!(tally.plays, u64::from(plays));
        let numbers: Vec<u32> = tally.rows.iter().map(|row| row.number).collect();
        assert!(numbers.len() > PLAY_ROWS_MAX / 2 && numbers.len() <= PLAY_ROWS_MAX);
        let steps = numbers.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(steps.into_iter().all(|step| step == 8), "every eighth play");
        assert_eq!(numbers.last(), Some(&plays));
    }
}
