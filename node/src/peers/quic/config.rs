//! What quinn is told: windows and limits.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, IdleTimeout, ServerConfig, TransportConfig, ValidationTokenConfig, VarInt,
};

use crate::peers::limits;
use crate::peers::tls::{PeerTls, TlsError};

/// libp2p's name of itself in the handshake.
const ALPN: &[u8] = b"libp2p";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(in crate::peers) enum ConfigError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("TLS lacks the cipher QUIC starts with: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
}

/// For every socket the same.
pub(super) struct Config {
    pub(super) server: ServerConfig,
    pub(super) client: ClientConfig,
}

impl Config {
    pub(super) fn new(tls: &PeerTls) -> Result<Self, ConfigError> {
        let transport = Arc::new(transport());
        let crypto = QuicServerConfig::try_from(tls.server(ALPN)?)?;
        let mut server = ServerConfig::with_crypto(Arc::new(crypto));
        // Tokens would let others recognize a node that dials again.
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(0);
        server
            .transport_config(Arc::clone(&transport))
            // The swarm is not told of changed addresses.
            .migration(false)
            .validation_token_config(tokens)
            .max_incoming(limits::PENDING_INCOMING_MAX as usize)
            .incoming_buffer_size(limits::INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(limits::INCOMING_BYTES_TOTAL_MAX);
        let crypto = QuicClientConfig::try_from(tls.client(ALPN)?)?;
        let mut client = ClientConfig::new(Arc::new(crypto));
        client.transport_config(transport);
        Ok(Self { server, client })
    }
}

fn transport() -> TransportConfig {
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let mut start = CubicConfig::default();
    start.initial_window(limits::INITIAL_WINDOW_BYTES);
    let idle = IdleTimeout::from(VarInt::from_u32(millis(limits::IDLE_TIMEOUT)));
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS_MAX))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(limits::CONNECTION_WINDOW_BYTES))
        .send_window(limits::SEND_WINDOW_BYTES.into())
        .congestion_controller_factory(Arc::new(start))
        .initial_rtt(limits::INITIAL_RTT)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(limits::KEEP_ALIVE))
        // It tells whoever is on the way the round trip.
        .allow_spin(false);
    transport
}
