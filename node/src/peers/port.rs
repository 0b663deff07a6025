//! The port of a node: one number, over UDP and over TCP.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use antiphon_transport::port;

use super::{StartError, quic, tcp};

/// A port that is taken.
#[derive(Debug)]
pub struct PeerPort {
    /// For QUIC.
    pub(super) udp: UdpSocket,
    /// For those whose network lets no UDP through; nothing if somebody else has it.
    pub(super) tcp: Option<TcpListener>,
}

impl PeerPort {
    /// The two halves, for whoever has them already.
    #[must_use]
    pub const fn new(udp: UdpSocket, tcp: Option<TcpListener>) -> Self {
        Self { udp, tcp }
    }

    /// The address with the port taken.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Takes both halves, and goes on with UDP alone if need be.
    pub(super) fn take(wanted: SocketAddr) -> Result<Self, StartError> {
        let listen = |error: io::Error| StartError::Listen {
            address: wanted,
            reason: error.to_string(),
        };
        let udp = |wanted| {
            let socket = quic::bind(wanted)?;
            let taken = socket.local_addr()?;
            Ok((socket, taken))
        };
        let (udp, tcp) = port::take(wanted, udp, tcp::bind).map_err(listen)?;
        if let Err(error) = &tcp {
            tracing::warn!(
                address = %wanted, %error,
                "cannot listen over TCP: nodes whose network lets no UDP through will not reach \
                 this one; free the TCP port or choose another"
            );
        }
        Ok(Self::new(udp, tcp.ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_the_same_over_both() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let port = PeerPort::take(any).expect("a free port");
        let tcp = port.tcp.as_ref().expect("TCP too").local_addr();
        assert_eq!(
            tcp.expect("an address"),
            port.address().expect("an address")
        );
    }

    #[test]
    fn a_port_taken_over_tcp_still_serves_over_udp() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let other = TcpListener::bind(any).expect("a free port");
        let taken = other.local_addr().expect("an address");
        // Somebody else may have the UDP port of that number.
        if let Ok(port) = PeerPort::take(taken) {
            assert!(port.tcp.is_none());
        }
    }
}
