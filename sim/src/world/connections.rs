//! Connections between nodes: dialed, used for messages, lost.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::Extent;
use antiphon_swarm::node::input::{Message, NeighborEvent};
use antiphon_swarm::{Duration, Input, PeerKey};

use crate::engine::random::Draws;
use crate::measure::breakdown::Dialed;
use crate::net::path;
use crate::net::reach::{self, Dial, Means};
use crate::world::happening::Deferred;
use crate::world::{Chance, World};

/// After this a peer that left without a word is missed: the node's QUIC idle timeout.
const IDLE_TIMEOUT: u64 = 10_000_000;

/// Spans each node serves a neighbor at once: what nodes say in `Hello`.
const SPANS_PER_NEIGHBOR: u8 = antiphon_swarm::limits::UPLOADS_PER_PEER_MAX as u8;

/// Bytes of a frame's length, tag and counts. From the codec.
const FRAME_BYTES: u64 = 8;
/// Bytes of a swarm's name.
const SWARM_BYTES: u64 = 16;
/// Bytes of a contact with one address. From the codec.
const CONTACT_BYTES: u64 = 48;
/// Bytes of both `Hello` with their tickets. From the codec.
const HELLO_BYTES: u64 = 2 * 220;

impl World {
    pub(super) fn dial(&mut self, from: u32, to: u32) {
        let Some(from_session) = self.session(from) else {
            return;
        };
        self.tally.dials += 1;
        let means = Means {
            punching: self.punches,
            connect_back: self.scenario.network.connect_back,
            experienced: self
                .node(from)
                .is_some_and(|online| !online.connections().is_empty()),
        };
        let pair = u64::from(from.min(to)) << 32 | u64::from(from.max(to));
        let mut pair = self.draws(Chance::Pair, pair);
        let classes = (self.person(from).nat, self.person(to).nat);
        let rendezvous = self.rtt_tracker(from) + self.rtt_tracker(to);
        let rtt = self.rtt(from, to);
        let outcome = reach::dial(&self.nats, classes, means, &mut pair, rtt, rendezvous);
        let lost = self.loss_delay(from, self.tally.dials, rtt);
        let dialed = match (outcome, self.session(to)) {
            (_, None) => Dialed::Gone,
            (Dial::Connects(_), Some(_)) => Dialed::Connected,
            (Dial::Fails(_), Some(_)) => Dialed::Failed,
        };
        self.tally.note_dial(self.now, classes, dialed);
        match (outcome, self.session(to)) {
            (Dial::Connects(delay), Some(to_session)) => {
                self.tally.dials_connected += 1;
                self.defer(
                    delay + lost,
                    Deferred::Dialed {
                        from,
                        from_session,
                        to,
                        to_session,
                    },
                );
            }
            (Dial::Fails(delay), Some(_)) => self.dial_failed(delay, from, to),
            // Nobody answers there; the core has a timeout of its own.
            (_, None) => {}
        }
    }

    fn dial_failed(&mut self, delay: u64, from: u32, to: u32) {
        let (peer, event) = (PeerKey(to), NeighborEvent::DialFailed);
        self.feed_after(delay, from, Input::Neighbor { peer, event });
    }

    pub(super) fn connect(&mut self, from: u32, to: u32) {
        if from == to || self.is_connected(from, to) {
            return;
        }
        let rtt = self.rtt(from, to);
        for (node, peer) in [(from, to), (to, from)] {
            if let Some(online) = self.node_mut(node) {
                online.add_connection(peer, rtt);
            }
        }
        self.tally.note_control(self.now, HELLO_BYTES);
        let rtt = Duration::from_micros(rtt);
        for (node, peer, outbound) in [(from, to, true), (to, from, false)] {
            if !self.is_connected(node, peer) {
                // The first of the two did not want it.
                continue;
            }
            let uploads = self.person(peer).uploads && self.config.budget.uploads;
            let event = NeighborEvent::Connected {
                outbound,
                rtt,
                spans_in_flight: SPANS_PER_NEIGHBOR,
                uploads,
            };
            let peer = PeerKey(peer);
            self.feed(node, Input::Neighbor { peer, event });
        }
    }

    pub(super) fn close(&mut self, node: u32, peer: u32, code: ErrorCode) {
        if !self.part(node, peer) {
            return;
        }
        let delay = self.rtt(node, peer) / 2;
        self.tell_disconnected(delay, peer, node, Some(code));
    }

    /// A node is gone: with a goodbye its neighbors know after the way, else after a timeout.
    pub(super) fn part_with_all(&mut self, node: u32, goodbye: bool) {
        let peers: Vec<u32> = self
            .node(node)
            .into_iter()
            .flat_map(|online| online.connections().iter().map(|c| c.peer))
            .collect();
        for peer in peers {
            self.part(node, peer);
            let delay = if goodbye {
                self.rtt(node, peer) / 2
            } else {
                IDLE_TIMEOUT
            };
            let code = goodbye.then_some(ErrorCode::GOING_AWAY);
            self.tell_disconnected(delay, peer, node, code);
        }
    }

    fn tell_disconnected(&mut self, delay: u64, node: u32, peer: u32, code: Option<ErrorCode>) {
        let event = NeighborEvent::Disconnected { code };
        let peer = PeerKey(peer);
        self.feed_after(delay, node, Input::Neighbor { peer, event });
    }

    /// Ends the connection and all that runs on it. False if there was none.
    fn part(&mut self, a: u32, b: u32) -> bool {
        let mut was = false;
        for (node, peer) in [(a, b), (b, a)] {
            if let Some(online) = self.node_mut(node) {
                was |= online.remove_connection(peer);
            }
        }
        if was {
            self.cut_transfers(a, b);
            self.cut_transfers(b, a);
        }
        was
    }

    pub(super) fn send(&mut self, from: u32, to: u32, message: Message) {
        let online = self.node(from);
        let connection = online.and_then(|online| online.connection(to));
        let Some(rtt) = connection.map(|connection| connection.rtt.into()) else {
            return;
        };
        self.tally.note_control(self.now, message_bytes(&message));
        self.tally.messages += 1;
        let delay = rtt / 2 + self.loss_delay(from, self.tally.messages, rtt);
        self.defer(delay, Deferred::Message { from, to, message });
    }

    pub(super) fn message_arrived(&mut self, from: u32, to: u32, message: Message) -> u64 {
        if !self.is_connected(to, from) {
            return 0;
        }
        if self.answer_falsely(from, to, &message) {
            return 2;
        }
        if !self.knows_name(to, &message) {
            return 0;
        }
        let message = named_for(message, from, to);
        let peer = PeerKey(from);
        self.feed(to, Input::Message { peer, message });
        1
    }

    /// A node drops searches for swarms it has no name for, and so does not pass them on. It
    /// knows the names of what it holds and uses.
    fn knows_name(&self, node: u32, message: &Message) -> bool {
        let Message::Find { rendition, .. } = message else {
            return true;
        };
        self.seats[node as usize].shelf.knows(rendition.0)
    }

    /// What a lost packet costs a message or request, for most of them nothing.
    pub(super) fn loss_delay(&self, node: u32, number: u64, rtt: u64) -> u64 {
        let loss = self.scenario.network.loss.0;
        let mut draws = Draws::of(
            self.seed,
            Chance::Loss as u64,
            u64::from(node) << 40 ^ number,
        );
        if draws.chance(loss) {
            path::retransmission(rtt)
        } else {
            0
        }
    }
}

/// Who `OURSELVES` is changes with the reader, as a driver's directory does it.
fn named_for(message: Message, from: u32, to: u32) -> Message {
    let Message::Found {
        query,
        rendition,
        holders,
    } = message
    else {
        return message;
    };
    let holders = holders.into_iter().map(|holder| match holder {
        PeerKey::OURSELVES => PeerKey(from),
        PeerKey(peer) if peer == to => PeerKey::OURSELVES,
        other => other,
    });
    let holders = holders.collect();
    Message::Found {
        query,
        rendition,
        holders,
    }
}

fn message_bytes(message: &Message) -> u64 {
    FRAME_BYTES
        + match message {
            Message::Have { holdings } => holdings
                .iter()
                .map(|(_, extent)| match extent {
                    Extent::Partial(units) => SWARM_BYTES + 2 + units.len() as u64,
                    Extent::Full | Extent::Gone => SWARM_BYTES + 1,
                })
                .sum(),
            Message::Find { .. } => SWARM_BYTES + 9,
            Message::Found { holders, .. } => {
                SWARM_BYTES + 8 + CONTACT_BYTES * holders.len() as u64
            }
            Message::Interest { renditions } => SWARM_BYTES * renditions.len() as u64,
            Message::Bye { .. } => 2,
        }
}
