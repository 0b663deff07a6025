//! A schedule running: nodes, tracker, origin, network and faults under one virtual clock.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_swarm::node::input::Command;
use antiphon_swarm::{Input, NodeConfig, NodeCore, Output, invariants};

use crate::engine::digest::Digest;
use crate::engine::queue::EventQueue;
use crate::engine::random::Draws;
use crate::packet::faults::Faults;
use crate::packet::happening::Happening;
use crate::packet::line::Line;
use crate::packet::music::Music;
use crate::packet::node::Node;
use crate::packet::oracle::{Broken, Oracle};
use crate::packet::origin::Origin;
use crate::packet::paths::Paths;
use crate::packet::placement;
use crate::packet::profile::{Chance, Profile};
use crate::packet::tracker::Tracker;
use crate::packet::transport::{ConnectionId, Event, Network, Settings, Side};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Peer,
    OriginQuic,
    OriginHttp,
    Tracker,
}

impl Tag {
    pub(crate) const fn of(number: u8) -> Self {
        match number {
            0 => Self::Peer,
            1 => Self::OriginQuic,
            2 => Self::OriginHttp,
            _ => Self::Tracker,
        }
    }
}

/// Everything.
pub(crate) struct Harness {
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) now: u64,
    pub(crate) queue: EventQueue<Happening>,
    pub(crate) network: Network,
    pub(crate) music: Arc<Music>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tracker: Tracker,
    pub(crate) origin: Origin,
    pub(crate) faults: Faults,
    pub(crate) oracle: Oracle,
    pub(crate) digest: Digest,
    /// Inputs that follow from what was just carried out, for a node in the life it had.
    pub(crate) inbox: VecDeque<(u16, u32, Input)>,
    pub(crate) broken: Option<Broken>,
    /// Chunks that arrived: node and track.
    pub(crate) arrivals: Vec<(u16, usize)>,
    scratch: Vec<Output>,
    inputs: u64,
}

impl Harness {
    pub(crate) fn new(profile: Profile, seed: u64) -> Self {
        let people = profile.people.len();
        let hosts = people + 2;
        let queue_of = |rate: u64| ((rate as f64 * profile.queue_seconds) as u64).max(32_768);
        let mut lines: Vec<(Line, Line)> = profile
            .people
            .iter()
            .map(|person| {
                let up = Line::new(person.up, queue_of(person.up));
                (up, Line::new(person.down, queue_of(person.down)))
            })
            .collect();
        lines.push((Line::new(0, 0), Line::new(0, 0)));
        let egress = profile.egress;
        lines.push((Line::new(egress, queue_of(egress)), Line::new(0, 0)));
        let mut paths = Paths::new(hosts);
        paths.weather = profile.weather;
        place(&profile, seed, &mut paths);
        let network = Network::new(lines, paths, Draws::of(seed, Chance::Weather as u64, 0));
        let nodes = (0u16..).zip(&profile.people);
        let nodes: Vec<Node> = nodes
            .map(|(host, person)| Node::new(host, *person))
            .collect();
        let mut harness = Self {
            seed,
            config: Arc::new(placement::config()),
            now: 0,
            queue: EventQueue::new(),
            network,
            music: Music::shared(),
            tracker: Tracker::new(people as u16, seed),
            origin: Origin::new(people as u16 + 1),
            faults: Faults::default(),
            oracle: Oracle::new(people),
            digest: Digest::default(),
            inbox: VecDeque::new(),
            broken: None,
            arrivals: Vec::new(),
            scratch: Vec::new(),
            inputs: 0,
            nodes,
            profile,
        };
        for node in 0..people as u16 {
            let at = harness
                .draws(Chance::Listener, u64::from(node))
                .below(5_000_000);
            harness.queue.push(at, Happening::Start { node });
        }
        harness.plan_faults();
        harness
            .queue
            .push(crate::packet::oracle::LOOK_MICROS, Happening::Look);
        harness
    }

    pub(crate) const fn draws(&self, chance: Chance, entity: u64) -> Draws {
        Draws::of(self.seed, chance as u64, entity)
    }

    /// Runs until `until`, or to the first broken promise.
    pub(crate) fn run_until(&mut self, until: u64) -> Result<(), Broken> {
        while let Some((at, happening)) = self.queue.pop(until) {
            self.now = at;
            self.network.advance(at);
            let (class, entity) = happening.mark();
            self.happen(happening);
            self.settle();
            self.digest.note(at, class, entity, self.inputs);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        self.now = until;
        self.network.advance(until);
        Ok(())
    }

    /// Carries out everything that follows at this moment.
    fn settle(&mut self) {
        loop {
            self.network.flush();
            if let Some(event) = self.network.poll_event() {
                self.on_network(event);
            } else if let Some((node, life, input)) = self.inbox.pop_front() {
                if self.nodes[usize::from(node)].life == life {
                    self.feed(node, input);
                }
            } else if let Some((node, track)) = self.arrivals.pop() {
                self.data_arrived(node, track);
            } else {
                break;
            }
        }
        for (at, wire) in self.network.take_scheduled() {
            self.queue.push(at, Happening::Wire(wire));
        }
    }

    fn on_network(&mut self, event: Event) {
        let people = self.nodes.len() as u16;
        let (id, side) = match event {
            Event::Connected(id, side)
            | Event::Readable(id, side, _)
            | Event::Writable(id, side) => (id, side),
            Event::Closed(id, host, code) => {
                if host < people {
                    self.on_closed(host, id, code);
                } else if host == self.tracker.host {
                    self.tracker_lost(id);
                }
                return;
            }
        };
        let (Some(host), Some(tag)) = (self.network.host(id, side), self.network.tag(id)) else {
            return;
        };
        let tag = Tag::of(tag);
        match event {
            Event::Readable(_, _, stream) if host < people => {
                self.on_readable(host, id, side, stream, tag);
            }
            Event::Readable(_, _, stream) if host == self.tracker.host => {
                self.tracker_asked(id, stream);
            }
            Event::Readable(_, _, stream) => self.origin_asked(id, stream, tag),
            Event::Connected(..) if host < people => self.on_connected(host, id, side, tag),
            Event::Writable(..) if host < people => self.on_writable(host, id, side),
            _ => {}
        }
    }

    fn on_connected(&mut self, node: u16, id: ConnectionId, side: Side, tag: Tag) {
        match tag {
            Tag::Peer => self.peer_connected(node, id, side),
            Tag::OriginQuic | Tag::OriginHttp => self.origin_connected(node, id, tag),
            Tag::Tracker => self.tracker_connected(node, id),
        }
    }

    fn on_readable(&mut self, node: u16, id: ConnectionId, side: Side, stream: u16, tag: Tag) {
        match tag {
            Tag::Peer => self.peer_readable(node, id, side, stream),
            Tag::OriginQuic | Tag::OriginHttp => self.origin_readable(node, id, stream),
            Tag::Tracker => self.tracker_readable(node, id, stream),
        }
    }

    fn on_closed(&mut self, node: u16, id: ConnectionId, code: Option<u16>) {
        self.peer_closed(node, id, code);
        self.origin_closed(node, id);
        self.tracker_closed(node, id);
    }

    /// An input for the core once what happens now is done.
    pub(crate) fn tell(&mut self, node: u16, input: Input) {
        let life = self.nodes[usize::from(node)].life;
        self.inbox.push_back((node, life, input));
    }

    /// Feeds one input and carries out everything that follows from it.
    pub(crate) fn feed(&mut self, node: u16, input: Input) {
        let at = usize::from(node);
        let local = self.nodes[at].clock.local(self.now);
        let Some(mut core) = self.nodes[at].core.take() else {
            return;
        };
        core.handle(local, input);
        self.inputs += 1;
        let mut outputs = core::mem::take(&mut self.scratch);
        while let Some(output) = core.poll_output() {
            outputs.push(output);
        }
        self.check_core(node, &core);
        let due = core
            .poll_timeout()
            .map_or(u64::MAX, |due| self.nodes[at].clock.simulated(due));
        self.nodes[at].core = Some(core);
        for output in outputs.drain(..) {
            self.carry_out(node, output);
        }
        self.scratch = outputs;
        self.plan_wake(node, due);
    }

    fn check_core(&mut self, node: u16, core: &NodeCore) {
        // Every input of some nodes at some times: the check costs more than the input.
        if (self.inputs + u64::from(node)).is_multiple_of(self.oracle.check_every)
            && let Err(violation) = invariants::check(core)
        {
            self.break_with(Broken::core(node, self.now, &violation.to_string()));
        }
    }

    pub(crate) fn break_with(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    fn plan_wake(&mut self, node: u16, due: u64) {
        let entry = &mut self.nodes[usize::from(node)];
        entry.due = due;
        if due < entry.queued {
            entry.queued = due;
            let life = entry.life;
            self.queue.push(due, Happening::Due { node, life });
        }
    }

    /// The deadline of a core may have come.
    pub(crate) fn wake(&mut self, node: u16, life: u32) {
        let now = self.now;
        let entry = &mut self.nodes[usize::from(node)];
        if entry.life != life || entry.queued != now {
            return;
        }
        entry.queued = u64::MAX;
        if entry.due <= now {
            self.feed(node, Input::Timeout);
        } else {
            let due = entry.due;
            self.plan_wake(node, due);
        }
    }

    pub(crate) fn command(&mut self, node: u16, command: Command) {
        self.feed(node, Input::Command(command));
    }

    pub(crate) fn in_life(&self, node: u16, life: u32) -> bool {
        let node = &self.nodes[usize::from(node)];
        node.life == life && node.is_up()
    }

    /// Does something later, in this life of the node.
    pub(crate) fn later(&mut self, node: u16, after: u64, task: crate::packet::happening::Task) {
        let life = self.nodes[usize::from(node)].life;
        self.queue
            .push(self.now + after, Happening::Task { node, life, task });
    }
}

/// Puts everybody on a plane: distance is delay, and each access line adds its own.
fn place(profile: &Profile, seed: u64, paths: &mut Paths) {
    let mut draws = Draws::of(seed, Chance::Lines as u64, 0);
    let hosts = profile.people.len() + 2;
    let places: Vec<(f64, f64)> = (0..hosts).map(|_| (draws.unit(), draws.unit())).collect();
    let height = |host: usize| profile.people.get(host).map_or(500, |person| person.height);
    for a in 0..hosts {
        for b in a + 1..hosts {
            let ((ax, ay), (bx, by)) = (places[a], places[b]);
            let apart = libm::sqrt((ax - bx) * (ax - bx) + (ay - by) * (ay - by));
            let micros = (apart * profile.distance) as u32 + height(a) + height(b);
            paths.set_delay(a, b, micros);
        }
    }
}

/// Peers, as `node/src/peers/limits.rs` has it.
pub(crate) const PEER: Settings = Settings {
    window: 80 * 1024,
    trip: 50_000,
    send_window: 128 * 1024,
    stream_window: 256 * 1024,
    idle: 45_000_000,
    keep_alive: 20_000_000,
    resets: false,
};
