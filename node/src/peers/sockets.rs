//! The sockets of a node, open before its transport starts, because the tracker is dialed from
//! them: what the tracker then sees is where peers reach this node through its router, and the
//! keep-alives of that connection keep the router's mapping.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use tokio_util::sync::CancellationToken;

use super::network_thread::NetworkThread;
use super::{PeerPort, StartError};

/// QUIC version 1.
const VERSION: u32 = 1;

/// A node's ports, open on the thread that serves them. Dropped, they close.
#[derive(Debug)]
pub struct PeerSockets {
    pub(super) thread: NetworkThread,
    pub(super) udp: Vec<Endpoint>,
    pub(super) tcp: Vec<TcpListener>,
    listening: Vec<SocketAddr>,
}

impl PeerSockets {
    /// Starts the thread with these ports. Nobody is let in before the transport starts.
    ///
    /// # Errors
    /// If the system gives no thread or does not take the sockets.
    pub fn open(ports: Vec<PeerPort>) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::Transport(error.to_string());
        let thread = NetworkThread::start()?;
        let (mut udp, mut tcp, mut listening) = (Vec::new(), Vec::new(), Vec::new());
        for port in ports {
            listening.push(port.address().map_err(failed)?);
            let inside = thread.enter();
            udp.push(endpoint(None, port.udp).map_err(failed)?);
            drop(inside);
            tcp.extend(port.tcp);
        }
        Ok(Self {
            thread,
            udp,
            tcp,
            listening,
        })
    }

    /// The addresses listened on. An unspecified IP stays so: whoever publishes the address knows
    /// better than one interface which IP others reach.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listening
    }

    /// The UDP sockets, to dial others from.
    #[must_use]
    pub fn outlets(&self) -> Outlets {
        Outlets {
            sockets: self.udp.clone(),
            ended: self.thread.ended(),
        }
    }
}

/// The UDP sockets that peers are served on, for dialing from. They work as long as the transport.
#[derive(Clone, Debug, Default)]
pub struct Outlets {
    sockets: Vec<Endpoint>,
    ended: CancellationToken,
}

impl Outlets {
    /// The socket whose packets get to `remote`, if there is one that still works.
    pub(crate) fn towards(&self, remote: SocketAddr) -> Option<Endpoint> {
        if self.ended.is_cancelled() {
            return None;
        }
        let reaching = |outlet: &&Endpoint| {
            let bound = outlet.local_addr();
            bound.is_ok_and(|bound| reaches(bound, remote))
        };
        self.sockets.iter().find(reaching).cloned()
    }

    /// Set when the sockets work no longer. Connections from them then hang instead of ending, if
    /// they were about to send.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

/// Whether packets from a socket bound to `bound` get to `to`.
pub(super) fn reaches(bound: SocketAddr, to: SocketAddr) -> bool {
    let ip = bound.ip();
    bound.is_ipv4() == to.is_ipv4()
        && (ip.is_unspecified() || ip.is_loopback() == to.ip().is_loopback())
}

/// QUIC on a socket. To be called on the transport's own runtime.
pub(super) fn endpoint(server: Option<ServerConfig>, socket: UdpSocket) -> io::Result<Endpoint> {
    let mut config = EndpointConfig::default();
    config.supported_versions(vec![VERSION]);
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime))
}

pub(super) fn any_port(like: IpAddr) -> SocketAddr {
    let any = match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(any, 0)
}
