//! The QUIC side: endpoint, limits, admission of connections.
//!
//! Connections are served from their first packet on (0-RTT and 0.5-RTT): every request only
//! reads, so a replayed one costs an answer and changes nothing.

mod request;
mod transport;

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::ErrorCode;
use antiphon_protocol::admission::{Admission, AdmissionLimits, Verdict};
use antiphon_protocol::rate::Rate;
use quinn::{Connection, Endpoint, EndpointConfig, Incoming, TokioRuntime, VarInt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use super::answering::{Answering, duration};
use super::certificate::Certificate;
use super::config::OriginConfig;

/// The running QUIC side.
pub(crate) struct QuicSide {
    endpoint: Endpoint,
    tasks: TaskTracker,
}

/// What the accept loop needs.
struct Entrance {
    answering: Arc<Answering>,
    admission: Admission,
    start: Instant,
    tasks: TaskTracker,
}

impl QuicSide {
    /// Serves QUIC on `socket` until `stop`.
    pub(crate) fn start(
        config: &OriginConfig,
        certificate: &Certificate,
        socket: UdpSocket,
        answering: Arc<Answering>,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let server = transport::server_config(config, certificate)?;
        let endpoint = Endpoint::new(
            EndpointConfig::default(),
            Some(server),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let tasks = TaskTracker::new();
        let entrance = Entrance {
            answering,
            admission: Admission::new(limits(config), rand::random()),
            start: Instant::now(),
            tasks: tasks.clone(),
        };
        let incoming = endpoint.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    incoming = incoming.accept() => match incoming {
                        Some(incoming) => entrance.decide(incoming),
                        None => break,
                    },
                }
            }
        });
        Ok(Self { endpoint, tasks })
    }

    /// Lets running answers end until `deadline`, then closes everything.
    pub(crate) async fn drain(self, deadline: Instant) {
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!("answers were still running at the end of the drain time");
        }
        let code = ErrorCode::GOING_AWAY;
        self.endpoint
            .close(stream_code(code), code.text().as_bytes());
        let _ = timeout(CLOSE_TIMEOUT, self.endpoint.wait_idle()).await;
    }
}

impl Drop for QuicSide {
    fn drop(&mut self) {
        let code = ErrorCode::GOING_AWAY;
        self.endpoint
            .close(stream_code(code), code.text().as_bytes());
    }
}

fn limits(config: &OriginConfig) -> AdmissionLimits {
    AdmissionLimits {
        connections: config.quic_connections_max,
        connections_per_address: config.quic_connections_per_address,
        // 0-RTT requests are answered while it is under way, so it costs what a connection does.
        handshakes: config.quic_connections_max,
        handshakes_of_address: config.quic_connections_per_address,
        unproven_handshakes: config.unproven_handshakes_max,
        handshakes_per_address: Rate::per_second(
            config.handshakes_per_address_per_second,
            config.handshakes_per_address_burst,
        ),
    }
}

impl Entrance {
    /// Takes the connection, sends it back to prove its address, or refuses it.
    fn decide(&self, incoming: Incoming) {
        let metrics = &self.answering.metrics;
        let proven = incoming.remote_address_validated();
        let from = incoming.remote_address().ip();
        let place = match self.admission.decide(from, proven, self.start.elapsed()) {
            Verdict::Admit(place) => Arc::new(place),
            Verdict::Prove => {
                metrics.quic_retries.add(1);
                // It is unproven, so a retry is always legal.
                let _ = incoming.retry();
                return;
            }
            verdict @ (Verdict::Full | Verdict::AddressFull) => {
                metrics.quic_connections_refused.add(1);
                if matches!(verdict, Verdict::AddressFull) {
                    metrics.quic_connections_refused_by_address.add(1);
                }
                incoming.refuse();
                return;
            }
        };
        let Ok(connecting) = incoming.accept() else {
            return;
        };
        let Ok((connection, established)) = connecting.into_0rtt() else {
            return;
        };
        metrics.quic_connections.add(1);
        tokio::spawn({
            let (connection, place) = (connection.clone(), Arc::clone(&place));
            async move {
                let established = timeout(HANDSHAKE_TIMEOUT, established).await;
                place.handshake_over(established.is_ok() && connection.close_reason().is_none());
                if established.is_err() {
                    connection.close(stream_code(ErrorCode::CANCELED), b"handshake took too long");
                }
            }
        });
        let (answering, tasks) = (Arc::clone(&self.answering), self.tasks.clone());
        tokio::spawn(async move {
            serve_connection(&connection, &answering, &tasks).await;
            drop(place);
        });
    }
}

/// One task a request; the transport's stream limit bounds their number.
async fn serve_connection(
    connection: &Connection,
    answering: &Arc<Answering>,
    tasks: &TaskTracker,
) {
    // Ends when the connection does; a silent one ends by its idle timeout.
    while let Ok((send, recv)) = connection.accept_bi().await {
        let answering = Arc::clone(answering);
        tasks.spawn(async move { request::serve(&answering, send, recv).await });
    }
}

fn stream_code(code: ErrorCode) -> VarInt {
    VarInt::from_u32(u32::from(code.0))
}

/// Several round trips around the world with a lost packet. Guess.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// For the last packets to leave. Guess.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// The idle timeout as the transport wants it.
fn idle_timeout(config: &OriginConfig) -> Option<quinn::IdleTimeout> {
    duration(config.idle_timeout).try_into().ok()
}
