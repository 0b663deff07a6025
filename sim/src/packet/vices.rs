//! How bad nodes misbehave. They run the same core; what leaves them is bent here.

use antiphon_protocol::codec::encode;
use antiphon_protocol::peer::{
    DataReply, EXTENT_BYTES_MAX, Extent, Holding, PeerContact, PeerMessage,
};
use antiphon_protocol::tracker::AnnounceEntry;
use antiphon_protocol::{ErrorCode, Millis, NodeId, QueryId, SwarmId};

use crate::engine::random::Draws;
use crate::packet::frames;
use crate::packet::happening::Task;
use crate::packet::harness::Harness;
use crate::packet::profile::{Chance, Vice};
use crate::packet::session::CONTROL;
use crate::packet::transport::{ConnectionId, Side};

/// A slow node sends this much at a time: 4 kB/s.
const TRICKLE_BYTES: usize = 1_024;
const TRICKLE_MICROS: u64 = 250_000;
/// Mean time between what a babbler says, and how late a liar declines.
const BABBLE_MICROS: f64 = 3e6;
const LATE_MICROS: f64 = 1e6;

impl Harness {
    fn vice(&self, node: u16) -> Vice {
        self.nodes[usize::from(node)].persona.vice
    }

    fn vice_draws(&mut self, node: u16) -> Draws {
        let turn = self.oracle.next_write();
        self.draws(Chance::Vice, u64::from(node) << 40 | turn)
    }

    /// A liar claims to hold everything, also what it was never asked for.
    pub(crate) fn vice_announces(&self, node: u16, entries: &mut [AnnounceEntry]) {
        if self.vice(node) == Vice::Liar {
            for entry in entries {
                entry.extent = Extent::Full;
            }
        }
    }

    /// A liar answers every interest.
    pub(crate) fn vice_hears(&mut self, node: u16, id: ConnectionId, message: &PeerMessage) {
        let PeerMessage::Interest { swarms } = message else {
            return;
        };
        if self.vice(node) != Vice::Liar || swarms.is_empty() {
            return;
        }
        let Some(side) = self.session_side(node, id) else {
            return;
        };
        let holdings = swarms.iter().map(|swarm| Holding {
            swarm: *swarm,
            extent: Extent::Full,
        });
        let have = PeerMessage::Have {
            holdings: holdings.collect(),
        };
        frames::put(&mut self.network, id, side, CONTROL, &have);
    }

    fn session_side(&self, node: u16, id: ConnectionId) -> Option<Side> {
        let sessions = &self.nodes[usize::from(node)].sessions;
        sessions.get(&id).map(|session| session.side)
    }

    /// Whether a bad node answers a span by itself, without asking its core.
    pub(crate) fn vice_is_asked(
        &mut self,
        node: u16,
        id: ConnectionId,
        side: Side,
        stream: u16,
    ) -> bool {
        match self.vice(node) {
            Vice::Liar => {
                let late = self.vice_draws(node).exponential(LATE_MICROS) as u64;
                self.later(node, late, Task::DeclineLate(id, stream));
                true
            }
            Vice::Staller => {
                frames::put(&mut self.network, id, side, stream, &DataReply::Accept);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn decline_late(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let session = self.nodes[usize::from(node)].sessions.get(&id);
        let upload = session
            .and_then(|session| session.serving.get(&stream))
            .and_then(|serving| serving.upload);
        if let Some(upload) = upload {
            self.decline(node, upload, ErrorCode::NOT_HELD, Millis(1));
        }
    }

    pub(crate) fn vice_accepts(&mut self, node: u16, id: ConnectionId, stream: u16) {
        if self.vice(node) == Vice::Slow {
            self.later(node, TRICKLE_MICROS, Task::Trickle(id, stream));
        }
    }

    /// A slow node sends the next bytes of a part.
    pub(crate) fn trickle(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let Some(side) = self.session_side(node, id) else {
            return;
        };
        let entry = &mut self.nodes[usize::from(node)];
        let Some(session) = entry.sessions.get_mut(&id) else {
            return;
        };
        if let Some(rest) = session.trickling.get_mut(&stream) {
            let now = rest.len().min(TRICKLE_BYTES);
            let bytes: Vec<u8> = rest.drain(..now).collect();
            if rest.is_empty() {
                session.trickling.remove(&stream);
            }
            self.network.write(id, side, stream, &bytes);
        } else {
            let left = session.serving.contains_key(&stream);
            if !left || self.write_part(node, id, side, stream).is_none() {
                return;
            }
        }
        self.later(node, TRICKLE_MICROS, Task::Trickle(id, stream));
    }

    /// What a part becomes on its way out of a bad node; true if it goes out later.
    pub(crate) fn bend_part(
        &mut self,
        node: u16,
        id: ConnectionId,
        stream: u16,
        bytes: &mut Vec<u8>,
    ) -> bool {
        match self.vice(node) {
            Vice::Polluter => {
                let mut draws = self.vice_draws(node);
                if draws.chance(0.7) {
                    let at = 4 + draws.below(bytes.len() as u64 - 4) as usize;
                    bytes[at] ^= 1 << draws.below(8);
                }
                false
            }
            Vice::Slow => {
                let session = self.nodes[usize::from(node)].sessions.get_mut(&id);
                if let Some(session) = session {
                    session.trickling.insert(stream, core::mem::take(bytes));
                }
                true
            }
            _ => false,
        }
    }

    /// A babbler sends something that is no frame, or a frame no honest node sends.
    pub(crate) fn babble(&mut self, node: u16) {
        let mut draws = self.vice_draws(node);
        let again = draws.exponential(BABBLE_MICROS) as u64;
        self.later(node, again, Task::Babble);
        if self.vice(node) != Vice::Babbler {
            return;
        }
        let sessions = &self.nodes[usize::from(node)].sessions;
        let pick = draws.below(sessions.len().max(1) as u64) as usize;
        let Some((id, side, own)) = sessions.iter().nth(pick).map(|(id, session)| {
            let own = session.own.iter().next().copied();
            (*id, session.side, own)
        }) else {
            return;
        };
        let stream = own.filter(|_| draws.chance(0.3)).unwrap_or(CONTROL);
        let bytes = nonsense(&mut draws, self.music.tracks[0].swarm);
        self.network.write(id, side, stream, &bytes);
    }
}

fn nonsense(draws: &mut Draws, swarm: SwarmId) -> Vec<u8> {
    let random = |draws: &mut Draws, count: u64| -> Vec<u8> {
        (0..count).map(|_| draws.next() as u8).collect()
    };
    match draws.below(6) {
        // Any bytes.
        0 => {
            let count = 1 + draws.below(300);
            random(draws, count)
        }
        // A length nobody may send.
        1 => u32::MAX.to_le_bytes().to_vec(),
        // A frame of any bytes.
        2 => {
            let count = draws.below(200);
            let mut frame = (count as u32).to_le_bytes().to_vec();
            frame.extend(random(draws, count));
            frame
        }
        // Extents of chunks there are not.
        3 => encode(&PeerMessage::Have {
            holdings: vec![Holding {
                swarm,
                extent: Extent::Partial(random(draws, EXTENT_BYTES_MAX as u64)),
            }],
        }),
        // Holders that do not exist, for a search nobody made.
        4 => encode(&PeerMessage::Found {
            query: QueryId(draws.next()),
            swarm,
            holders: vec![PeerContact {
                node: NodeId([draws.next() as u8; 32]),
                region: antiphon_protocol::ticket::RegionClass(9),
                addresses: vec![std::net::SocketAddr::from(([10, 0, 0, 0], 7_701))],
            }],
        }),
        // Searches without end.
        _ => encode(&PeerMessage::Find {
            query: QueryId(draws.next()),
            swarm: SwarmId([draws.next() as u8; 16]),
            hops: 2,
        }),
    }
}
