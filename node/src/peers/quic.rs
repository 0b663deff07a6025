//! QUIC as libp2p's transport: the same wire as libp2p's own, with our limits and ciphers.
//!
//! libp2p-quic neither bounds what it keeps for sending nor what strangers cause before their
//! handshake, starts with a window smaller than a chunk with its hashes, and prefers a cipher that
//! costs more than AES where the processor helps with AES.
//!
//! Not here: who dials whom through routers ([`introductions`](super::introductions)), changes of
//! interfaces, and whether the peer is the one dialed; the swarm compares that.

mod config;
mod handshake;
mod listener;
mod muxer;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::PeerId;
use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use libp2p::core::{Endpoint as Role, Multiaddr};
use libp2p::multiaddr::Protocol;
use quinn::Endpoint;
use socket2::{Domain, Socket, Type};
use tokio::sync::Semaphore;

use self::config::Config;
pub(super) use self::config::ConfigError;
use self::listener::Listener;
pub(super) use self::muxer::Muxer;
use super::address::multiaddr;
use super::limits;
use super::sockets::{any_port, endpoint};
use super::tls::{PeerTls, SERVER_NAME};

/// What goes wrong with a connection or the socket under it.
#[derive(Debug, thiserror::Error)]
pub(super) enum QuicError {
    #[error("the UDP socket failed: {0}")]
    Socket(#[from] io::Error),
    #[error("cannot dial: {0}")]
    Dial(#[from] quinn::ConnectError),
    #[error("the connection ended: {0}")]
    Connection(#[from] quinn::ConnectionError),
    #[error("the handshake took too long")]
    HandshakeTimeout,
    #[error("the peer has no usable certificate")]
    Certificate,
}

impl QuicError {
    /// Whether it says that packets come back, so that UDP gets through.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Certificate => true,
            Self::Connection(ended) => crate::two_ways::is_answer(ended),
            Self::Socket(_) | Self::Dial(_) | Self::HandshakeTimeout => false,
        }
    }
}

type Connected = Result<(PeerId, Muxer), QuicError>;
type Event = TransportEvent<BoxFuture<'static, Connected>, QuicError>;

/// The sockets of a node.
pub(super) struct QuicTransport {
    config: Config,
    /// Open already, to be listened on.
    held: Vec<Endpoint>,
    /// As many as the configuration has addresses.
    listeners: Vec<Listener>,
    /// For dialing where nothing listens, one for each family at most.
    dialers: Vec<(SocketAddr, Endpoint)>,
    /// At most two for each listener.
    events: VecDeque<Event>,
    /// One permit for each handshake of a stranger, over all listeners.
    handshakes: Arc<Semaphore>,
    waker: Option<Waker>,
}

impl QuicTransport {
    /// Addresses of `held` are listened on there; others take a socket of their own.
    pub(super) fn new(tls: &PeerTls, held: Vec<Endpoint>) -> Result<Self, ConfigError> {
        Ok(Self {
            config: Config::new(tls)?,
            held,
            listeners: Vec::new(),
            dialers: Vec::new(),
            events: VecDeque::new(),
            handshakes: Arc::new(Semaphore::new(limits::PENDING_INCOMING_MAX as usize)),
            waker: None,
        })
    }

    fn tell(&mut self, event: Event) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn listener(&mut self, address: SocketAddr) -> io::Result<Endpoint> {
        let mut held = self.held.iter();
        let held = held.position(|held| held.local_addr().is_ok_and(|at| at == address));
        let server = Some(self.config.server.clone());
        match held {
            Some(held) => {
                let held = self.held.swap_remove(held);
                held.set_server_config(server);
                Ok(held)
            }
            None => endpoint(server, bind(address)?),
        }
    }

    /// The endpoint that dials `to`: the one that listens, because NATs then give both directions
    /// one mapping.
    fn endpoint_for(&mut self, to: SocketAddr, port: PortUse) -> io::Result<Endpoint> {
        let from = any_port(to.ip());
        if port == PortUse::New {
            return endpoint(None, bind(from)?);
        }
        if let Some(listener) = self.listeners.iter().find(|listener| listener.reaches(to)) {
            return Ok(listener.endpoint());
        }
        if let Some((_, endpoint)) = self.dialers.iter().find(|(bound, _)| *bound == from) {
            return Ok(endpoint.clone());
        }
        let dialer = endpoint(None, bind(from)?)?;
        self.dialers.push((from, dialer.clone()));
        Ok(dialer)
    }
}

impl Transport for QuicTransport {
    type Output = (PeerId, Muxer);
    type Error = QuicError;
    type ListenerUpgrade = BoxFuture<'static, Connected>;
    type Dial = BoxFuture<'static, Connected>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<QuicError>> {
        let wanted =
            quic_address(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        let endpoint = self.listener(wanted).map_err(failed)?;
        let taken = endpoint.local_addr().map_err(failed)?;
        let handshakes = Arc::clone(&self.handshakes);
        self.listeners
            .push(Listener::new(id, endpoint, taken, handshakes));
        // Once something listens, everything new goes out from there.
        self.dialers
            .retain(|(bound, _)| bound.is_ipv4() != taken.is_ipv4());
        self.tell(TransportEvent::NewAddress {
            listener_id: id,
            listen_addr: multiaddr(taken),
        });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let Some(place) = self.listeners.iter().position(|one| one.id() == id) else {
            return false;
        };
        self.listeners.remove(place).close();
        self.tell(TransportEvent::ListenerClosed {
            listener_id: id,
            reason: Ok(()),
        });
        true
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<QuicError>> {
        let reachable = |to: &SocketAddr| to.port() != 0 && !to.ip().is_unspecified();
        let to = quic_address(&address)
            .filter(|to| reachable(to) && opts.role == Role::Dialer)
            .ok_or(TransportError::MultiaddrNotSupported(address))?;
        let endpoint = self.endpoint_for(to, opts.port_use).map_err(failed)?;
        let client = self.config.client.clone();
        Ok(async move {
            let connecting = endpoint.connect_with(client, to, SERVER_NAME)?;
            handshake::finish(connecting).await
        }
        .boxed())
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        let mut ended = None;
        for (place, listener) in self.listeners.iter_mut().enumerate() {
            match listener.poll(context) {
                Poll::Ready(Some(event)) => {
                    // The others come first next time.
                    self.listeners.rotate_left(place + 1);
                    return Poll::Ready(event);
                }
                Poll::Ready(None) => ended = Some(place),
                Poll::Pending => {}
            }
        }
        if let Some(place) = ended {
            let listener_id = self.listeners.remove(place).id();
            return Poll::Ready(TransportEvent::ListenerClosed {
                listener_id,
                reason: Err(io::Error::other("its socket failed").into()),
            });
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

fn failed(error: io::Error) -> TransportError<QuicError> {
    TransportError::Other(error.into())
}

/// A socket to listen on or dial from.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        // So that both families can have the same port.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The address, if it is one of QUIC over UDP, with or without the peer's name behind it.
fn quic_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Udp(port) = parts.next()? else {
        return None;
    };
    let quic = matches!(parts.next()?, Protocol::QuicV1);
    let rest = parts.all(|part| matches!(part, Protocol::P2p(_)));
    (quic && rest).then(|| SocketAddr::new(ip, port))
}
