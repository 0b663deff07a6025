//! What exists of a node only while it is online.

use antiphon_swarm::limits::UPLOADS_MAX;
use antiphon_swarm::{NodeCore, lot};
use smallvec::SmallVec;

use crate::world::World;
use crate::world::player::Playing;

/// A connection to a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) peer: u32,
    /// The congestion window of what we send there.
    pub(super) window: u32,
    /// The round trip in microseconds: to compute it anew takes a look at the peer.
    pub(super) rtt: u32,
}

/// A span on its way to a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    pub(super) transfer: u32,
    /// When something of it happens next, if that is known: its asker hears of it, or this is set anew.
    pub(super) next_event: u64,
}

/// The track that is prepared to be played next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expectation {
    pub(super) track: u32,
    pub(super) license: License,
}

/// What a node has of the license for what it expects to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum License {
    /// It is there.
    Held,
    /// It was asked for, and comes.
    OnItsWay,
    /// There was no tracker to ask.
    Missing,
}

/// A node that runs. What few events look at comes last.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Online {
    pub(super) session: u32,
    /// The window of what the origin sends here; nothing before the first request.
    pub(super) origin_window: u32,
    /// Its core is not asked: it is a program that attacks.
    pub(super) is_program: bool,
    pub(super) http_warm: bool,
    /// By the lots of the peers.
    connections: Vec<Connection>,
    /// Transfers to and from this node: mostly no more than have room here.
    pub(super) incoming: SmallVec<[Incoming; 3]>,
    pub(super) outgoing: SmallVec<[u32; UPLOADS_MAX]>,
    pub(super) core: NodeCore,
    pub(super) playing: Option<Playing>,
    /// What follows if nothing else is chosen.
    pub(super) expected: Option<Expectation>,
    pub(super) listening_until: u64,
    /// The next track of a release, and the one after its last.
    pub(super) release: Option<(u32, u32)>,
}

impl Online {
    pub(super) fn new(session: u32, core: NodeCore) -> Self {
        Self {
            session,
            core,
            is_program: false,
            connections: Vec::new(),
            incoming: SmallVec::new(),
            outgoing: SmallVec::new(),
            origin_window: crate::net::path::WINDOW_ORIGIN,
            http_warm: false,
            playing: None,
            expected: None,
            listening_until: 0,
            release: None,
        }
    }

    /// A transfer is over, or not wanted any more.
    pub(super) fn drop_incoming(&mut self, transfer: u32) {
        self.incoming
            .retain(|incoming| incoming.transfer != transfer);
    }

    pub(super) fn connections(&self) -> &[Connection] {
        &self.connections
    }

    pub(super) fn connection(&self, peer: u32) -> Option<&Connection> {
        self.connection_at(peer)
            .ok()
            .map(|at| &self.connections[at])
    }

    pub(super) fn connection_mut(&mut self, peer: u32) -> Option<&mut Connection> {
        let at = self.connection_at(peer).ok()?;
        Some(&mut self.connections[at])
    }

    fn connection_at(&self, peer: u32) -> Result<usize, usize> {
        lot::find(&self.connections, peer, |connection| connection.peer)
    }

    pub(super) fn is_connected(&self, peer: u32) -> bool {
        self.connection_at(peer).is_ok()
    }

    pub(super) fn add_connection(&mut self, peer: u32, rtt: u64) {
        if let Err(at) = self.connection_at(peer) {
            let rtt = u32::try_from(rtt).unwrap_or(u32::MAX);
            let window = crate::net::path::WINDOW_PEERS;
            if self.connections.len() == self.connections.capacity() {
                // By a quarter, not by doubling: a million nodes have connections.
                self.connections
                    .reserve_exact(self.connections.len() / 4 + 2);
            }
            self.connections
                .insert(at, Connection { peer, window, rtt });
        }
    }

    pub(super) fn remove_connection(&mut self, peer: u32) -> bool {
        let found = self.connection_at(peer);
        if let Ok(at) = found {
            self.connections.remove(at);
        }
        found.is_ok()
    }
}

impl World {
    /// The number of the session a user is in, if online.
    pub(super) fn session(&self, user: u32) -> Option<u32> {
        self.node(user).map(|online| online.session)
    }

    pub(super) fn node(&self, user: u32) -> Option<&Online> {
        self.seats[user as usize].online.as_deref()
    }

    /// The transfers to a node, none while it is offline.
    pub(super) fn incoming(&self, user: u32) -> impl Iterator<Item = u32> + '_ {
        let online = self.node(user).into_iter();
        online.flat_map(|online| online.incoming.iter().map(|incoming| incoming.transfer))
    }

    /// The `n`-th of them, where what is done with each changes the world.
    pub(super) fn nth_incoming(&self, user: u32, n: usize) -> Option<u32> {
        self.incoming(user).nth(n)
    }

    pub(super) fn node_mut(&mut self, user: u32) -> Option<&mut Online> {
        self.seats[user as usize].online.as_deref_mut()
    }

    /// The round trip between two nodes, as their connection has it if there is one.
    pub(super) fn rtt_connected(&self, a: u32, b: u32) -> u64 {
        let connection = self.node(a).and_then(|node| node.connection(b));
        connection.map_or_else(|| self.rtt(a, b), |connection| connection.rtt.into())
    }

    pub(super) fn is_connected(&self, a: u32, b: u32) -> bool {
        self.node(a).is_some_and(|node| node.is_connected(b))
    }
}
