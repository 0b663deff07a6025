//! Who is let in over QUIC and over TCP, and how many at once. Not here: what a connection may ask
//! (`connection`) and the answers (`answers`).

mod answers;
mod attach;
mod connection;
mod notices;
mod placements;
mod quic;
mod tcp;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_protocol::ErrorCode;
use antiphon_protocol::admission::{Admission, AdmissionLimits, Place, Verdict};
use antiphon_protocol::rate::Rate;
use antiphon_transport::connection::Connection;
use antiphon_transport::port;
use quinn::Endpoint;
use tokio_util::task::TaskTracker;

use crate::context::Context;
use crate::keys::{Keys, KeysError};
use crate::metrics::Way;

/// Requests a connection may have under way: a node asks for a few tracks at a time.
const STREAMS_MAX: usize = 32;
/// Bytes of all requests of a connection that may be on their way.
const UNREAD_MAX: usize = 256 * 1024;
/// Bytes of replies kept for one connection: two of the largest.
const UNSENT_MAX: usize = 512 * 1024;
/// A silent node is gone after this; keep-alives come three times as often.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Handshakes from unproven addresses, from which on newcomers prove theirs first, and the most
/// handshakes there may be (`docs/protocol.md`, "Limits").
const RETRY_FROM: usize = 16;
const HANDSHAKES_MAX: usize = 64;
/// Of those, what one proven address may have: half of those over TCP, where who says nothing holds
/// one for seconds.
const HANDSHAKES_OF_ADDRESS_MAX: usize = 16;

/// What nodes reach the tracker by: one port, over UDP and over TCP.
pub(crate) struct Sockets {
    pub endpoint: Endpoint,
    pub address: SocketAddr,
    tcp: tcp::Listener,
}

impl Sockets {
    /// Opens both with our limits.
    pub(crate) fn bind(keys: &Keys, address: SocketAddr) -> Result<Self, BindError> {
        let config = quic::config(keys)?;
        let acceptor = tcp::acceptor(keys)?;
        let failed = |source| BindError::Socket { address, source };
        let (udp, tcp) = port::take(address, quic::bind, tcp::bind).map_err(failed)?;
        let endpoint = quic::endpoint(config, udp).map_err(failed)?;
        let tcp = tcp.map_err(|source| BindError::Tcp { address, source })?;
        let tcp = tcp::Listener::new(tcp, acceptor).map_err(failed)?;
        Ok(Self {
            address: endpoint.local_addr().map_err(failed)?,
            endpoint,
            tcp,
        })
    }
}

/// Accepts connections until the tracker stops, then lets each finish what it is doing.
pub(crate) async fn run(context: Arc<Context>, sockets: Sockets) {
    let Sockets { endpoint, tcp, .. } = sockets;
    let door = Door {
        admission: admission(&context),
        start: Instant::now(),
        tasks: TaskTracker::new(),
        context,
    };
    tokio::join!(quic::accept(&door, &endpoint), tcp.accept(&door));
    door.tasks.close();
    door.tasks.wait().await;
    endpoint.close(u32::from(ErrorCode::GOING_AWAY.0).into(), b"");
    endpoint.wait_idle().await;
}

/// Somebody who may begin a handshake.
struct Newcomer {
    place: Place,
    /// Only who gets packets here can finish the handshake. Afterwards packets may claim another
    /// address before they prove it.
    from: SocketAddr,
    way: Way,
    /// For the handshake.
    patience: Duration,
}

/// Where everybody comes in, whichever way.
struct Door {
    context: Arc<Context>,
    admission: Admission,
    start: Instant,
    tasks: TaskTracker,
}

impl Door {
    /// Decides by load alone, before any cryptography.
    fn decide(&self, from: IpAddr, proven: bool) -> Verdict {
        let metrics = &self.context.metrics;
        let verdict = self.admission.decide(from, proven, self.start.elapsed());
        match verdict {
            Verdict::Admit(_) => {}
            Verdict::Prove => metrics.retries.add(1),
            Verdict::Full => metrics.turned_away.add(1),
            Verdict::AddressFull => metrics.turned_away_by_address.add(1),
        }
        verdict
    }

    /// Serves whoever has a place, from the handshake on.
    fn let_in(
        &self,
        newcomer: Newcomer,
        handshake: impl Future<Output = Option<Connection>> + Send + 'static,
    ) {
        let context = Arc::clone(&self.context);
        self.tasks.spawn(async move {
            let connected = tokio::time::timeout(newcomer.patience, handshake).await;
            let connected = connected.ok().flatten();
            newcomer.place.handshake_over(connected.is_some());
            if let Some(link) = connected {
                let _counted = context.metrics.connections(newcomer.way).opened();
                connection::run(Arc::clone(&context), link, newcomer.from).await;
            }
        });
    }
}

fn admission(context: &Context) -> Admission {
    let limits = &context.config.limits;
    let limits = AdmissionLimits {
        connections: limits.connections as usize,
        connections_per_address: limits.address_connections as usize,
        handshakes: HANDSHAKES_MAX,
        handshakes_of_address: HANDSHAKES_OF_ADDRESS_MAX,
        unproven_handshakes: RETRY_FROM,
        handshakes_per_address: Rate::per_second(
            limits.address_handshakes_per_second,
            limits.address_handshakes_burst,
        ),
    };
    Admission::new(limits, rand::random())
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
    /// The port is free over UDP, but not over TCP.
    #[error("cannot listen on {address} over TCP: {source}; free that TCP port, or choose another")]
    Tcp {
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
