//! What the transport's tasks share: configuration, tables, and the way to the driver.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use antiphon_protocol::peer::{PeerLimits, PeerMessage};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Ticket;
use antiphon_protocol::{ContentId, ErrorCode, Geometry, Millis, NodeId};
use antiphon_swarm::{FetchId, UploadId};
use ed25519_dalek::VerifyingKey;
use libp2p::PeerId;
use libp2p::swarm::ConnectionId;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::behaviour::Open;
use super::limits;
use super::pool::StreamPool;
use super::rate::TokenBucket;
use super::read_buffer::ReadBuffer;
use super::{Misbehavior, PeerEvent, WallClock};
use crate::span_io::{ChunkSink, SpanSource};

/// An order to the swarm task.
pub(super) enum Command {
    Dial {
        node: NodeId,
        addresses: Vec<SocketAddr>,
    },
    DialBack {
        node: NodeId,
        address: SocketAddr,
    },
    Open {
        peer: PeerId,
        connection: ConnectionId,
        open: Open,
    },
    Close(ConnectionId),
}

/// The driver's answer to a span a neighbor asked for.
pub(super) enum Decision {
    Accept {
        content: ContentId,
        geometry: Geometry,
    },
    Decline {
        code: ErrorCode,
        retry_after: Millis,
    },
}

/// A span asked of us. The decision is taken out once it is made.
struct Asked {
    decision: Option<oneshot::Sender<Decision>>,
    end: CancellationToken,
}

pub(super) struct Hub {
    /// Where the transport's tasks run.
    pub runtime: Handle,
    pub limits: PeerLimits,
    pub tracker_key: VerifyingKey,
    pub now: WallClock,
    pub sink: Arc<dyn ChunkSink>,
    pub source: Arc<dyn SpanSource>,
    pub events: mpsc::Sender<PeerEvent>,
    pub commands: mpsc::Sender<Command>,
    pub ticket: watch::Sender<Option<Signed<Ticket>>>,
    pub listening: OnceLock<Vec<SocketAddr>>,
    /// Ends everything.
    pub stop: CancellationToken,
    /// Only live connections are in here, so their limit bounds it.
    neighbors: Mutex<HashMap<NodeId, Arc<Neighbor>>>,
    /// Dials the driver waits for an answer to; bounded by the dials under way.
    dialing: Mutex<HashSet<NodeId>>,
    /// Bounded by the core's fetches under way.
    fetches: Mutex<HashMap<FetchId, CancellationToken>>,
    /// At most [`limits::UPLOADS_MAX`].
    uploads: Mutex<HashMap<UploadId, Asked>>,
    next_upload: AtomicU64,
    buffers: Mutex<Vec<ReadBuffer>>,
}

/// The parts of a [`Hub`] that its maker chooses.
pub(super) struct HubParts {
    pub limits: PeerLimits,
    pub tracker_key: VerifyingKey,
    pub now: WallClock,
    pub sink: Arc<dyn ChunkSink>,
    pub source: Arc<dyn SpanSource>,
    pub events: mpsc::Sender<PeerEvent>,
    pub commands: mpsc::Sender<Command>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The tables stay consistent at every point where a panic could happen.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// To be called on the transport's own runtime.
    pub(super) fn new(parts: HubParts) -> Self {
        Self {
            runtime: Handle::current(),
            limits: parts.limits,
            tracker_key: parts.tracker_key,
            now: parts.now,
            sink: parts.sink,
            source: parts.source,
            events: parts.events,
            commands: parts.commands,
            ticket: watch::Sender::new(None),
            listening: OnceLock::new(),
            stop: CancellationToken::new(),
            neighbors: Mutex::default(),
            dialing: Mutex::default(),
            fetches: Mutex::default(),
            uploads: Mutex::default(),
            next_upload: AtomicU64::new(0),
            buffers: Mutex::default(),
        }
    }

    /// Tells the driver; waits while it is busy. Nobody listens any more after shutdown.
    pub(super) async fn tell(&self, event: PeerEvent) {
        let _ = self.events.send(event).await;
    }

    /// Tells the driver from where waiting is not possible.
    pub(super) fn tell_later(self: &Arc<Self>, event: PeerEvent) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            let hub = Arc::clone(self);
            self.runtime.spawn(async move { hub.tell(event).await });
        }
    }

    pub(super) fn neighbor(&self, node: NodeId) -> Option<Arc<Neighbor>> {
        lock(&self.neighbors).get(&node).cloned()
    }

    pub(super) fn neighbors(&self) -> Vec<Arc<Neighbor>> {
        lock(&self.neighbors).values().cloned().collect()
    }

    /// Makes a connection a neighbor and says so. A former connection with the same node is over
    /// from here on, and that is said first.
    pub(super) async fn admit(&self, neighbor: &Arc<Neighbor>, connected: PeerEvent) {
        lock(&self.dialing).remove(&neighbor.node);
        let former = lock(&self.neighbors).insert(neighbor.node, Arc::clone(neighbor));
        if let Some(former) = former {
            former.close(ErrorCode::NONE);
            self.retire(&former, None).await;
        }
        self.tell(connected).await;
    }

    /// Ends a neighbor and says so once.
    pub(super) async fn retire(&self, neighbor: &Neighbor, code: Option<ErrorCode>) {
        {
            let mut neighbors = lock(&self.neighbors);
            let same = |kept: &Arc<Neighbor>| kept.connection == neighbor.connection;
            if neighbors.get(&neighbor.node).is_some_and(same) {
                neighbors.remove(&neighbor.node);
            }
        }
        neighbor.over.cancel();
        if !neighbor.retired.swap(true, Ordering::AcqRel) {
            let node = neighbor.node;
            self.tell(PeerEvent::Disconnected { node, code }).await;
        }
    }

    /// Notes that the driver waits for this dial; false if it does already.
    pub(super) fn dial_begins(&self, node: NodeId) -> bool {
        lock(&self.dialing).insert(node)
    }

    /// True if the driver waited for this dial; it does no more.
    pub(super) fn dial_ends(&self, node: NodeId) -> bool {
        lock(&self.dialing).remove(&node)
    }

    /// Whether the driver waits for a dial of this node.
    pub(super) fn is_dialing(&self, node: NodeId) -> bool {
        lock(&self.dialing).contains(&node)
    }

    pub(super) fn fetch_begins(&self, fetch: FetchId) -> CancellationToken {
        let canceled = CancellationToken::new();
        lock(&self.fetches).insert(fetch, canceled.clone());
        canceled
    }

    pub(super) fn fetch_ends(&self, fetch: FetchId) {
        lock(&self.fetches).remove(&fetch);
    }

    pub(super) fn cancel_fetch(&self, fetch: FetchId) {
        if let Some(canceled) = lock(&self.fetches).remove(&fetch) {
            canceled.cancel();
        }
    }

    /// Enters a span asked of us; nothing if too many are under way.
    pub(super) fn upload_begins(
        &self,
    ) -> Option<(UploadId, oneshot::Receiver<Decision>, CancellationToken)> {
        let mut uploads = lock(&self.uploads);
        if uploads.len() >= limits::UPLOADS_MAX {
            return None;
        }
        let upload = UploadId(self.next_upload.fetch_add(1, Ordering::Relaxed));
        let (decide, decision) = oneshot::channel();
        let end = CancellationToken::new();
        uploads.insert(
            upload,
            Asked {
                decision: Some(decide),
                end: end.clone(),
            },
        );
        Some((upload, decision, end))
    }

    pub(super) fn upload_ends(&self, upload: UploadId) {
        lock(&self.uploads).remove(&upload);
    }

    /// Passes the driver's decision on; false if nobody waits for it any more.
    pub(super) fn decide_upload(&self, upload: UploadId, decision: Decision) -> bool {
        lock(&self.uploads)
            .get_mut(&upload)
            .and_then(|asked| asked.decision.take())
            .is_some_and(|decide| decide.send(decision).is_ok())
    }

    pub(super) fn end_upload(&self, upload: UploadId) {
        if let Some(asked) = lock(&self.uploads).get(&upload) {
            asked.end.cancel();
        }
    }

    pub(super) fn buffer(&self) -> ReadBuffer {
        let kept = lock(&self.buffers).pop();
        kept.unwrap_or_else(|| ReadBuffer::new(limits::READ_BUFFER_BYTES))
    }

    pub(super) fn return_buffer(&self, mut buffer: ReadBuffer) {
        buffer.clear();
        let mut buffers = lock(&self.buffers);
        if buffers.len() < limits::READ_BUFFERS_KEPT {
            buffers.push(buffer);
        }
    }
}

/// A connection whose two sides have shown good tickets.
pub(super) struct Neighbor {
    pub node: NodeId,
    pub connection: ConnectionId,
    pub pool: StreamPool,
    /// Spans it asked of us that are under way, and how often it may ask.
    pub asks: Mutex<Asks>,
    /// Set when the neighbor is over: transfers stop.
    pub over: CancellationToken,
    control: mpsc::Sender<PeerMessage>,
    closing: CancellationToken,
    close_code: OnceLock<ErrorCode>,
    retired: AtomicBool,
}

/// What a neighbor asks of us.
pub(super) struct Asks {
    pub under_way: u8,
    pub rate: TokenBucket,
}

impl Neighbor {
    /// A new neighbor, and the messages to send to it.
    pub(super) fn new(
        node: NodeId,
        connection: ConnectionId,
        pool: StreamPool,
    ) -> (Self, mpsc::Receiver<PeerMessage>) {
        let (control, queue) = mpsc::channel(limits::CONTROL_QUEUE_MAX);
        let rate = TokenBucket::new(limits::ASKS_PER_SECOND, limits::ASKS_BURST, Instant::now());
        let neighbor = Self {
            node,
            connection,
            pool,
            asks: Mutex::new(Asks { under_way: 0, rate }),
            over: CancellationToken::new(),
            control,
            closing: CancellationToken::new(),
            close_code: OnceLock::new(),
            retired: AtomicBool::new(false),
        };
        (neighbor, queue)
    }

    /// Queues a control message. A neighbor too slow to take them is closed.
    pub(super) fn send(&self, message: PeerMessage) {
        if self.control.try_send(message).is_err() {
            self.close(ErrorCode::BUSY);
        }
    }

    /// Ends the connection with `Bye`. The first reason given counts.
    pub(super) fn close(&self, code: ErrorCode) {
        let _ = self.close_code.set(code);
        self.closing.cancel();
    }

    /// Waits until somebody wants the connection closed.
    pub(super) async fn closing(&self) -> ErrorCode {
        self.closing.cancelled().await;
        self.close_code.get().copied().unwrap_or(ErrorCode::NONE)
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn asks(&self) -> MutexGuard<'_, Asks> {
        lock(&self.asks)
    }

    /// Reports what no honest node does and ends the connection.
    pub(super) async fn misbehaved(&self, hub: &Hub, what: Misbehavior) {
        let node = self.node;
        tracing::debug!(%node, %what, "a neighbor misbehaved");
        hub.tell(PeerEvent::Misbehaved { node, what }).await;
        self.close(ErrorCode::MALFORMED);
    }
}
