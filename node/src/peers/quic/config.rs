//! What quinn and rustls are told: ciphers, windows and limits.

use std::sync::Arc;
use std::time::Duration;

use libp2p::identity::Keypair;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig,
    ValidationTokenConfig, VarInt,
};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;

use super::identity::PeerVerifier;
use crate::peers::limits;

/// libp2p's name of itself in the handshake.
const ALPN: &[u8] = b"libp2p";
/// rustls wants a name although nobody sends or looks at it.
pub(super) const SERVER_NAME: &str = "peer";
/// QUIC version 1.
const VERSION: u32 = 1;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(in crate::peers) enum ConfigError {
    #[error("no certificate for the node's key: {0}")]
    Certificate(#[from] libp2p_tls::certificate::GenError),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("TLS lacks the cipher QUIC starts with: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
}

/// For every socket the same.
pub(super) struct Config {
    pub(super) endpoint: EndpointConfig,
    pub(super) server: ServerConfig,
    pub(super) client: ClientConfig,
}

impl Config {
    pub(super) fn new(keypair: &Keypair) -> Result<Self, ConfigError> {
        let own = certified(keypair)?;
        let transport = Arc::new(transport());
        let crypto = QuicServerConfig::try_from(server_tls(Arc::clone(&own))?)?;
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
        let crypto = QuicClientConfig::try_from(client_tls(own)?)?;
        let mut client = ClientConfig::new(Arc::new(crypto));
        client.transport_config(transport);
        let mut endpoint = EndpointConfig::default();
        endpoint.supported_versions(vec![VERSION]);
        Ok(Self {
            endpoint,
            server,
            client,
        })
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

/// AES first: on raw streams 537 MB a CPU second instead of 335 with ChaCha20 first (measured, a
/// processor with AES instructions).
fn provider() -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

/// The certificate with its key. rustls' own check of a pair fails on libp2p's critical extension.
fn certified(keypair: &Keypair) -> Result<Arc<SingleCertAndKey>, ConfigError> {
    let (certificate, key) = libp2p_tls::certificate::generate(keypair)?;
    let key = provider().key_provider.load_private_key(key)?;
    let pair = CertifiedKey::new(vec![certificate], key);
    Ok(Arc::new(SingleCertAndKey::from(pair)))
}

fn server_tls(own: Arc<SingleCertAndKey>) -> Result<rustls::ServerConfig, rustls::Error> {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(PeerVerifier))
        .with_cert_resolver(own);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // Every connection proves the key anew, and nothing is kept for strangers.
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

fn client_tls(own: Arc<SingleCertAndKey>) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier))
        .with_client_cert_resolver(own);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.enable_sni = false;
    // Sessions are kept by server name, and that is the same for all peers.
    tls.resumption = Resumption::disabled();
    Ok(tls)
}
