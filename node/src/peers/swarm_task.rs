//! The task that owns the libp2p swarm: connections come and go here, streams are handed on.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_protocol::NodeId;
use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::ConnectedPoint;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, Swarm, Transport as _, ping, swarm};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::{multiaddr, node_of, peer_of, tcp_multiaddr};
use super::behaviour::{Inbound, StreamKind, Streams};
use super::handle::PeerHandle;
use super::hub::{Command, Hub, HubParts};
use super::session::{self, Seat};
use super::ways::Ways;
use super::{PeerEvent, PeerPort, PeerTransportConfig, StartError, limits};
use crate::span_io::{ChunkSink, SpanSource};

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    streams: Streams,
    ping: ping::Behaviour,
}

/// What a transport that started gives.
pub(super) type Started = (PeerHandle, mpsc::Receiver<PeerEvent>);

/// Opens the sockets. The future that is returned beside the handle runs the transport to its end.
pub(super) async fn prepare(
    config: PeerTransportConfig,
    sink: Arc<dyn ChunkSink>,
    source: Arc<dyn SpanSource>,
) -> Result<(Started, impl Future<Output = ()>), StartError> {
    let keypair = Keypair::ed25519_from_bytes(config.identity).map_err(|_| StartError::Identity)?;
    let me = node_of(&keypair.public().to_peer_id()).ok_or(StartError::Identity)?;
    let (swarm, listening) = listen(&keypair, config.listen).await?;
    let (events, events_out) = mpsc::channel(limits::EVENT_QUEUE_MAX);
    let (commands, commands_in) = mpsc::channel(limits::COMMAND_QUEUE_MAX);
    let hub = Arc::new(Hub::new(HubParts {
        limits: config.limits,
        tracker_key: config.tracker_key,
        now: config.now,
        sink,
        source,
        events,
        commands,
    }));
    let _ = hub.listening.set(listening);
    let task = SwarmTask {
        me,
        swarm,
        hub: Arc::clone(&hub),
        connections: HashMap::new(),
    };
    let started = (PeerHandle::new(me, hub), events_out);
    Ok((started, task.run(commands_in)))
}

/// The swarm on its ports, and their addresses. An unspecified IP stays so: whoever publishes the
/// address knows better than one interface which IP others reach.
async fn listen(
    keypair: &Keypair,
    ports: Vec<PeerPort>,
) -> Result<(Swarm<Behaviour>, Vec<SocketAddr>), StartError> {
    let transport = |error: io::Error| StartError::Transport(error.to_string());
    let (mut udp, mut tcp, mut listening) = (Vec::new(), Vec::new(), Vec::new());
    let mut listens = Vec::new();
    for port in ports {
        let address = port.address().map_err(transport)?;
        listens.push((address, multiaddr(address)));
        listening.push(address);
        udp.push(port.udp);
        if let Some(port) = port.tcp {
            let address = port.local_addr().map_err(transport)?;
            listens.push((address, tcp_multiaddr(address)));
            tcp.push(port);
        }
    }
    let mut swarm = build(keypair, udp, tcp)?;
    for (address, wanted) in listens {
        let listened = timeout(limits::LISTEN_TIMEOUT, listen_on(&mut swarm, wanted)).await;
        let listened = listened.unwrap_or_else(|_| Err("no network interface is up".to_owned()));
        listened.map_err(|reason| StartError::Listen { address, reason })?;
    }
    Ok((swarm, listening))
}

async fn listen_on(swarm: &mut Swarm<Behaviour>, address: Multiaddr) -> Result<(), String> {
    let listener = swarm
        .listen_on(address)
        .map_err(|error| error.to_string())?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == listener => {
                return Ok(());
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } if listener_id == listener => {
                let reason = reason.err().map(|error| error.to_string());
                return Err(reason.unwrap_or_else(|| "closed".to_owned()));
            }
            _ => {}
        }
    }
}

fn build(
    keypair: &Keypair,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
) -> Result<Swarm<Behaviour>, StartError> {
    let connections = ConnectionLimits::default()
        .with_max_pending_incoming(Some(limits::PENDING_INCOMING_MAX))
        .with_max_pending_outgoing(Some(limits::PENDING_OUTGOING_MAX))
        .with_max_established(Some(limits::CONNECTIONS_MAX))
        .with_max_established_per_peer(Some(limits::CONNECTIONS_PER_NODE_MAX));
    let behaviour = Behaviour {
        limits: connection_limits::Behaviour::new(connections),
        streams: Streams::default(),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(limits::PING_INTERVAL)),
    };
    let transport = Ways::new(keypair, udp, tcp)
        .map_err(|error| StartError::Transport(error.to_string()))?
        .boxed();
    let config = swarm::Config::with_tokio_executor()
        // The first request on a stream carries the negotiation along: no round trip.
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_max_negotiating_inbound_streams(limits::STREAMS_MAX as usize)
        .with_idle_connection_timeout(limits::IDLE_TIMEOUT);
    let me = keypair.public().to_peer_id();
    Ok(Swarm::new(transport, behaviour, me, config))
}

struct SwarmTask {
    me: NodeId,
    swarm: Swarm<Behaviour>,
    hub: Arc<Hub>,
    /// Bounded by the connection limits.
    connections: HashMap<ConnectionId, Connection>,
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
                event = self.swarm.select_next_some() => self.handle_event(event),
            }
        }
        for connection in self.connections.values() {
            connection.gone.cancel();
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Dial { node, addresses } => {
                // With a connection there already, what becomes of it answers the dial.
                if !self.knows(node) && !self.dial(node, addresses) {
                    self.dial_ended(node);
                }
            }
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
                if let Some(node) = node_of(&peer) {
                    self.dial_ended(node);
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
