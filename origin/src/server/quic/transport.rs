//! TLS and transport settings of the QUIC side, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::version::ORIGIN_ALPN;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ServerConfig, TransportConfig, VarInt};
use rustls::crypto::ring::default_provider;
use rustls::server::ServerSessionMemoryCache;

use super::idle_timeout;
use crate::server::StartError;
use crate::server::certificate::Certificate;
use crate::server::config::OriginConfig;

/// Everything a listening endpoint is told.
pub(super) fn server_config(
    config: &OriginConfig,
    certificate: &Certificate,
) -> Result<ServerConfig, StartError> {
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der.clone()], certificate.key.clone_key())?;
    tls.alpn_protocols = vec![ORIGIN_ALPN.to_vec()];
    // The only value besides zero that QUIC allows; what may be sent is bounded by the windows.
    tls.max_early_data_size = u32::MAX;
    // rustls accepts 0-RTT only for sessions the server itself remembers, so after a restart each
    // node's first connection costs one round trip more.
    tls.session_storage = ServerSessionMemoryCache::new(config.tls_sessions);
    let crypto = QuicServerConfig::try_from(tls).map_err(|_| StartError::NoCipher)?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport(config)))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_MAX * INCOMING_MAX as u64);
    Ok(server)
}

fn transport(config: &OriginConfig) -> TransportConfig {
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW_BYTES);
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES * STREAMS_MAX))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(congestion))
        .initial_rtt(INITIAL_RTT)
        .max_idle_timeout(idle_timeout(config));
    transport
}

/// Holds a whole head (64 KiB, 3 s of music at 160 kbit/s) with its inner nodes, the packets'
/// headers and the handshake, 72 KiB in all, so that it arrives one round trip after it was asked
/// for. With 64 KiB the last packets were seen to come one round trip later.
const INITIAL_WINDOW_BYTES: u64 = 80 * 1024;

/// The first window is spread over this guess; measured with 10 ms, the default is 333 ms. Too
/// small a guess only costs a few repeated handshake packets on long ways.
const INITIAL_RTT: Duration = Duration::from_millis(10);

/// Requests of one node at a time. A play needs two or three; hedges and prefetch the rest. Guess.
const STREAMS_MAX: u32 = 16;

/// A request frame is at most 1,028 bytes.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024;

/// Sent but not acknowledged bytes of one connection: 100 Mbit/s at 40 ms.
const SEND_WINDOW_BYTES: u64 = 512 * 1024;

/// Handshakes that wait for the accept loop, and what each may buffer: the reliability study's
/// values against floods. 16 KiB holds eight 0-RTT requests.
const INCOMING_MAX: usize = 64;
const INCOMING_BYTES_MAX: u64 = 16 * 1024;
