//! The world of these tests: cores joined by a queue of events and a virtual clock, with links of
//! a rate and a latency, an origin, a tracker (the real registry), and players that report stalls.
//!
//! Keys are global: peer `n` is node `n` everywhere.

mod effects;
mod transfers;

use std::collections::{BTreeMap, BTreeSet};

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::Extent;
use antiphon_protocol::{BitRate, ByteCount, CHUNK_BYTES, ChunkIndex, ChunkSet, Geometry, Span};
use antiphon_swarm::node::input::{
    Command, Expected, FetchEvent, Keep, Message, NeighborEvent, RenditionSpec, Restored,
    StoreEvent, TrackerEvent,
};
use antiphon_swarm::node::output::{Event, OriginRoute, Source};
use antiphon_swarm::registry::{Held, PeerProfile, RegistryConfig};
use antiphon_swarm::{
    Duration, FetchId, Input, Instant, NodeConfig, NodeCore, Output, PeerKey, PlayId, RenditionKey,
    SwarmRegistry, UploadId,
};

/// What a node does with spans asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Honest,
    /// Accepts and never sends.
    Silent,
    /// Claims everything, declines everything.
    Liar,
    /// Has never room.
    Busy,
    /// Sends wrong bytes.
    Corrupt,
    /// Gone: dials to it fail.
    Offline,
}

/// How a route to the origin behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Up,
    Refusing,
    Silent,
}

#[derive(Clone, Debug)]
enum Happening {
    Input(usize, Input),
    Due(usize),
    Message(usize, usize, Message),
    Dialed(usize, usize),
    Asked(Transfer),
    Step(u64),
    Arrived(u64),
    Lookup(usize, RenditionKey, u8),
    Announce(usize, Vec<(RenditionKey, Extent)>),
    Placement(usize, u8),
    Tick(usize, u64),
}

#[derive(Clone, Debug)]
struct Transfer {
    to: usize,
    fetch: FetchId,
    source: Source,
    rendition: RenditionKey,
    span: Span,
    upload: Option<UploadId>,
    sent: u32,
    arrived: u32,
    over: bool,
    priority: antiphon_protocol::peer::Priority,
}

/// A link: how far, how fast, until when busy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uplink {
    pub(crate) latency: Duration,
    pub(crate) bytes_per_second: u64,
    free: Instant,
}

impl Uplink {
    pub(crate) fn new(latency: Duration, bytes_per_second: u64) -> Self {
        Self {
            latency,
            bytes_per_second,
            free: Instant::START,
        }
    }

    fn send(&mut self, now: Instant, bytes: u64) -> Instant {
        let start = self.free.max(now);
        let micros = bytes * 1_000_000 / self.bytes_per_second.max(1);
        self.free = start + Duration::from_micros(micros);
        self.free
    }
}

/// What a listener heard of one play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) asked: Instant,
    pub(crate) started: Option<Instant>,
    pub(crate) ended: bool,
    pub(crate) stalls: u32,
}

#[derive(Debug)]
struct Player {
    rendition: RenditionKey,
    chunk: u32,
    generation: u64,
    waiting: bool,
    /// Whether it told that sound comes out.
    sounds: bool,
}

pub(crate) struct Node {
    pub(crate) core: NodeCore,
    pub(crate) uplink: Uplink,
    pub(crate) manner: Manner,
    pub(crate) spans_in_flight: u8,
    connected: BTreeSet<usize>,
    held: BTreeMap<RenditionKey, ChunkSet>,
    /// What it was told to remember of how firmly things are kept.
    pub(crate) keeps: BTreeMap<RenditionKey, Keep>,
    player: Option<Player>,
    pub(crate) plays: Vec<Heard>,
    pub(crate) events: Vec<Event>,
    pub(crate) bytes: BTreeMap<Source, u64>,
    pub(crate) uploaded: u64,
    due: Option<Instant>,
    generation: u64,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    queue: BTreeMap<(Instant, u64), Happening>,
    sequence: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) specs: BTreeMap<RenditionKey, RenditionSpec>,
    pub(crate) registry: SwarmRegistry,
    pub(crate) tracker_up: bool,
    pub(crate) tracker_latency: Duration,
    pub(crate) quic: Route,
    pub(crate) http: Route,
    pub(crate) origin: Uplink,
    transfers: BTreeMap<u64, Transfer>,
    next_upload: u64,
    pub(crate) log: Vec<String>,
    pub(crate) keep_log: bool,
    /// Whether players report each chunk, or only when sound begins and stops.
    pub(crate) reports: bool,
}

/// A song of `seconds` at 160 kbit/s.
pub(crate) fn song(seconds: u64) -> RenditionSpec {
    let size = ByteCount(seconds * 20_000);
    RenditionSpec {
        geometry: Geometry::new(size).expect("a legal size"),
        bit_rate: BitRate(160_000),
    }
}

impl World {
    /// An origin 20 ms away with 100 Mbit/s for each node, a tracker 10 ms away.
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::START,
            queue: BTreeMap::new(),
            sequence: 0,
            nodes: Vec::new(),
            specs: BTreeMap::new(),
            registry: SwarmRegistry::new(RegistryConfig::default(), [9; 32]),
            tracker_up: true,
            tracker_latency: Duration::from_millis(10),
            quic: Route::Up,
            http: Route::Up,
            origin: Uplink::new(Duration::from_millis(10), 12_500_000),
            transfers: BTreeMap::new(),
            next_upload: 0,
            log: Vec::new(),
            keep_log: false,
            reports: true,
        }
    }

    /// Adds a node `latency` away from everybody, and returns its number.
    pub(crate) fn node(&mut self, config: NodeConfig, latency: Duration, rate: u64) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node {
            core: NodeCore::new(config, [at as u8; 32]),
            uplink: Uplink::new(latency, rate),
            manner: Manner::Honest,
            spans_in_flight: 2,
            connected: BTreeSet::new(),
            held: BTreeMap::new(),
            keeps: BTreeMap::new(),
            player: None,
            plays: Vec::new(),
            events: Vec::new(),
            bytes: BTreeMap::new(),
            uploaded: 0,
            due: None,
            generation: 0,
        });
        let profile = PeerProfile {
            region: 0,
            prefix: at as u32,
            uploads: true,
        };
        self.registry.join(self.now, PeerKey(at as u32), profile);
        self.input(at, Input::Tracker(TrackerEvent::Reachable));
        at
    }

    /// A node in the same city: 1 ms away, 50 Mbit/s up.
    pub(crate) fn near(&mut self) -> usize {
        self.node(
            NodeConfig::antiphon(),
            Duration::from_micros(500),
            6_250_000,
        )
    }

    pub(crate) fn publish(&mut self, key: u32, spec: RenditionSpec) -> RenditionKey {
        self.specs.insert(RenditionKey(key), spec);
        RenditionKey(key)
    }

    /// The node holds all of it from the start.
    pub(crate) fn give(&mut self, node: usize, rendition: RenditionKey) {
        let spec = self.specs[&rendition];
        let held = ChunkSet::full(spec.geometry);
        self.nodes[node].held.insert(rendition, held.clone());
        let restored = Restored {
            rendition,
            spec,
            held: Some(held),
            idle: Duration::ZERO,
            keep: Keep::Cached,
        };
        self.command(node, Command::Restore(vec![restored]));
        let held = Some(Held::Full);
        self.registry
            .announce(self.now, PeerKey(node as u32), rendition, held);
    }

    pub(crate) fn introduce(&mut self, node: usize, rendition: RenditionKey) {
        let spec = self.specs[&rendition];
        self.command(node, Command::Introduce { rendition, spec });
        let empty = ChunkSet::empty(spec.geometry);
        self.nodes[node].held.entry(rendition).or_insert(empty);
    }

    /// The node will probably play it next.
    pub(crate) fn expect(&mut self, node: usize, rendition: RenditionKey, chance_permille: u16) {
        self.introduce(node, rendition);
        let next = vec![Expected {
            rendition,
            chance_permille,
        }];
        self.command(node, Command::Expect { next });
    }

    /// Opens and plays a track as a driver does: introduce, play, and the holders that came with
    /// the track.
    pub(crate) fn play(&mut self, node: usize, rendition: RenditionKey) {
        self.play_without_holders(node, rendition);
        if self.tracker_up {
            let asker = PeerKey(node as u32);
            let picks = self.registry.lookup(self.now, asker, rendition, 10);
            let holders = picks
                .into_iter()
                .map(|p| (p.peer, p.held == Held::Full))
                .collect();
            self.input(
                node,
                Input::Tracker(TrackerEvent::Holders { rendition, holders }),
            );
        }
    }

    /// The same where the license is there already, so that nothing is opened.
    pub(crate) fn play_without_holders(&mut self, node: usize, rendition: RenditionKey) {
        self.introduce(node, rendition);
        let number = self.nodes[node].plays.len() as u64;
        let now = self.now;
        self.nodes[node].generation += 1;
        let generation = self.nodes[node].generation;
        self.nodes[node].player = Some(Player {
            rendition,
            chunk: 0,
            generation,
            waiting: true,
            sounds: false,
        });
        let heard = Heard {
            asked: now,
            started: None,
            ended: false,
            stalls: 0,
        };
        self.nodes[node].plays.push(heard);
        let from = ChunkIndex(0);
        self.command(
            node,
            Command::Play {
                play: PlayId(number),
                rendition,
                from,
            },
        );
        self.resume(node);
    }

    /// The listener jumps; told as a play of its own in `plays`.
    pub(crate) fn seek(&mut self, node: usize, chunk: u32) {
        let rendition = self.nodes[node].player.as_ref().expect("a play").rendition;
        self.nodes[node].generation += 1;
        let generation = self.nodes[node].generation;
        self.nodes[node].player = Some(Player {
            rendition,
            chunk,
            generation,
            waiting: true,
            sounds: false,
        });
        let heard = Heard {
            asked: self.now,
            started: None,
            ended: false,
            stalls: 0,
        };
        self.nodes[node].plays.push(heard);
        self.command(
            node,
            Command::Seek {
                to: ChunkIndex(chunk),
            },
        );
        self.resume(node);
    }

    pub(crate) fn command(&mut self, node: usize, command: Command) {
        self.input(node, Input::Command(command));
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        if self.keep_log {
            self.log.push(format!("{now:?} {node} < {input:?}"));
        }
        self.nodes[node].core.handle(now, input);
        antiphon_swarm::invariants::check(&self.nodes[node].core).expect("a sound state");
        while let Some(output) = self.nodes[node].core.poll_output() {
            if self.keep_log {
                self.log.push(format!("{now:?} {node} > {output:?}"));
            }
            self.carry_out(node, output);
        }
        let due = self.nodes[node].core.poll_timeout();
        if due != self.nodes[node].due {
            self.nodes[node].due = due;
            if let Some(due) = due {
                self.at(due, Happening::Due(node));
            }
        }
    }

    /// Connects two nodes without waiting.
    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        let rtt = self.rtt(a, b);
        for (node, peer, outbound) in [(a, b, true), (b, a, false)] {
            self.nodes[node].connected.insert(peer);
            let spans_in_flight = self.nodes[peer].spans_in_flight;
            let event = NeighborEvent::Connected {
                outbound,
                rtt,
                spans_in_flight,
                uploads: true,
            };
            self.input(
                node,
                Input::Neighbor {
                    peer: PeerKey(peer as u32),
                    event,
                },
            );
        }
    }

    /// Cuts a node off from everybody; it stays dead.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].manner = Manner::Offline;
        self.registry.leave(self.now, PeerKey(node as u32));
        let peers: Vec<usize> = core::mem::take(&mut self.nodes[node].connected)
            .into_iter()
            .collect();
        let source = Source::Peer(PeerKey(node as u32));
        for peer in peers {
            self.nodes[peer].connected.remove(&node);
            let event = NeighborEvent::Disconnected { code: None };
            self.input(
                peer,
                Input::Neighbor {
                    peer: PeerKey(node as u32),
                    event,
                },
            );
        }
        let lost = self
            .transfers
            .iter_mut()
            .filter(|(_, t)| t.source == source || t.to == node);
        let mut failed = Vec::new();
        for (_, transfer) in lost {
            if !transfer.over && transfer.source == source {
                failed.push((transfer.to, transfer.fetch));
            }
            transfer.over = true;
        }
        for (to, fetch) in failed {
            self.input(
                to,
                Input::Fetch {
                    fetch,
                    event: FetchEvent::Failed,
                },
            );
        }
    }

    /// Runs until `end`.
    pub(crate) fn run_until(&mut self, end: Instant) {
        let mut steps = 0_u64;
        while let Some(((at, sequence), _)) = self.queue.first_key_value() {
            let (at, sequence) = (*at, *sequence);
            if at > end {
                break;
            }
            let happening = self.queue.remove(&(at, sequence)).expect("just seen");
            self.now = at;
            self.happen(happening);
            steps += 1;
            assert!(steps < 20_000_000, "the world does not come to rest");
        }
        self.now = end;
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    pub(crate) fn start_latency(&self, node: usize, play: usize) -> Duration {
        let heard = self.nodes[node].plays[play];
        let started = heard
            .started
            .unwrap_or_else(|| panic!("node {node} never started"));
        started.since(heard.asked)
    }

    pub(crate) fn stalls(&self) -> u32 {
        self.nodes
            .iter()
            .flat_map(|node| &node.plays)
            .map(|play| play.stalls)
            .sum()
    }

    pub(crate) fn origin_bytes(&self, node: usize) -> u64 {
        let bytes = &self.nodes[node].bytes;
        bytes
            .iter()
            .filter(|(s, _)| matches!(s, Source::Origin(_)))
            .map(|(_, b)| *b)
            .sum()
    }

    pub(crate) fn peer_bytes(&self, node: usize) -> u64 {
        let bytes = &self.nodes[node].bytes;
        bytes
            .iter()
            .filter(|(s, _)| matches!(s, Source::Peer(_)))
            .map(|(_, b)| *b)
            .sum()
    }

    fn at(&mut self, at: Instant, happening: Happening) {
        self.sequence += 1;
        self.queue
            .insert((at.max(self.now), self.sequence), happening);
    }

    fn rtt(&self, a: usize, b: usize) -> Duration {
        let one_way = self.nodes[a]
            .uplink
            .latency
            .saturating_add(self.nodes[b].uplink.latency);
        one_way.saturating_mul(2)
    }

    fn one_way(&self, source: Source, to: usize) -> Duration {
        match source {
            Source::Peer(peer) => {
                Duration::from_micros(self.rtt(peer.0 as usize, to).as_micros() / 2)
            }
            Source::Origin(_) => self.origin.latency,
        }
    }
}

/// Who `OURSELVES` is changes with the reader, as a driver's directory does it.
fn named_for(message: Message, from: usize, to: usize) -> Message {
    match message {
        Message::Found {
            query,
            rendition,
            holders,
        } => {
            let named = holders.into_iter().map(|holder| match holder {
                PeerKey::OURSELVES => PeerKey(from as u32),
                PeerKey(peer) if peer as usize == to => PeerKey::OURSELVES,
                other => other,
            });
            Message::Found {
                query,
                rendition,
                holders: named.collect(),
            }
        }
        other => other,
    }
}
