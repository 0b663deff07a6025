//! How the transport's libp2p swarm is made: what it consists of, and listening on the ports that
//! were taken before.

use std::io;
use std::net::{SocketAddr, TcpListener};

use antiphon_protocol::peer::PeerLimits;
use ed25519_dalek::VerifyingKey;
use futures::StreamExt;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, Transport as _, ping, swarm};
use quinn::Endpoint;
use tokio::time::timeout;

use super::address::{multiaddr, tcp_multiaddr};
use super::behaviour::Streams;
use super::network_thread::NetworkThread;
use super::settled::Settled;
use super::ways::Ways;
use super::{PeerSockets, PeerTransportConfig, StartError, WallClock, limits};

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(super) streams: Streams,
    ping: ping::Behaviour,
}

/// What a transport is made of, on the thread that runs it.
pub(super) struct Parts {
    pub(super) identity: [u8; 32],
    udp: Vec<Endpoint>,
    tcp: Vec<TcpListener>,
    pub(super) listening: Vec<SocketAddr>,
    pub(super) tracker_key: VerifyingKey,
    pub(super) limits: PeerLimits,
    pub(super) now: WallClock,
}

impl Parts {
    /// A transport's parts, and the thread for it.
    pub(super) fn of(config: PeerTransportConfig) -> (NetworkThread, Self) {
        let listening = config.listen.addresses().to_vec();
        let PeerSockets {
            thread, udp, tcp, ..
        } = config.listen;
        let parts = Self {
            identity: config.identity,
            udp,
            tcp,
            listening,
            tracker_key: config.tracker_key,
            limits: config.limits,
            now: config.now,
        };
        (thread, parts)
    }

    /// The swarm, listening on its ports.
    pub(super) async fn listen(
        &mut self,
        keypair: &Keypair,
        settled: Settled,
    ) -> Result<Swarm<Behaviour>, StartError> {
        let transport = |error: io::Error| StartError::Transport(error.to_string());
        let mut listens = Vec::new();
        for address in &self.listening {
            listens.push((*address, multiaddr(*address)));
        }
        for port in &self.tcp {
            let address = port.local_addr().map_err(transport)?;
            listens.push((address, tcp_multiaddr(address)));
        }
        let (udp, tcp) = (std::mem::take(&mut self.udp), std::mem::take(&mut self.tcp));
        let ways = Ways::new(keypair, udp, tcp, settled)
            .map_err(|error| StartError::Transport(error.to_string()))?;
        let mut swarm = build(keypair, ways);
        for (address, wanted) in listens {
            let listened = timeout(limits::LISTEN_TIMEOUT, listen_on(&mut swarm, wanted)).await;
            let listened =
                listened.unwrap_or_else(|_| Err("no network interface is up".to_owned()));
            listened.map_err(|reason| StartError::Listen { address, reason })?;
        }
        Ok(swarm)
    }
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

fn build(keypair: &Keypair, ways: Ways) -> Swarm<Behaviour> {
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
    let config = swarm::Config::with_tokio_executor()
        // The first request on a stream carries the negotiation along: no round trip.
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_max_negotiating_inbound_streams(limits::STREAMS_MAX as usize)
        .with_idle_connection_timeout(limits::IDLE_TIMEOUT);
    let me = keypair.public().to_peer_id();
    Swarm::new(ways.boxed(), behaviour, me, config)
}
