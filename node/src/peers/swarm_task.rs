//! The task that owns the libp2p swarm: connections come and go here, streams are handed on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_protocol::NodeId;
use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{PeerId, Stream, Swarm, ping};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::address::{multiaddr, node_of, peer_of};
use super::behaviour::{Inbound, StreamKind};
use super::handle::PeerHandle;
use super::hub::{Command, Hub, HubParts};
use super::introductions::Introductions;
use super::session::{self, Seat};
use super::settled::Settled;
use super::swarm_parts::{Behaviour, BehaviourEvent, Parts};
use super::{PeerEvent, StartError, limits};
use crate::span_io::{ChunkSink, SpanSource};

/// What a transport that started gives.
pub(super) type Started = (PeerHandle, mpsc::Receiver<PeerEvent>);

/// Lets others in. The future that is returned beside the handle runs the transport to its end.
pub(super) async fn prepare(
    mut parts: Parts,
    sink: Arc<dyn ChunkSink>,
    source: Arc<dyn SpanSource>,
) -> Result<(Started, impl Future<Output = ()>), StartError> {
    let keypair = Keypair::ed25519_from_bytes(parts.identity).map_err(|_| StartError::Identity)?;
    let me = node_of(&keypair.public().to_peer_id()).ok_or(StartError::Identity)?;
    let settled = Settled::default();
    let swarm = parts.listen(&keypair, settled.clone()).await?;
    let (events, events_out) = mpsc::channel(limits::EVENT_QUEUE_MAX);
    let (commands, commands_in) = mpsc::channel(limits::COMMAND_QUEUE_MAX);
    let hub = Arc::new(Hub::new(HubParts {
        limits: parts.limits,
        tracker_key: parts.tracker_key,
        now: parts.now,
        sink,
        source,
        events,
        commands,
    }));
    let _ = hub.listening.set(parts.listening);
    let task = SwarmTask {
        me,
        swarm,
        hub: Arc::clone(&hub),
        connections: HashMap::new(),
        settled,
        introductions: Introductions::new(),
    };
    let started = (PeerHandle::new(me, hub), events_out);
    Ok((started, task.run(commands_in)))
}

struct SwarmTask {
    me: NodeId,
    swarm: Swarm<Behaviour>,
    hub: Arc<Hub>,
    /// Bounded by the connection limits.
    connections: HashMap<ConnectionId, Connection>,
    /// Shared with the transport, which dials.
    settled: Settled,
    introductions: Introductions,
}

struct Connection {
    node: NodeId,
    outbound: bool,
    since: Instant,
    inbound: mpsc::Sender<(StreamKind, Stream)>,
    gone: CancellationToken,
    /// Set when its session is over, although its last frames may still be on their way.
    ended: CancellationToken,
}

impl SwarmTask {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let stop = self.hub.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = commands.recv() => self.handle_command(command),
                node = self.introductions.unanswered() => self.unanswered(node),
                event = self.swarm.select_next_some() => self.handle_event(event),
            }
        }
        for connection in self.connections.values() {
            connection.gone.cancel();
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Dial { node, addresses } => self.dial_wanted(node, addresses),
            Command::DialBack { node, address } => self.dial_back(node, address),
            Command::Open {
                peer,
                connection,
                open,
            } => {
                if self.connections.contains_key(&connection) {
                    self.swarm
                        .behaviour_mut()
                        .streams
                        .open(peer, connection, open);
                }
            }
            Command::Close(connection) => {
                self.swarm.close_connection(connection);
            }
        }
    }

    /// Dials whom the driver wants. A connection that is there already answers that.
    fn dial_wanted(&mut self, node: NodeId, addresses: Vec<SocketAddr>) {
        if self.knows(node) {
            return;
        }
        // Anybody may have themselves introduced under this node's name, so dialing back gives way.
        match self.introductions.dial_after(node, addresses) {
            Ok(()) => {
                if let Some(peer) = peer_of(node) {
                    self.settled.settle(peer);
                }
            }
            Err(addresses) => self.dial_for_driver(node, addresses),
        }
    }

    fn dial_for_driver(&mut self, node: NodeId, addresses: Vec<SocketAddr>) {
        self.introductions.dialing(node, &addresses);
        if !self.dial(node, addresses) {
            self.dial_ended(node);
        }
    }

    /// Dials whoever was introduced, unless the two are about to meet anyway.
    fn dial_back(&mut self, node: NodeId, address: SocketAddr) {
        let meets = self.knows(node) || node == self.me;
        if meets || !self.introductions.dials_back(node, Instant::now()) {
            return;
        }
        if !self.dial(node, vec![address]) {
            self.introductions.dialed(node);
        }
    }

    /// Has the driver ask for an introduction if the way to `node` is still not open.
    fn unanswered(&self, node: NodeId) {
        if !self.knows(node) && self.hub.is_dialing(node) {
            self.hub.tell_later(PeerEvent::Unanswered { node });
        }
    }

    fn dial(&mut self, node: NodeId, addresses: Vec<SocketAddr>) -> bool {
        let Some(peer) = peer_of(node) else {
            return false;
        };
        let dial = DialOpts::peer_id(peer)
            .condition(PeerCondition::NotDialing)
            .addresses(addresses.into_iter().map(multiaddr).collect())
            .build();
        self.swarm.dial(dial).is_ok()
    }

    /// Whether there is a connection with `node` that may become or is a neighbor.
    fn knows(&self, node: NodeId) -> bool {
        self.live(node).next().is_some()
    }

    fn live(&self, node: NodeId) -> impl Iterator<Item = (&ConnectionId, &Connection)> {
        self.connections
            .iter()
            .filter(move |(_, other)| other.node == node && !other.ended.is_cancelled())
    }

    fn handle_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(inbound)) => self.pass_on(inbound),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event {
                connection,
                result: Ok(rtt),
                ..
            })) => {
                let admitted = |connection: &&Connection| {
                    self.hub
                        .neighbor(connection.node)
                        .is_some_and(|neighbor| !neighbor.is_retired())
                };
                if let Some(Connection { node, .. }) =
                    self.connections.get(&connection).filter(admitted)
                {
                    // One measurement more or less does not matter to a busy driver.
                    let _ = self
                        .hub
                        .events
                        .try_send(PeerEvent::Rtt { node: *node, rtt });
                }
            }
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                established_in,
                ..
            } => self.established(peer_id, connection_id, &endpoint, established_in),
            SwarmEvent::ConnectionClosed { connection_id, .. } => {
                if let Some(closed) = self.connections.remove(&connection_id) {
                    closed.gone.cancel();
                    self.dial_ended(closed.node);
                }
            }
            SwarmEvent::OutgoingConnectionError {
                peer_id: Some(peer),
                error,
                ..
            } => {
                tracing::debug!(%peer, %error, "dial failed");
                self.settled.settle(peer);
                if let Some(node) = node_of(&peer) {
                    match self.introductions.dialed(node) {
                        Some(addresses) if !self.knows(node) => {
                            self.dial_for_driver(node, addresses);
                        }
                        _ => self.dial_ended(node),
                    }
                }
            }
            _ => {}
        }
    }

    fn pass_on(&self, inbound: Inbound) {
        if let Some(connection) = self.connections.get(&inbound.connection) {
            // A full queue means more streams than an honest node opens: dropped is closed.
            let _ = connection.inbound.try_send((inbound.kind, inbound.stream));
        }
    }

    fn established(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
        established_in: Duration,
    ) {
        let Some(node) = node_of(&peer) else {
            self.swarm.close_connection(connection);
            return;
        };
        self.settled.settle(peer);
        self.introductions.dialed(node);
        let (inbound, inbound_out) = mpsc::channel(limits::STREAMS_MAX as usize);
        let (gone, ended) = (CancellationToken::new(), CancellationToken::new());
        let new = Connection {
            node,
            outbound: endpoint.is_dialer(),
            since: Instant::now(),
            inbound,
            gone: gone.clone(),
            ended: ended.clone(),
        };
        let mut losers = Vec::new();
        let mut new_wins = true;
        for (id, old) in self.live(node) {
            if self.newer_wins(old, &new) {
                losers.push(*id);
            } else {
                new_wins = false;
            }
        }
        let seat = Seat {
            node,
            peer,
            connection,
            outbound: new.outbound,
            established_in,
            inbound: inbound_out,
            gone,
            ended,
        };
        self.connections.insert(connection, new);
        if new_wins {
            for loser in losers {
                self.swarm.close_connection(loser);
            }
            tokio::spawn(session::run(Arc::clone(&self.hub), seat));
        } else {
            self.swarm.close_connection(connection);
        }
    }

    /// Which of two connections with one node stays. Both ends must come to the same answer: of
    /// simultaneous dials that of the smaller id stays, otherwise the newer, because whoever dials
    /// has no other connection any more.
    fn newer_wins(&self, old: &Connection, new: &Connection) -> bool {
        let simultaneous = new.since.duration_since(old.since) < limits::SIMULTANEOUS;
        if !simultaneous || old.outbound == new.outbound {
            return true;
        }
        new.outbound == (self.me < new.node)
    }

    /// Tells the driver that its dial came to nothing, unless another connection is still trying.
    fn dial_ended(&self, node: NodeId) {
        if !self.knows(node) && self.hub.dial_ends(node) {
            self.hub.tell_later(PeerEvent::DialFailed { node });
        }
    }
}
