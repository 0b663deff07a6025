//! TCP between nodes, for networks that let no UDP through: TLS 1.3 with the certificates of QUIC,
//! then yamux.
//!
//! libp2p's own TCP opens its sockets itself, so nobody could take the port before the tracker is
//! told, and bounds neither strangers nor what the system keeps. Without its negotiation in front,
//! a network sees nothing but TLS.
//!
//! Not here: when TCP is used at all ([`ways`](super::ways)).

mod handshake;
mod listener;
mod muxer;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll};

use antiphon_transport::muxed::{ALPN, MuxError};
use antiphon_transport::port::{self, ListenOptions};
use futures::future::BoxFuture;
use futures_rustls::{TlsAcceptor, TlsConnector};
use libp2p::PeerId;
use libp2p::core::transport::{ListenerId, TransportEvent};
use tokio::sync::Semaphore;

pub(super) use self::handshake::dial;
use self::listener::Listener;
use self::muxer::Muxer;
use super::address::tcp_multiaddr;
use super::limits;
use super::tls::{PeerTls, TlsError};

const LISTEN: ListenOptions = ListenOptions {
    only_v6: true,
    bytes: limits::TCP_SYSTEM_BYTES,
    backlog: limits::TCP_BACKLOG,
};

/// What goes wrong with a connection or the socket under it.
#[derive(Debug, thiserror::Error)]
pub(super) enum TcpError {
    #[error("the TCP socket failed: {0}")]
    Socket(#[from] io::Error),
    #[error("the handshake took too long")]
    HandshakeTimeout,
    #[error("the peer has no usable certificate")]
    Certificate,
    #[error("another node answers there")]
    WrongPeer,
    #[error(transparent)]
    Connection(#[from] MuxError),
    #[error("the address is none over TCP")]
    Address,
}

pub(super) type Connected = Result<(PeerId, Muxer), TcpError>;
pub(super) type Event = TransportEvent<BoxFuture<'static, Connected>, TcpError>;

/// The TCP sockets of a node.
pub(super) struct TcpTransport {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    /// Listening already, to be looked at.
    held: Vec<TcpListener>,
    /// As many as the configuration has addresses.
    listeners: Vec<Listener>,
    /// At most two for each listener.
    events: VecDeque<Event>,
    /// One permit for each handshake of a stranger, over all listeners.
    handshakes: Arc<Semaphore>,
}

impl TcpTransport {
    /// Addresses of `held`, from [`bind`], are listened on there; others take a socket of their own.
    pub(super) fn new(tls: &PeerTls, held: Vec<TcpListener>) -> Result<Self, TlsError> {
        Ok(Self {
            acceptor: Arc::new(tls.server(ALPN)?).into(),
            connector: Arc::new(tls.client(ALPN)?).into(),
            held,
            listeners: Vec::new(),
            events: VecDeque::new(),
            handshakes: Arc::new(Semaphore::new(limits::TCP_HANDSHAKES_MAX)),
        })
    }

    /// What [`dial`] needs.
    pub(super) fn connector(&self) -> TlsConnector {
        self.connector.clone()
    }

    pub(super) fn listen_on(&mut self, id: ListenerId, address: SocketAddr) -> io::Result<()> {
        let mut held = self.held.iter();
        let held = held.position(|held| held.local_addr().is_ok_and(|at| at == address));
        let socket = match held {
            Some(held) => self.held.swap_remove(held),
            None => bind(address)?,
        };
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let taken = socket.local_addr()?;
        self.listeners.push(Listener::new(
            id,
            (socket, taken),
            self.acceptor.clone(),
            Arc::clone(&self.handshakes),
        ));
        self.events.push_back(TransportEvent::NewAddress {
            listener_id: id,
            listen_addr: tcp_multiaddr(taken),
        });
        Ok(())
    }

    /// Takes no new connections; those there are stay.
    pub(super) fn remove_listener(&mut self, id: ListenerId) -> bool {
        let Some(place) = self.listeners.iter().position(|one| one.id() == id) else {
            return false;
        };
        self.listeners.remove(place);
        self.events.push_back(TransportEvent::ListenerClosed {
            listener_id: id,
            reason: Ok(()),
        });
        true
    }

    /// Whoever calls anything else here polls afterwards: the swarm does.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        for (place, listener) in self.listeners.iter_mut().enumerate() {
            if let Poll::Ready(event) = listener.poll(context) {
                // The others come first next time.
                self.listeners.rotate_left(place + 1);
                return Poll::Ready(event);
            }
        }
        Poll::Pending
    }
}

/// A socket that listens.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    port::listen(address, LISTEN)
}
