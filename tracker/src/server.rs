//! The QUIC side: who is let in, and how many at once. Not here: what a connection may ask
//! (`connection`) and the answers (`answers`).

mod answers;
mod connection;
mod notices;
mod placements;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_protocol::ErrorCode;
use antiphon_protocol::admission::{Admission, AdmissionLimits, Place, Verdict};
use antiphon_protocol::rate::Rate;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, IdleTimeout, Incoming, ServerConfig, TransportConfig, VarInt};
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::keys::{Keys, KeysError};

/// Requests a connection may have under way: a node asks for a few tracks at a time.
const STREAMS_MAX: u32 = 32;
/// Bytes of one request that may be on their way: a full announce fits.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes of all requests of a connection that may be on their way.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// Bytes of replies kept for one connection: two of the largest.
const SEND_WINDOW: u64 = 512 * 1024;
/// A silent node is gone after this; its keep-alives come three times as often.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Handshakes from unproven addresses, from which on newcomers prove theirs first, and the most
/// handshakes there may be (`docs/protocol.md`, "Limits").
const RETRY_FROM: usize = 16;
const HANDSHAKES_MAX: usize = 64;
/// Bytes kept of a connection before it is accepted, each and together.
const INCOMING_BYTES: u64 = 16 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 1024 * 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the UDP socket with our limits.
pub(crate) fn bind(keys: &Keys, address: SocketAddr) -> Result<Endpoint, BindError> {
    let tls = QuicServerConfig::try_from(keys.tls()?)
        .map_err(|error| BindError::Tls(error.to_string()))?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport()))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    Endpoint::server(config, address).map_err(|source| BindError::Socket { address, source })
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("half a minute fits a QUIC varint");
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE));
    transport
}

/// Accepts connections until the tracker stops, then lets each finish what it is doing.
pub(crate) async fn run(context: Arc<Context>, endpoint: Endpoint) {
    let admission = admission(&context);
    let start = Instant::now();
    let tasks = TaskTracker::new();
    loop {
        let incoming = tokio::select! {
            () = context.stop.cancelled() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else {
            break;
        };
        let Some((incoming, place)) = admit(&context, &admission, start, incoming) else {
            continue;
        };
        let context = Arc::clone(&context);
        // Only who gets packets here can finish the handshake. Afterwards packets may claim another
        // address before they prove it.
        let proven = incoming.remote_address();
        tasks.spawn(async move {
            let Ok(connecting) = incoming.accept() else {
                return;
            };
            let connected = tokio::time::timeout(HANDSHAKE_TIMEOUT, connecting).await;
            let connected = connected.ok().and_then(Result::ok);
            place.handshake_over(connected.is_some());
            if let Some(quic) = connected {
                context.metrics.connections.add(1);
                connection::run(context, quic, proven).await;
            }
        });
    }
    endpoint.set_server_config(None);
    tasks.close();
    tasks.wait().await;
    endpoint.close(close_code(ErrorCode::GOING_AWAY), b"");
    endpoint.wait_idle().await;
}

fn admission(context: &Context) -> Admission {
    let limits = &context.config.limits;
    let limits = AdmissionLimits {
        connections: limits.connections as usize,
        connections_per_address: limits.address_connections as usize,
        handshakes: HANDSHAKES_MAX,
        unproven_handshakes: RETRY_FROM,
        handshakes_per_address: Rate::per_second(
            limits.address_handshakes_per_second,
            limits.address_handshakes_burst,
        ),
    };
    Admission::new(limits, rand::random())
}

/// Decides by load alone, before any cryptography.
fn admit(
    context: &Context,
    admission: &Admission,
    start: Instant,
    incoming: Incoming,
) -> Option<(Incoming, Place)> {
    let metrics = &context.metrics;
    let proven = incoming.remote_address_validated();
    match admission.decide(incoming.remote_address().ip(), proven, start.elapsed()) {
        Verdict::Admit(place) => return Some((incoming, place)),
        Verdict::Prove => {
            metrics.retries.add(1);
            // An unvalidated address may always be retried.
            let _ = incoming.retry();
        }
        Verdict::Full => {
            metrics.turned_away.add(1);
            incoming.refuse();
        }
        Verdict::AddressFull => {
            metrics.turned_away_by_address.add(1);
            incoming.refuse();
        }
    }
    None
}

fn close_code(code: ErrorCode) -> VarInt {
    VarInt::from_u32(u32::from(code.0))
}

/// Why no socket could be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The system refused.
    #[error("cannot listen on {address}: {source}; is another tracker running?")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The certificate.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The certificate's key cannot serve QUIC.
    #[error("cannot serve QUIC with the tracker's certificate: {0}")]
    Tls(String),
}
