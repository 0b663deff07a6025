//! Connections between nodes from the dial to the end: tickets both ways, then control messages.
//! Follows `node/src/peers/session.rs` and `hub.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use antiphon_protocol::codec::DecodeError;
use antiphon_protocol::peer::{PeerLimits, PeerMessage};
use antiphon_protocol::{ErrorCode, UnixSeconds, version};
use antiphon_swarm::node::input::{FetchEvent, NeighborEvent};
use antiphon_swarm::{Duration, Input, PeerKey};

use crate::packet::frames;
use crate::packet::happening::Task;
use crate::packet::harness::{Harness, PEER, Tag};
use crate::packet::music::EPOCH;
use crate::packet::node::{Bucket, Node, Phase, Session, host_at, node_id};
use crate::packet::oracle::Broken;
use crate::packet::transport::{ConnectionId, Side};

/// The control stream is the first the dialer opens.
pub(crate) const CONTROL: u16 = 0;
/// For the handshake and `Hello` both ways: the node's 5 s each.
const GREET_MICROS: u64 = 10_000_000;
/// Two connections with one node younger than this come from simultaneous dials.
const SIMULTANEOUS: u64 = 10_000_000;
/// Control bytes a second and at once from one neighbor.
const CONTROL_RATE: (u64, u64) = (8 * 1024, 64 * 1024);
/// Spans a neighbor may ask in a second and at once.
const ASK_RATE: (u64, u64) = (20, 40);
/// Between measurements of the round trip.
const PING_MICROS: u64 = 15_000_000;
/// Connections of one node at most.
const CONNECTIONS_MAX: usize = 60;
/// Spans served to one neighbor at the same time.
pub(crate) const SPANS_PER_NEIGHBOR: u8 = 2;

impl Harness {
    pub(crate) fn dial(&mut self, node: u16, peer: PeerKey) {
        let hosts = self.nodes.len() as u16;
        let entry = &mut self.nodes[usize::from(node)];
        let contact = entry.directory.contact(peer);
        let host = contact
            .and_then(|contact| contact.addresses.first())
            .and_then(|address| host_at(*address, hosts));
        let expected = entry.directory.node(peer);
        // Somebody else, or nobody, at that address fails the handshake.
        let host = host.filter(|host| Some(node_id(*host)) == expected && *host != node);
        let Some(host) = host.filter(|_| entry.sessions.len() < CONNECTIONS_MAX) else {
            let event = NeighborEvent::DialFailed;
            return self.tell(node, Input::Neighbor { peer, event });
        };
        if !entry.dialing.insert(host) {
            return;
        }
        let id = self
            .network
            .open(node, host, [PEER; 2], false, Tag::Peer as u8);
        self.add_session(node, id, 0, host);
    }

    fn add_session(&mut self, node: u16, id: ConnectionId, side: Side, host: u16) {
        let now = self.now;
        let session = Session {
            side,
            host,
            phase: Phase::Greeting,
            greeted: false,
            since: now,
            idle: Vec::new(),
            own: BTreeSet::new(),
            waiting: VecDeque::new(),
            serving: BTreeMap::new(),
            under_way: 0,
            asks: Bucket::new(ASK_RATE.0, ASK_RATE.1, now),
            control: Bucket::new(CONTROL_RATE.0, CONTROL_RATE.1, now),
            trickling: BTreeMap::new(),
            throttled: false,
        };
        self.nodes[usize::from(node)].sessions.insert(id, session);
        self.later(node, GREET_MICROS, Task::GreetBy(id));
    }

    pub(crate) fn peer_connected(&mut self, node: u16, id: ConnectionId, side: Side) {
        if side == 1 {
            let Some(host) = self.network.other_host(id, 1) else {
                return;
            };
            if self.nodes[usize::from(node)].sessions.len() >= CONNECTIONS_MAX {
                return self.network.close(id, 1, ErrorCode::BUSY.0);
            }
            return self.add_session(node, id, 1, host);
        }
        self.network.open_stream(id);
        self.say_hello(node, id, side);
    }

    /// The dialer speaks first; the other side answers only a good ticket.
    fn say_hello(&mut self, node: u16, id: ConnectionId, side: Side) {
        let entry = &mut self.nodes[usize::from(node)];
        let uploads = entry.persona.uploads;
        let Some(ticket) = entry.ticket.clone() else {
            return self.end_session(node, id, Some(ErrorCode::BUSY), None);
        };
        if let Some(session) = entry.sessions.get_mut(&id) {
            session.greeted = true;
        }
        let limits = PeerLimits {
            spans_in_flight: SPANS_PER_NEIGHBOR,
            uploads,
        };
        let version = version::PEER;
        let hello = PeerMessage::Hello {
            version,
            ticket,
            limits,
        };
        frames::put(&mut self.network, id, side, CONTROL, &hello);
    }

    pub(crate) fn greet_by(&mut self, node: u16, id: ConnectionId) {
        let entry = &self.nodes[usize::from(node)];
        let waiting = entry.sessions.get(&id).map(|session| session.phase);
        if waiting == Some(Phase::Greeting) {
            self.end_session(node, id, Some(ErrorCode::NONE), None);
        }
    }

    pub(crate) fn peer_readable(&mut self, node: u16, id: ConnectionId, side: Side, stream: u16) {
        if stream == CONTROL {
            return self.read_control(node, id, side);
        }
        let entry = &self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get(&id) else {
            return;
        };
        if session.own.contains(&stream) {
            self.receive_span(node, id, side, stream);
        } else if session.phase == Phase::Talking {
            self.asked(node, id, side, stream);
        }
    }

    pub(crate) fn read_control_again(&mut self, node: u16, id: ConnectionId) {
        if let Some(session) = self.nodes[usize::from(node)].sessions.get_mut(&id) {
            session.throttled = false;
            let side = session.side;
            self.read_control(node, id, side);
        }
    }

    fn read_control(&mut self, node: u16, id: ConnectionId, side: Side) {
        let now = self.now;
        loop {
            let entry = &mut self.nodes[usize::from(node)];
            let Some(session) = entry.sessions.get_mut(&id) else {
                return;
            };
            if session.throttled {
                return;
            }
            let phase = session.phase;
            let frame = frames::take::<PeerMessage>(&mut self.network, id, side, CONTROL);
            match (frame, phase) {
                (Ok(None), _) => return,
                (Ok(Some((message, _))), Phase::Greeting) => {
                    self.greeted(node, id, side, message);
                }
                (Ok(Some((message, bytes))), Phase::Talking) => {
                    if let Err(wait) = session.control.take(bytes as u64, now) {
                        session.throttled = true;
                        self.later(node, wait, Task::ReadControl(id));
                    }
                    self.control_message(node, id, message);
                }
                (Err(error), _) => return self.malformed(node, id, &error),
            }
        }
    }

    fn malformed(&mut self, node: u16, id: ConnectionId, error: &DecodeError) {
        self.expect_vice(node, id, &format!("a control frame that is none ({error})"));
        self.misbehaved(node, id, ErrorCode::MALFORMED);
    }

    /// Only bad nodes may do what this node holds against them.
    pub(crate) fn expect_vice(&mut self, node: u16, id: ConnectionId, what: &str) {
        let other = self.nodes[usize::from(node)]
            .sessions
            .get(&id)
            .map(|session| (session.host, session.since));
        // A session from before a bad node was healed brings what is still under way from it.
        if let Some((host, since)) = other
            && self.nodes[usize::from(host)].is_honest()
            && since >= self.nodes[usize::from(host)].good_since
        {
            self.break_with(Broken::correctness(
                self.now,
                format!("node {node} received {what} from node {host}, which is honest"),
            ));
        }
    }

    /// What no honest node does: the core hears of it, and the connection ends.
    pub(crate) fn misbehaved(&mut self, node: u16, id: ConnectionId, code: ErrorCode) {
        if let Some(peer) = self.peer_of(node, id) {
            let event = NeighborEvent::Misbehaved;
            self.tell(node, Input::Neighbor { peer, event });
        }
        self.end_session(node, id, Some(code), Some(code));
    }

    pub(crate) fn peer_of(&mut self, node: u16, id: ConnectionId) -> Option<PeerKey> {
        let entry = &mut self.nodes[usize::from(node)];
        let host = entry.sessions.get(&id)?.host;
        entry.directory.intern_node(node_id(host))
    }

    fn greeted(&mut self, node: u16, id: ConnectionId, side: Side, message: PeerMessage) {
        let (key, now) = (self.music.key.verifying_key(), self.now);
        let entry = &self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get(&id) else {
            return;
        };
        let (host, greeted) = (session.host, session.greeted);
        let skew = entry.persona.skew;
        let unix = UnixSeconds((EPOCH.0 + now / 1_000_000).saturating_add_signed(skew));
        let PeerMessage::Hello {
            version: theirs,
            ticket,
            limits,
        } = message
        else {
            if !matches!(message, PeerMessage::Bye { .. }) {
                self.expect_vice(node, id, "a message before Hello");
            }
            return self.end_session(node, id, Some(ErrorCode::TICKET), None);
        };
        let admitted = ticket
            .open(&key)
            .is_ok_and(|ticket| ticket.admits(node_id(host), unix));
        if !admitted || theirs != version::PEER {
            self.expect_vice(node, id, "a bad ticket");
            return self.end_session(node, id, Some(ErrorCode::TICKET), None);
        }
        if !greeted {
            self.say_hello(node, id, side);
            if !self.nodes[usize::from(node)].sessions.contains_key(&id) {
                return;
            }
        }
        self.admit(node, id, limits);
    }

    /// Makes a connection a neighbor. Of two from simultaneous dials that of the smaller node
    /// stays, otherwise the newer.
    fn admit(&mut self, node: u16, id: ConnectionId, limits: PeerLimits) {
        let entry = &self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get(&id) else {
            return;
        };
        let (host, side, since) = (session.host, session.side, session.since);
        let former = entry.neighbors.get(&host).copied();
        if let Some(former) = former {
            let old = entry.sessions.get(&former);
            let simultaneous = old.is_some_and(|old| {
                since.saturating_sub(old.since) < SIMULTANEOUS && old.side != side
            });
            let outbound = side == 0;
            if simultaneous && outbound != (node < host) {
                return self.end_session(node, id, Some(ErrorCode::NONE), None);
            }
            self.end_session(node, former, Some(ErrorCode::NONE), None);
        }
        let rtt = Duration::from_micros(self.network.round_trip(id, side));
        let entry = &mut self.nodes[usize::from(node)];
        entry.dialing.remove(&host);
        entry.neighbors.insert(host, id);
        if let Some(session) = entry.sessions.get_mut(&id) {
            session.phase = Phase::Talking;
        }
        let Some(peer) = entry.directory.intern_node(node_id(host)) else {
            return;
        };
        let event = NeighborEvent::Connected {
            outbound: side == 0,
            rtt,
            spans_in_flight: limits.spans_in_flight,
            uploads: limits.uploads,
        };
        self.tell(node, Input::Neighbor { peer, event });
        self.later(node, PING_MICROS, Task::Ping(id));
    }

    pub(crate) fn ping(&mut self, node: u16, id: ConnectionId) {
        let Some(side) = self.nodes[usize::from(node)]
            .sessions
            .get(&id)
            .map(|session| session.side)
        else {
            return;
        };
        let rtt = Duration::from_micros(self.network.round_trip(id, side));
        if let Some(peer) = self.peer_of(node, id) {
            let event = NeighborEvent::Rtt(rtt);
            self.tell(node, Input::Neighbor { peer, event });
        }
        self.later(node, PING_MICROS, Task::Ping(id));
    }

    fn control_message(&mut self, node: u16, id: ConnectionId, message: PeerMessage) {
        match message {
            PeerMessage::Hello { .. } => {
                self.expect_vice(node, id, "a second Hello");
                self.misbehaved(node, id, ErrorCode::MALFORMED);
            }
            PeerMessage::Renew { .. } => {}
            PeerMessage::Bye { code } => self.end_session(node, id, None, Some(code)),
            message => {
                let Some(peer) = self.peer_of(node, id) else {
                    return;
                };
                self.vice_hears(node, id, &message);
                let entry = &mut self.nodes[usize::from(node)];
                if let Some(message) = entry.directory.read_message(message) {
                    self.tell(node, Input::Message { peer, message });
                }
            }
        }
    }

    pub(crate) fn send_control(&mut self, node: u16, peer: PeerKey, message: &PeerMessage) {
        if let Some((id, side)) = self.neighbor(node, peer) {
            frames::put(&mut self.network, id, side, CONTROL, message);
        }
    }

    /// The connection with a neighbor.
    pub(crate) fn neighbor(&self, node: u16, peer: PeerKey) -> Option<(ConnectionId, Side)> {
        let entry: &Node = &self.nodes[usize::from(node)];
        let id = entry.directory.node(peer)?;
        let host = crate::packet::node::host_of(id, self.nodes.len() as u16)?;
        let connection = entry.neighbors.get(&host)?;
        let session = entry.sessions.get(connection)?;
        Some((*connection, session.side))
    }

    pub(crate) fn close_neighbor(&mut self, node: u16, peer: PeerKey, code: ErrorCode) {
        let Some((id, side)) = self.neighbor(node, peer) else {
            return;
        };
        // Said on the stream too, as the node does; the close may overtake it.
        frames::put(
            &mut self.network,
            id,
            side,
            CONTROL,
            &PeerMessage::Bye { code },
        );
        self.network.flush();
        self.end_session(node, id, Some(code), Some(code));
    }

    pub(crate) fn peer_closed(&mut self, node: u16, id: ConnectionId, code: Option<u16>) {
        let code = code.filter(|code| *code != 0).map(ErrorCode);
        self.end_session(node, id, None, code);
    }

    /// Ends a session, closing the connection with `close`, and tells the core once.
    pub(crate) fn end_session(
        &mut self,
        node: u16,
        id: ConnectionId,
        close: Option<ErrorCode>,
        told: Option<ErrorCode>,
    ) {
        let entry = &mut self.nodes[usize::from(node)];
        let Some(mut session) = entry.sessions.remove(&id) else {
            return;
        };
        if let Some(code) = close {
            self.network.close(id, session.side, code.0);
        }
        for fetch in session.waiting.drain(..) {
            let event = FetchEvent::Failed;
            self.tell(
                node,
                Input::Fetch {
                    fetch: fetch.fetch,
                    event,
                },
            );
        }
        self.drop_fetches(node, id);
        self.drop_uploads(node, session.serving);
        let entry = &mut self.nodes[usize::from(node)];
        let (host, was_neighbor) = (session.host, session.phase == Phase::Talking);
        if entry.neighbors.get(&host) == Some(&id) {
            entry.neighbors.remove(&host);
        }
        let dialed = session.side == 0 && !was_neighbor;
        let event = if was_neighbor {
            NeighborEvent::Disconnected { code: told }
        } else if dialed && !entry.neighbors.contains_key(&host) && entry.dialing.remove(&host) {
            NeighborEvent::DialFailed
        } else {
            return;
        };
        if let Some(peer) = entry.directory.intern_node(node_id(host)) {
            self.tell(node, Input::Neighbor { peer, event });
        }
    }
}
