//! One node: the shipped core and directory, and around them the shell that the product has in
//! sockets and files.
//!
//! The shell follows the product's: its limits and patience are named beside the constants. No
//! decision of the swarm is made here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use antiphon_protocol::NodeId;
use antiphon_protocol::peer::PeerContact;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{RegionClass, Ticket};
use antiphon_swarm::directory::Directory;
use antiphon_swarm::{FetchId, NodeCore, UploadId};

use crate::packet::clock::Clock;
use crate::packet::disk::Disk;
use crate::packet::origin::{OriginFetch, OriginLink};
use crate::packet::player::Player;
use crate::packet::profile::Persona;
use crate::packet::serving::Serving;
use crate::packet::taking::PeerFetch;
use crate::packet::tracker_client::TrackerClient;
use crate::packet::transport::{ConnectionId, Side};

/// Where a connection with a peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not yet usable, or no good `Hello` yet.
    Greeting,
    /// Both sides have shown good tickets.
    Talking,
}

/// A connection with a peer.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) side: Side,
    /// The host at the other end, and who it must be.
    pub(crate) host: u16,
    pub(crate) phase: Phase,
    pub(crate) greeted: bool,
    pub(crate) since: u64,
    /// Data streams this side opened and nothing is under way on.
    pub(crate) idle: Vec<u16>,
    /// Data streams this side opened.
    pub(crate) own: BTreeSet<u16>,
    /// Fetches that wait for a stream.
    pub(crate) waiting: VecDeque<PeerFetch>,
    /// What the other side asks for, by its stream.
    pub(crate) serving: BTreeMap<u16, Serving>,
    pub(crate) under_way: u8,
    pub(crate) asks: Bucket,
    pub(crate) control: Bucket,
    /// What a node that is slow on purpose has still to send of a part.
    pub(crate) trickling: BTreeMap<u16, Vec<u8>>,
    /// Reading control frames waits for the bucket.
    pub(crate) throttled: bool,
}

/// So many tokens a second, so many at once after a pause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    burst: u64,
    /// Millionths.
    level: u64,
    updated: u64,
}

impl Bucket {
    pub(crate) const fn new(per_second: u64, burst: u64, now: u64) -> Self {
        Self {
            per_second,
            burst,
            level: burst * 1_000_000,
            updated: now,
        }
    }

    /// Takes tokens, or says how many microseconds until they are there.
    pub(crate) fn take(&mut self, tokens: u64, now: u64) -> Result<(), u64> {
        let gained = (now - self.updated) * self.per_second;
        self.level = (self.level + gained).min(self.burst * 1_000_000);
        self.updated = now;
        let wanted = tokens.min(self.burst) * 1_000_000;
        match self.level.checked_sub(wanted) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err((wanted - self.level).div_ceil(self.per_second)),
        }
    }
}

/// A node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) host: u16,
    pub(crate) persona: Persona,
    /// Counts starts of the process.
    pub(crate) life: u32,
    pub(crate) clock: Clock,
    /// Nothing while the process does not run.
    pub(crate) core: Option<Box<NodeCore>>,
    pub(crate) directory: Directory,
    pub(crate) due: u64,
    pub(crate) queued: u64,
    pub(crate) sessions: BTreeMap<ConnectionId, Session>,
    pub(crate) neighbors: BTreeMap<u16, ConnectionId>,
    /// Dials whose outcome the core waits for.
    pub(crate) dialing: BTreeSet<u16>,
    pub(crate) fetches: BTreeMap<(ConnectionId, u16), PeerFetch>,
    pub(crate) origin: [OriginLink; 2],
    pub(crate) origin_fetches: BTreeMap<FetchId, OriginFetch>,
    pub(crate) tracker: TrackerClient,
    pub(crate) disk: Disk,
    pub(crate) uploads: BTreeMap<UploadId, (ConnectionId, u16)>,
    pub(crate) next_upload: u64,
    pub(crate) player: Player,
    pub(crate) ticket: Option<Signed<Ticket>>,
    /// Bytes the shell stored, to compare with what the core counted.
    pub(crate) stored: u64,
    /// What it sent before is held against nobody: it was a bad node then.
    pub(crate) good_since: u64,
    /// It is kept out of the healing phase.
    pub(crate) shut_out: bool,
}

impl Node {
    pub(crate) fn new(host: u16, persona: Persona) -> Self {
        Self {
            host,
            persona,
            life: 0,
            clock: Clock::new(0, 0),
            core: None,
            directory: Directory::default(),
            due: u64::MAX,
            queued: u64::MAX,
            sessions: BTreeMap::new(),
            neighbors: BTreeMap::new(),
            dialing: BTreeSet::new(),
            fetches: BTreeMap::new(),
            origin: [OriginLink::default(), OriginLink::default()],
            origin_fetches: BTreeMap::new(),
            tracker: TrackerClient::default(),
            disk: Disk::default(),
            uploads: BTreeMap::new(),
            next_upload: 0,
            player: Player::default(),
            ticket: None,
            stored: 0,
            good_since: 0,
            shut_out: false,
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.core.is_some()
    }

    pub(crate) fn is_honest(&self) -> bool {
        self.persona.vice == crate::packet::profile::Vice::None
    }

    /// Everything in memory is gone; what is on the disk stays.
    pub(crate) fn forget_all(&mut self) {
        self.core = None;
        self.directory = Directory::default();
        (self.due, self.queued) = (u64::MAX, u64::MAX);
        self.sessions.clear();
        self.neighbors.clear();
        self.dialing.clear();
        self.fetches.clear();
        self.origin = [OriginLink::default(), OriginLink::default()];
        self.origin_fetches.clear();
        self.tracker = TrackerClient::default();
        self.uploads.clear();
        self.ticket = None;
        self.stored = 0;
        self.player.process_ended();
    }

    /// How others reach it.
    pub(crate) fn contact(&self) -> PeerContact {
        contact(self.host)
    }
}

/// The transport key of a host's node.
pub(crate) fn node_id(host: u16) -> NodeId {
    let mut bytes = [0x5a; 32];
    bytes[..2].copy_from_slice(&host.to_be_bytes());
    NodeId(bytes)
}

/// The host of a node, if there is such a node.
pub(crate) fn host_of(node: NodeId, hosts: u16) -> Option<u16> {
    let [high, low, ..] = node.0;
    let host = u16::from_be_bytes([high, low]);
    (host < hosts && node_id(host) == node).then_some(host)
}

/// Where a host is reached.
pub(crate) fn contact(host: u16) -> PeerContact {
    let [high, low] = host.to_be_bytes();
    PeerContact {
        node: node_id(host),
        region: RegionClass(1),
        addresses: vec![SocketAddr::new(
            IpAddr::V4(Ipv4Addr::new(10, 0, high, low)),
            7_701,
        )],
    }
}

/// The host behind an address.
pub(crate) fn host_at(address: SocketAddr, hosts: u16) -> Option<u16> {
    let IpAddr::V4(ip) = address.ip() else {
        return None;
    };
    let [ten, zero, high, low] = ip.octets();
    let host = u16::from_be_bytes([high, low]);
    (ten == 10 && zero == 0 && host < hosts).then_some(host)
}
