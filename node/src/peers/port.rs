//! The port of a node: one number, over UDP and over TCP.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::{StartError, quic, tcp};

/// Free UDP ports looked at until one is free over TCP too: on a machine full of connections every
/// second port may be taken. Guess.
const TRIES: usize = 8;

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
        // Held until the end, so that no port is tried twice.
        let mut half = Vec::new();
        loop {
            let udp = quic::bind(wanted).map_err(listen)?;
            let address = udp.local_addr().map_err(listen)?;
            match tcp::bind(address) {
                Ok(tcp) => return Ok(Self::new(udp, Some(tcp))),
                Err(error) if wanted.port() != 0 || half.len() + 1 == TRIES => {
                    tracing::warn!(
                        %address, %error,
                        "cannot listen over TCP: nodes whose network lets no UDP through will not \
                         reach this one; free the TCP port or choose another"
                    );
                    return Ok(Self::new(udp, None));
                }
                Err(_) => half.push(udp),
            }
        }
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
