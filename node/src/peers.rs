//! Node-to-node transport: libp2p over QUIC, and over TCP where no UDP gets through.
//!
//! One libp2p swarm, one control stream and a few pooled data streams per neighbor. A connection
//! becomes a neighbor when both sides have shown a ticket of the tracker in their first frame;
//! before that nothing is answered. Spans are verified item by item while they arrive, and only
//! verified items reach the [`ChunkSink`].
//!
//! Everything is bounded: streams, windows, queues, tables, rates ([`limits`]). What happens when
//! something is full is said where it is declared. Every method of [`PeerHandle`] returns at once,
//! so that one loop may both call it and drain the [`PeerEvent`]s; those events wait for that loop,
//! which is the back pressure on everything here.
//!
//! Not here: whom to connect to, what to fetch from whom and whom to serve. The swarm core decides.

mod address;
mod behaviour;
mod fetch;
mod frame;
mod handle;
mod hub;
mod introductions;
pub mod limits;
mod network_thread;
mod pool;
mod port;
mod quic;
mod rate;
mod read_buffer;
mod scope;
mod session;
mod settled;
mod sockets;
mod swarm_parts;
mod swarm_task;
mod tcp;
mod tls;
mod upload;
mod ways;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::peer::{PeerLimits, PeerMessage, SpanRequest};
use antiphon_protocol::ticket::RegionClass;
use antiphon_protocol::{ByteCount, ContentId, ErrorCode, Geometry, NodeId, UnixSeconds};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::{FetchId, UploadId};
use ed25519_dalek::VerifyingKey;
use tokio::sync::mpsc;

use crate::span_io::{ChunkSink, SpanSource};
pub use handle::PeerHandle;
pub use port::PeerPort;
pub use scope::is_dialable;
pub use sockets::{Outlets, PeerSockets};

/// The wall clock, as tickets need it.
pub type WallClock = Arc<dyn Fn() -> UnixSeconds + Send + Sync>;

/// What a transport needs to start.
pub struct PeerTransportConfig {
    /// The Ed25519 secret that makes the node's transport key.
    pub identity: [u8; 32],
    /// What to listen on, from [`bind`].
    pub listen: PeerSockets,
    /// Signs the tickets of this network.
    pub tracker_key: VerifyingKey,
    /// What we allow each neighbor.
    pub limits: PeerLimits,
    /// Tells when tickets end.
    pub now: WallClock,
}

/// Opens the ports of a transport, so that they can be told, and the tracker dialed from them,
/// before it starts; port 0 takes a free one. A port that cannot be had over TCP is used over UDP
/// alone, with a warning in the log.
///
/// # Errors
/// If an address cannot be listened on.
pub fn bind(addresses: &[SocketAddr]) -> Result<PeerSockets, StartError> {
    let each = addresses.iter().map(|address| PeerPort::take(*address));
    PeerSockets::open(each.collect::<Result<_, _>>()?)
}

/// Starts the transport.
pub struct PeerTransport;

impl PeerTransport {
    /// Starts the transport on the thread of its sockets. It ends with [`PeerHandle::shutdown`], or
    /// when the last handle is dropped.
    ///
    /// # Errors
    /// If an address cannot be listened on.
    pub async fn start(
        config: PeerTransportConfig,
        sink: Arc<dyn ChunkSink>,
        source: Arc<dyn SpanSource>,
    ) -> Result<(PeerHandle, mpsc::Receiver<PeerEvent>), StartError> {
        network_thread::start(config, sink, source).await
    }
}

/// A span to fetch from a neighbor.
#[derive(Clone, Copy, Debug)]
pub struct FetchOrder {
    /// Names it in [`PeerEvent::Fetch`].
    pub fetch: FetchId,
    /// The neighbor.
    pub node: NodeId,
    /// The rendition, for verification.
    pub content: ContentId,
    /// Its size.
    pub geometry: Geometry,
    /// What to ask.
    pub request: SpanRequest,
}

/// Everything the transport reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// A neighbor is ready for messages and spans.
    Connected {
        /// Who.
        node: NodeId,
        /// Whether we dialed, whichever side got through.
        outbound: bool,
        /// Round trip as measured by the handshakes.
        rtt: Duration,
        /// What it allows us.
        limits: PeerLimits,
        /// Its place, from its ticket.
        region: RegionClass,
    },
    /// A dial has no answer yet. The tracker may introduce us, so that the node dials back.
    Unanswered {
        /// Who.
        node: NodeId,
    },
    /// A dial did not lead to a neighbor.
    DialFailed {
        /// Who.
        node: NodeId,
    },
    /// A neighbor is gone; every fetch on it fails by itself too.
    Disconnected {
        /// Who.
        node: NodeId,
        /// The reason it gave, or the one we gave.
        code: Option<ErrorCode>,
    },
    /// A new measurement of the round trip.
    Rtt {
        /// To whom.
        node: NodeId,
        /// How long.
        rtt: Duration,
    },
    /// A control message; never `Hello`, `Renew` or `Bye`, which the transport handles.
    Message {
        /// From whom.
        node: NodeId,
        /// What it says.
        message: PeerMessage,
    },
    /// A neighbor asks for a span: answer with [`PeerHandle::accept_upload`] or
    /// [`PeerHandle::decline_upload`].
    SpanAsked {
        /// Names it in the answer.
        upload: UploadId,
        /// Who asks.
        node: NodeId,
        /// For what.
        request: SpanRequest,
    },
    /// An accepted upload is over.
    UploadEnded {
        /// Which.
        upload: UploadId,
        /// Bytes that left.
        sent: ByteCount,
        /// Whether the whole span left.
        complete: bool,
    },
    /// News of a fetch.
    Fetch {
        /// Which.
        fetch: FetchId,
        /// What happened.
        event: FetchEvent,
    },
    /// A neighbor, or a node we dialed, did what no honest node does.
    Misbehaved {
        /// Who.
        node: NodeId,
        /// What.
        what: Misbehavior,
    },
}

/// What no honest node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehavior {
    /// No ticket, or one that is forged, expired or another node's.
    #[error("showed no good ticket")]
    Ticket,
    /// Bytes that are no legal frame.
    #[error("sent a malformed frame")]
    Malformed,
    /// A legal frame or stream at the wrong time.
    #[error("sent something out of turn")]
    OutOfTurn,
}

/// Why the transport did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The secret is not a key.
    #[error("the node's identity is not an Ed25519 secret; delete it to make a new one")]
    Identity,
    /// The address is taken or does not exist.
    #[error("cannot listen for peers on {address}: {reason}; choose another address or port 0")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The system gives no thread.
    #[error("no thread for connections between nodes: {0}; close other programs")]
    Thread(String),
    /// The system has no randomness or no usable ciphers.
    #[error("connections between nodes cannot be secured: {0}; report this as a bug")]
    Transport(String),
}
