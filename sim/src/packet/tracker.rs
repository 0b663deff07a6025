//! The tracker's registry behind its real messages, and a node's client of it.
//! Follows `node/src/tracker_client/`. Accounts are not modelled: whoever attaches is let in.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use antiphon_protocol::limits::HOLDERS_PER_ANSWER_MAX;
use antiphon_protocol::peer::Extent;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{Capability, PASS_LIFETIME_SECS, RegionClass, Ticket};
use antiphon_protocol::tracker::{
    AccessToken, AnnounceEntry, Attached, Holder, OpenedTrack, OriginAddress, Passes, TrackerReply,
    TrackerRequest,
};
use antiphon_protocol::{AccountId, ErrorCode, Millis, Rung, UnixSeconds};
use antiphon_swarm::node::input::TrackerEvent;
use antiphon_swarm::registry::{Held, PeerProfile, RegistryConfig};
use antiphon_swarm::{Duration, Input, Instant, PeerKey, RenditionKey, SwarmRegistry};

use crate::packet::frames;
use crate::packet::happening::{Happening, Task};
use crate::packet::harness::{Harness, Tag};
use crate::packet::music::EPOCH;
use crate::packet::node::{contact, node_id};
use crate::packet::oracle::Broken;
use crate::packet::profile::Chance;
use crate::packet::transport::{ConnectionId, Settings};

/// The client's constants.
const CONNECT_MICROS: u64 = 2_000_000;
const REQUEST_MICROS: u64 = 3_000_000;
const BACKOFF_FIRST: u64 = 250_000;
const BACKOFF_LONGEST: u64 = 30_000_000;
const LINK: Settings = Settings {
    window: 12_000,
    trip: 100_000,
    send_window: 1 << 20,
    stream_window: 512 * 1024,
    idle: 15_000_000,
    keep_alive: 5_000_000,
};

/// The tracker.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) host: u16,
    pub(crate) alive: bool,
    pub(crate) registry: SwarmRegistry,
    /// The node attached over each connection.
    attached: BTreeMap<ConnectionId, u16>,
    lives: u64,
}

impl Tracker {
    pub(crate) fn new(host: u16, seed: u64) -> Self {
        Self {
            host,
            alive: true,
            registry: registry(seed, 0),
            attached: BTreeMap::new(),
            lives: 0,
        }
    }

    /// It starts again and knows nobody.
    pub(crate) fn restart(&mut self, seed: u64) {
        self.lives += 1;
        self.registry = registry(seed, self.lives);
        self.attached.clear();
        self.alive = true;
    }
}

fn registry(seed: u64, life: u64) -> SwarmRegistry {
    let mut draws = crate::engine::random::Draws::of(seed, Chance::Registry as u64, life);
    SwarmRegistry::new(RegistryConfig::default(), draws.bytes())
}

/// What a request was for.
#[derive(Clone, Debug)]
pub(crate) enum Pending {
    Attach,
    /// Of a track, for a play with this number.
    Open(usize, u32),
    Lookup(RenditionKey),
    Announce(Vec<RenditionKey>),
    Leave,
}

/// A node's link to the tracker.
#[derive(Debug, Default)]
pub(crate) struct TrackerClient {
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) up: bool,
    failures: u32,
    pending: BTreeMap<u16, Pending>,
    /// Waits before it attaches again.
    waiting: bool,
}

impl Harness {
    /// Connects to the tracker.
    pub(crate) fn attach(&mut self, node: u16) {
        let host = self.tracker.host;
        let client = &mut self.nodes[usize::from(node)].tracker;
        client.waiting = false;
        if client.connection.is_some() {
            return;
        }
        let id = self
            .network
            .open(node, host, [LINK; 2], false, Tag::Tracker as u8);
        client.connection = Some(id);
        self.later(node, CONNECT_MICROS, Task::AttachBy(id));
    }

    pub(crate) fn attach_by(&mut self, node: u16, id: ConnectionId) {
        let client = &self.nodes[usize::from(node)].tracker;
        if client.connection == Some(id) && !client.up {
            self.network.close(id, 0, 0);
            self.tracker_closed(node, id);
        }
    }

    pub(crate) fn tracker_connected(&mut self, node: u16, _id: ConnectionId) {
        let request = TrackerRequest::Attach {
            token: AccessToken([1; 32]),
            proof: ([0; 32], [0; 32]),
            node: node_id(node),
            addresses: contact(node).addresses,
        };
        self.ask_tracker(node, &request, Pending::Attach);
    }

    /// False if there is no connection to ask on.
    pub(crate) fn ask_tracker(
        &mut self,
        node: u16,
        request: &TrackerRequest,
        what: Pending,
    ) -> bool {
        let client = &mut self.nodes[usize::from(node)].tracker;
        let ready = client.up || matches!(what, Pending::Attach);
        let Some(id) = client.connection.filter(|_| ready) else {
            self.request_failed(node, what);
            return false;
        };
        let stream = self.network.open_stream(id);
        frames::put(&mut self.network, id, 0, stream, request);
        self.network.finish(id, 0, stream);
        client.pending.insert(stream, what);
        self.later(node, REQUEST_MICROS, Task::TrackerBy(id, stream));
        true
    }

    pub(crate) fn tracker_by(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let client = &mut self.nodes[usize::from(node)].tracker;
        if client.connection != Some(id) {
            return;
        }
        if let Some(what) = client.pending.remove(&stream) {
            self.network.reset(id, 0, stream);
            self.request_failed(node, what);
        }
    }

    fn request_failed(&mut self, node: u16, what: Pending) {
        match what {
            Pending::Attach | Pending::Leave => {}
            Pending::Open(track, play) => self.opened(node, track, play, false),
            Pending::Lookup(_) | Pending::Announce(_) => {
                self.tell(node, Input::Tracker(TrackerEvent::Unreachable));
            }
        }
    }

    pub(crate) fn tracker_closed(&mut self, node: u16, id: ConnectionId) {
        let client = &mut self.nodes[usize::from(node)].tracker;
        if client.connection != Some(id) {
            return;
        }
        (client.connection, client.up) = (None, false);
        client.failures += 1;
        let doubled = (BACKOFF_FIRST << client.failures.min(16)).min(BACKOFF_LONGEST) / 2;
        let failed = core::mem::take(&mut client.pending);
        client.waiting = true;
        let entity = u64::from(node) << 32 | u64::from(client.failures);
        let wait = doubled + self.draws(Chance::Backoff, entity).below(doubled);
        for what in failed.into_values() {
            self.request_failed(node, what);
        }
        self.tell(node, Input::Tracker(TrackerEvent::Unreachable));
        self.later(node, wait, Task::Attach);
    }

    pub(crate) fn tracker_readable(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let reply = frames::take::<TrackerReply>(&mut self.network, id, 0, stream);
        let reply = match reply {
            Ok(None) => return,
            Ok(Some((reply, _))) => reply,
            Err(error) => {
                let text = format!("the tracker's reply cannot be read: {error}");
                return self.break_with(Broken::correctness(self.now, text));
            }
        };
        let rtt = Duration::from_micros(self.network.round_trip(id, 0));
        let client = &mut self.nodes[usize::from(node)].tracker;
        let Some(what) = client.pending.remove(&stream) else {
            return;
        };
        match (what, reply) {
            (Pending::Attach, TrackerReply::Attached(attached)) => {
                (client.up, client.failures) = (true, 0);
                let entry = &mut self.nodes[usize::from(node)];
                entry.ticket = Some(attached.passes.ticket);
                let contact = entry.contact();
                entry.directory.set_ourselves(contact);
                self.tell(node, Input::Tracker(TrackerEvent::Rtt(rtt)));
                self.tell(node, Input::Tracker(TrackerEvent::Reachable));
            }
            (Pending::Open(track, play), TrackerReply::Opened(opened)) => {
                self.tell(node, Input::Tracker(TrackerEvent::Rtt(rtt)));
                self.take_opened(node, track, play, *opened);
            }
            (Pending::Lookup(rendition), TrackerReply::Holders { swarm, holders }) => {
                let directory = &mut self.nodes[usize::from(node)].directory;
                directory.name_swarm(rendition, swarm);
                self.tell_holders(node, rendition, holders);
            }
            (
                Pending::Announce(renditions),
                TrackerReply::Announced {
                    swarms,
                    again_after,
                },
            ) => {
                let directory = &mut self.nodes[usize::from(node)].directory;
                for (rendition, swarm) in renditions.into_iter().zip(swarms) {
                    if let Some(swarm) = swarm {
                        directory.name_swarm(rendition, swarm);
                    }
                }
                let again_after = Duration::from_millis(u64::from(again_after.clamped().0));
                self.tell(
                    node,
                    Input::Tracker(TrackerEvent::Announced { again_after }),
                );
            }
            (Pending::Leave, TrackerReply::Left) => {}
            (what, TrackerReply::Refused { .. }) => self.request_failed(node, what),
            (what, reply) => {
                let text = format!("the tracker answers {what:?} with {reply:?}");
                self.break_with(Broken::correctness(self.now, text));
            }
        }
    }

    pub(crate) fn tell_holders(&mut self, node: u16, key: RenditionKey, holders: Vec<Holder>) {
        let directory = &mut self.nodes[usize::from(node)].directory;
        let holders = holders.into_iter().filter_map(|holder| {
            let peer = directory.intern_contact(holder.contact)?;
            Some((peer, holder.full))
        });
        let holders = holders.collect();
        let event = TrackerEvent::Holders {
            rendition: key,
            holders,
        };
        self.tell(node, Input::Tracker(event));
    }

    /// Asks for everything needed to play a track.
    pub(crate) fn open_track(&mut self, node: u16, track: usize, play: u32) {
        let request = TrackerRequest::Open {
            track: self.music.tracks[track].id,
            rung: Rung::Standard,
        };
        self.ask_tracker(node, &request, Pending::Open(track, play));
    }

    /// A request is at the tracker.
    pub(crate) fn tracker_asked(&mut self, id: ConnectionId, stream: u16) {
        let frame = frames::take::<TrackerRequest>(&mut self.network, id, 1, stream);
        let request = match frame {
            Ok(None) => return,
            Ok(Some((request, _))) => request,
            Err(_) => return self.network.reset(id, 1, stream),
        };
        let Some(node) = self.network.other_host(id, 1) else {
            return;
        };
        let now = Instant::from_micros(self.now);
        let attached = self.tracker.attached.contains_key(&id);
        let reply = match request {
            TrackerRequest::Attach { .. } => self.attached(id, node),
            _ if !attached => TrackerReply::Refused {
                code: ErrorCode::UNAUTHENTICATED,
                retry_after: Millis(0),
            },
            TrackerRequest::Open { track, .. } => self.answer_open(node, track),
            TrackerRequest::Announce { entries } => self.announced(node, &entries),
            TrackerRequest::Lookup { content, limit } => match self.music.by_content(content) {
                Some(track) => TrackerReply::Holders {
                    swarm: self.music.tracks[track].swarm,
                    holders: self.holders(node, track, limit.into()),
                },
                None => not_found(),
            },
            TrackerRequest::Leave => {
                self.tracker.registry.leave(now, PeerKey(node.into()));
                TrackerReply::Left
            }
            _ => not_found(),
        };
        frames::put(&mut self.network, id, 1, stream, &reply);
        self.network.finish(id, 1, stream);
    }

    fn attached(&mut self, id: ConnectionId, node: u16) -> TrackerReply {
        let now = Instant::from_micros(self.now);
        let profile = PeerProfile {
            region: 1,
            prefix: node.into(),
            uploads: self.nodes[usize::from(node)].persona.uploads,
        };
        self.tracker.attached.retain(|_, other| *other != node);
        self.tracker.attached.insert(id, node);
        let registry = &mut self.tracker.registry;
        registry.leave(now, PeerKey(node.into()));
        registry.join(now, PeerKey(node.into()), profile);
        let seconds = UnixSeconds(EPOCH.0 + self.now / 1_000_000);
        let expires = seconds.plus_secs(PASS_LIFETIME_SECS);
        let ticket = Ticket {
            node: node_id(node),
            region: RegionClass(1),
            expires,
        };
        let key = &self.music.key;
        let public = key.verifying_key().to_bytes();
        TrackerReply::Attached(Box::new(Attached {
            account: AccountId(node.into()),
            tracker_key: public,
            catalog_key: public,
            origins: vec![OriginAddress {
                host: "origin:7790".to_owned(),
                certificate: [0; 32],
            }],
            passes: Passes {
                ticket: Signed::sign(&ticket, key),
                capability: Signed::sign(&Capability { nonce: 0, expires }, key),
                renew_after: Millis(600_000),
            },
            observed: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            now: seconds,
        }))
    }

    fn answer_open(&mut self, node: u16, track: antiphon_protocol::TrackId) -> TrackerReply {
        let found = self.music.tracks.iter().position(|known| known.id == track);
        let Some(track) = found else {
            return not_found();
        };
        let holders = self.holders(node, track, HOLDERS_PER_ANSWER_MAX);
        let data = &self.music.tracks[track];
        TrackerReply::Opened(Box::new(OpenedTrack {
            manifest: data.manifest.clone(),
            license: data.license.clone(),
            content: data.content,
            swarm: data.swarm,
            holders,
        }))
    }

    fn holders(&mut self, node: u16, track: usize, limit: usize) -> Vec<Holder> {
        let now = Instant::from_micros(self.now);
        let (asker, rendition) = (PeerKey(node.into()), RenditionKey(track as u32));
        let picks = self.tracker.registry.lookup(now, asker, rendition, limit);
        let holder = |pick: antiphon_swarm::registry::Pick| Holder {
            contact: contact(pick.peer.0 as u16),
            full: pick.held == Held::Full,
        };
        picks.into_iter().map(holder).collect()
    }

    fn announced(&mut self, node: u16, entries: &[AnnounceEntry]) -> TrackerReply {
        let now = Instant::from_micros(self.now);
        let mut swarms = Vec::new();
        for entry in entries {
            let Some(track) = self.music.by_content(entry.content) else {
                swarms.push(None);
                continue;
            };
            let held = match entry.extent {
                Extent::Full => Some(Held::Full),
                Extent::Partial(_) => Some(Held::Partial),
                Extent::Gone => None,
            };
            let (peer, rendition) = (PeerKey(node.into()), RenditionKey(track as u32));
            self.tracker.registry.announce(now, peer, rendition, held);
            swarms.push(Some(self.music.tracks[track].swarm));
        }
        if let Some(due) = self.tracker.registry.poll_timeout() {
            self.queue.push(due.as_micros(), Happening::TidyRegistry);
        }
        let again = self.tracker.registry.announce_interval();
        TrackerReply::Announced {
            swarms,
            again_after: Millis(again.as_millis() as u32),
        }
    }

    pub(crate) fn tidy_registry(&mut self) {
        let now = Instant::from_micros(self.now);
        if self
            .tracker
            .registry
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            self.tracker.registry.handle_timeout(now);
        }
    }

    /// A node's connection to the tracker is over.
    pub(crate) fn tracker_lost(&mut self, id: ConnectionId) {
        if let Some(node) = self.tracker.attached.remove(&id) {
            let now = Instant::from_micros(self.now);
            self.tracker.registry.leave(now, PeerKey(node.into()));
        }
    }
}

const fn not_found() -> TrackerReply {
    TrackerReply::Refused {
        code: ErrorCode::NOT_FOUND,
        retry_after: Millis(0),
    }
}
