//! The QUIC side: its limits, and who is asked to prove an address first.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::admission::Verdict;
use antiphon_transport::connection::Connection;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};

use super::{
    BindError, Door, HANDSHAKES_MAX, IDLE_TIMEOUT, Newcomer, STREAMS_MAX, UNREAD_MAX, UNSENT_MAX,
};
use crate::keys::Keys;
use crate::metrics::Way;

/// Bytes of one request that may be on their way: a full announce fits.
const STREAM_WINDOW: u32 = 64 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes kept of a connection before it is accepted, each and together.
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 1024 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is served, and how much of it.
pub(super) fn config(keys: &Keys) -> Result<ServerConfig, BindError> {
    let tls = QuicServerConfig::try_from(keys.tls()?)
        .map_err(|error| BindError::Tls(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport()))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    Ok(config)
}

/// The socket, and where it is.
pub(super) fn bind(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(address)?;
    let taken = socket.local_addr()?;
    Ok((socket, taken))
}

pub(super) fn endpoint(config: ServerConfig, socket: UdpSocket) -> io::Result<Endpoint> {
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new(EndpointConfig::default(), Some(config), socket, runtime)
}

fn transport() -> TransportConfig {
    let count = |number: usize| VarInt::from_u32(u32::try_from(number).unwrap_or(u32::MAX));
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("half a minute fits a QUIC varint");
    transport
        .max_concurrent_bidi_streams(count(STREAMS_MAX))
        .max_concurrent_uni_streams(count(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(count(UNREAD_MAX))
        .send_window(UNSENT_MAX as u64)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE));
    transport
}

/// Accepts connections until the tracker stops.
pub(super) async fn accept(door: &Door, endpoint: &Endpoint) {
    loop {
        let incoming = tokio::select! {
            () = door.context.stop.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            break;
        };
        let proven = incoming.remote_address_validated();
        let from = incoming.remote_address();
        match door.decide(from.ip(), proven) {
            Verdict::Admit(place) => {
                let newcomer = Newcomer {
                    place,
                    from,
                    way: Way::Quic,
                    patience: HANDSHAKE_TIMEOUT,
                };
                let handshake = async move {
                    let connected = incoming.accept().ok()?.await.ok()?;
                    Some(Connection::Quic(connected))
                };
                door.let_in(newcomer, handshake);
            }
            // An unvalidated address may always be retried.
            Verdict::Prove => drop(incoming.retry()),
            Verdict::Full | Verdict::AddressFull => incoming.refuse(),
        }
    }
    endpoint.set_server_config(None);
}
