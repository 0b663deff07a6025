//! What must never happen, and what was promised: checked while a schedule runs.
//!
//! Integrity is checked where bytes are verified, kept, read and served; bounds and the
//! continuity invariant here, every [`LOOK_MICROS`].

use antiphon_protocol::peer::Extent;
use antiphon_protocol::tracker::AnnounceEntry;

use crate::packet::harness::Harness;
use crate::packet::origin::Service;

/// Between two looks.
pub(crate) const LOOK_MICROS: u64 = 100_000;
/// What a hostile swarm may add to a node: DESIGN section 9.
const MEMORY_MAX: usize = 64 << 20;
/// The invariant's buffer.
const DEEP_MICROS: u64 = 5_000_000;
/// A source class counts as able once it has been without fault for so long: what transports and
/// the core's own retries may take to notice. Under the 5 s of buffer.
const SETTLED_MICROS: u64 = 3_000_000;
/// How much faster than the music a source class must be able to deliver, with room for other
/// traffic of the node: 1.25 times for the promise, times four.
const RATE_FACTOR: f64 = 5.0;

/// How a schedule can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something false: wrong bytes, a broken rule of the core, numbers that do not add up.
    Correctness,
    /// Something promised did not come in time.
    Liveness,
    /// The code panicked.
    Crash,
}

/// A broken promise.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{kind:?} at {seconds:.3} s: {text}")]
pub struct Broken {
    /// Which kind.
    pub kind: Kind,
    /// Simulated seconds.
    pub seconds: f64,
    /// What happened.
    pub text: String,
}

impl Broken {
    pub(crate) fn correctness(now: u64, text: String) -> Self {
        Self {
            kind: Kind::Correctness,
            seconds: now as f64 / 1e6,
            text,
        }
    }

    pub(crate) fn liveness(now: u64, text: String) -> Self {
        Self {
            kind: Kind::Liveness,
            seconds: now as f64 / 1e6,
            text,
        }
    }

    pub(crate) fn core(node: u16, now: u64, violation: &str) -> Self {
        Self::correctness(now, format!("node {node}: {violation}"))
    }
}

/// What is watched of one node.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// Verified new bytes the core told of in this run of the process.
    received: u64,
    /// Since when each way to the origin and the peers have been without fault.
    able: [Option<u64>; 3],
    /// Since when some class has counted as able without a break.
    covered: Option<u64>,
    /// When the disk lost something last.
    disk_at: Option<u64>,
}

/// The oracle's memory, and what it counts.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) check_every: u64,
    watched: Vec<Watched>,
    writes: u64,
    pub(crate) corrupt_received: u64,
    pub(crate) penalties: u64,
    pub(crate) plays: u64,
    pub(crate) given_up: u64,
    pub(crate) stalls: u64,
    pub(crate) faults: u64,
    pub(crate) heard_bytes: [u64; 3],
    pub(crate) starts: Vec<u64>,
    looks: u64,
    broken: Option<Broken>,
}

impl Oracle {
    pub(crate) fn new(people: usize) -> Self {
        Self {
            check_every: 16,
            watched: vec![Watched::default(); people],
            ..Self::default()
        }
    }

    pub(crate) fn received(&mut self, node: u16, bytes: u64) {
        self.watched[usize::from(node)].received += bytes;
    }

    pub(crate) const fn next_write(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }

    pub(crate) fn disk_touched(&mut self, node: u16, now: u64) {
        self.watched[usize::from(node)].disk_at = Some(now);
    }

    /// When the disk of a node lost something last, in this run of its process.
    pub(crate) fn disk_lost_at(&self, node: u16) -> Option<u64> {
        self.watched[usize::from(node)].disk_at
    }

    pub(crate) fn process_ended(&mut self, node: u16) {
        self.watched[usize::from(node)] = Watched::default();
    }

    pub(crate) fn started(&mut self, after: u64) {
        self.starts.push(after);
    }

    /// Every heard byte has one source.
    pub(crate) fn heard(&mut self, node: u16, now: u64, bytes: u64, by_source: [u64; 3]) {
        if by_source.iter().sum::<u64>() != bytes {
            let text = format!("node {node} heard {bytes} bytes, but of sources {by_source:?}");
            self.broken.get_or_insert(Broken::correctness(now, text));
        }
        for (sum, part) in self.heard_bytes.iter_mut().zip(by_source) {
            *sum += part;
        }
    }
}

impl Harness {
    /// The oracle looks at everybody.
    pub(crate) fn look(&mut self) {
        self.queue.push(
            self.now + LOOK_MICROS,
            crate::packet::happening::Happening::Look,
        );
        self.oracle.looks += 1;
        if let Some(broken) = self.oracle.broken.take() {
            self.break_with(broken);
        }
        for node in 0..self.nodes.len() as u16 {
            if self.nodes[usize::from(node)].is_up() {
                self.watch(node);
            }
        }
        if self.oracle.looks.is_multiple_of(20) {
            self.check_traffic();
            let node = (self.oracle.looks / 20 % self.nodes.len() as u64) as u16;
            self.check_books(node);
            self.check_memory(node);
        }
    }

    fn watch(&mut self, node: u16) {
        let now = self.now;
        let able = [
            self.origin_is_able(node, 0),
            self.origin_is_able(node, 1),
            self.peers_are_able(node),
        ];
        let watched = &mut self.oracle.watched[usize::from(node)];
        let mut covered = false;
        for (since, able) in watched.able.iter_mut().zip(able) {
            if able {
                let since = *since.get_or_insert(now);
                covered |= since + SETTLED_MICROS <= now;
            } else {
                *since = None;
            }
        }
        if covered {
            watched.covered.get_or_insert(now);
        } else {
            watched.covered = None;
        }
        if self.buffered(node) >= DEEP_MICROS
            && let Some(playing) = &mut self.nodes[usize::from(node)].player.current
        {
            playing.deep_at = Some(now);
        }
    }

    /// Whether the origin could deliver to a node now over one of its ways.
    fn origin_is_able(&self, node: u16, way: usize) -> bool {
        let (origin, host) = (&self.origin, self.origin.host);
        origin.alive
            && origin.services[way] == Service::Up
            && !origin.starved
            && self.path_is_able(node, host)
            && self.profile.egress as f64 / self.nodes.len() as f64 >= RATE_FACTOR * rate()
    }

    fn path_is_able(&self, node: u16, host: u16) -> bool {
        let (a, b) = (usize::from(node), usize::from(host));
        let paths = &self.network.paths;
        let weather = paths.weather;
        // Mathis et al., 1997, with the mean jitter twice in a round trip.
        let trip = (2 * paths.delay(a, b)) as f64 / 1e6 + 2.0 * weather.jitter / 1e6;
        let bound = if weather.loss > 0.0 {
            1.22 * 1_200.0 / (trip.max(0.001) * libm::sqrt(weather.loss))
        } else {
            f64::INFINITY
        };
        paths.is_open(self.now, a, b)
            && paths.is_open(self.now, b, a)
            && bound >= RATE_FACTOR * rate()
            && weather.loss <= 0.02
            && weather.reorder <= 0.02
    }

    /// Whether some connected, honest peer with a whole copy could carry a node alone: its line
    /// is wide enough for everybody at once and it has a slot for each.
    fn peers_are_able(&self, node: u16) -> bool {
        let entry = &self.nodes[usize::from(node)];
        let Some(playing) = entry.player.current else {
            return false;
        };
        let listening = self.nodes.iter().filter(|other| other.is_up()).count();
        if listening > antiphon_swarm::limits::UPLOADS_MAX {
            return false;
        }
        entry.neighbors.keys().any(|host| {
            let other = &self.nodes[usize::from(*host)];
            other.is_up()
                && other.is_honest()
                && other.persona.uploads
                && other
                    .disk
                    .get(playing.track)
                    .is_some_and(|kept| kept.held.is_full())
                && other.persona.up as f64 / listening as f64 >= 10.0 * RATE_FACTOR * rate()
                && self.path_is_able(node, *host)
        })
    }

    /// The continuity invariant of DESIGN section 5: a play that had 5 s buffered does not stall
    /// while at every moment since some source class was able. Not judged: bad nodes, and nodes
    /// whose disk lost something since.
    pub(crate) fn judge_stall(&mut self, node: u16) {
        self.oracle.stalls += 1;
        let entry = &self.nodes[usize::from(node)];
        let watched = self.oracle.watched[usize::from(node)];
        let playing = entry.player.current;
        let Some((playing, deep_at)) = playing.and_then(|p| Some((p, p.deep_at?))) else {
            return;
        };
        let covered = watched.covered.is_some_and(|since| since <= deep_at);
        let disk = watched.disk_at.is_some_and(|at| at >= deep_at);
        if !covered || disk || !entry.is_honest() || entry.disk.full || entry.disk.failing {
            return;
        }
        let text = format!(
            "node {node} stalls in play {} of track {}, {:.1} s after it had 5 s buffered, though a source was able all the time (able since {:?})",
            playing.number,
            playing.track,
            (self.now - deep_at) as f64 / 1e6,
            watched.able,
        );
        self.break_with(Broken::liveness(self.now, text));
    }

    /// At the end of a schedule.
    pub(crate) fn last_look(&mut self) -> Result<(), Broken> {
        self.check_traffic();
        for node in 0..self.nodes.len() as u16 {
            self.check_books(node);
            self.check_memory(node);
        }
        let broken = self.oracle.broken.take().or(self.broken.take());
        broken.map_or(Ok(()), Err)
    }

    fn check_traffic(&mut self) {
        let traffic = self.network.traffic();
        if traffic.sent + traffic.replayed != traffic.received + traffic.lost + traffic.under_way {
            let text = format!("bytes on the wire do not add up: {traffic:?}");
            self.break_with(Broken::correctness(self.now, text));
        }
    }

    /// What the core counts is what the store has.
    fn check_books(&mut self, node: u16) {
        let entry = &self.nodes[usize::from(node)];
        let Some(core) = entry.core.as_deref() else {
            return;
        };
        let received = self.oracle.watched[usize::from(node)].received;
        let stats = core.stats();
        let counted = stats.peer_bytes + stats.origin_quic_bytes + stats.origin_http_bytes;
        let held: u64 = entry
            .disk
            .tracks()
            .map(|(track, kept)| {
                let geometry = self.music.tracks[track].geometry;
                let bytes = kept
                    .held
                    .iter()
                    .map(|chunk| geometry.chunk_bytes(chunk) as u64);
                bytes.sum::<u64>()
            })
            .sum();
        if received != counted {
            let text =
                format!("node {node} told of {received} bytes received and counted {counted}");
            return self.break_with(Broken::correctness(self.now, text));
        }
        if core.held_bytes().0 > held {
            let text = format!(
                "node {node} believes to hold {} bytes, its disk has {held}",
                core.held_bytes().0
            );
            self.break_with(Broken::correctness(self.now, text));
        }
    }

    fn check_memory(&mut self, node: u16) {
        let Some(core) = self.nodes[usize::from(node)].core.as_deref() else {
            return;
        };
        let bytes = core.heap_bytes() + self.network.memory_of(node);
        if bytes > MEMORY_MAX {
            let text = format!("node {node} needs {bytes} bytes for its swarm");
            self.break_with(Broken::correctness(self.now, text));
        }
    }

    /// An honest node announces only what it has.
    pub(crate) fn check_announced(&mut self, node: u16, entries: &[AnnounceEntry]) {
        for entry in entries {
            let Some(track) = self.music.by_content(entry.content) else {
                continue;
            };
            let kept = self.nodes[usize::from(node)].disk.get(track);
            let full = kept.is_some_and(|kept| kept.held.is_full());
            if entry.extent == Extent::Full && !full {
                let text = format!("node {node} announces all of track {track} and has not");
                self.break_with(Broken::correctness(self.now, text));
            }
        }
    }
}

/// Bytes a second of the music.
fn rate() -> f64 {
    f64::from(crate::packet::music::BIT_RATE.0) / 8.0
}
