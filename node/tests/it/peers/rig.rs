//! Nodes on loopback with a tracker's key and a store in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use antiphon_node::peers::{
    self, FetchOrder, PeerEvent, PeerHandle, PeerSockets, PeerTransport, PeerTransportConfig,
    WallClock,
};
use antiphon_node::span_io::{ChunkSink, SinkError, SourceError, SpanSource};
use antiphon_protocol::peer::{PeerContact, PeerLimits, Priority, SpanRequest};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{RegionClass, Ticket};
use antiphon_protocol::verified::{self, Item, PARENT_BYTES};
use antiphon_protocol::{
    ByteCount, ChunkIndex, ContentId, Geometry, Millis, NodeId, Span, SwarmId, UnixSeconds,
};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::{FetchId, UploadId};
use ed25519_dalek::SigningKey;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// For anything that happens on loopback, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
pub const REGION: RegionClass = RegionClass(7);
pub const LIMITS: PeerLimits = PeerLimits {
    spans_in_flight: 4,
    uploads: true,
};

pub fn tracker() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub fn ticket(node: NodeId) -> Signed<Ticket> {
    ticket_of(node, NOW.plus_secs(600), &tracker())
}

pub fn ticket_of(node: NodeId, expires: UnixSeconds, key: &SigningKey) -> Signed<Ticket> {
    let region = REGION;
    Signed::sign(
        &Ticket {
            node,
            region,
            expires,
        },
        key,
    )
}

pub fn node_id(secret: u8) -> NodeId {
    let key = SigningKey::from_bytes(&[secret; 32]);
    NodeId(key.verifying_key().to_bytes())
}

/// A rendition and what proves it.
#[derive(Clone)]
pub struct Content {
    pub id: ContentId,
    pub geometry: Geometry,
    pub bytes: Arc<Vec<u8>>,
    outboard: Arc<Vec<u8>>,
}

pub fn content(len: usize) -> Content {
    let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
    let geometry = Geometry::new(ByteCount(len as u64)).expect("a legal size");
    let (id, outboard) = verified::hash_content(geometry, bytes.as_slice()).expect("in memory");
    Content {
        id,
        geometry,
        bytes: Arc::new(bytes),
        outboard: Arc::new(outboard),
    }
}

/// What the source does before it gives a chunk.
#[derive(Default)]
pub struct Gate {
    closed_from: Mutex<Option<u32>>,
    opened: Condvar,
}

impl Gate {
    pub fn close_from(&self, chunk: u32) {
        *self.closed_from.lock().expect("not poisoned") = Some(chunk);
    }

    pub fn open(&self) {
        *self.closed_from.lock().expect("not poisoned") = None;
        self.opened.notify_all();
    }

    fn pass(&self, chunk: ChunkIndex) {
        let closed = self.closed_from.lock().expect("not poisoned");
        let blocks = |closed: &mut Option<u32>| closed.is_some_and(|from| chunk.0 >= from);
        let waited = self.opened.wait_timeout_while(closed, PATIENCE, blocks);
        drop(waited.expect("not poisoned"));
    }
}

/// A store in memory that can lie.
#[derive(Default)]
pub struct Memory {
    pub content: Mutex<Option<Content>>,
    pub received: Mutex<BTreeMap<u32, Vec<u8>>>,
    pub parents: Mutex<BTreeMap<u64, [u8; PARENT_BYTES]>>,
    /// The chunk of which a wrong byte is given.
    pub lie_at: Mutex<Option<u32>>,
    /// The chunk that cannot be read.
    pub fail_at: Mutex<Option<u32>>,
    pub gate: Gate,
}

impl ChunkSink for Memory {
    fn put_parent(&self, _: ContentId, outboard_offset: u64, node: &[u8; PARENT_BYTES]) {
        let mut parents = self.parents.lock().expect("not poisoned");
        parents.insert(outboard_offset, *node);
    }

    fn put_chunk(&self, _: ContentId, chunk: ChunkIndex, data: &[u8]) -> Result<bool, SinkError> {
        let mut received = self.received.lock().expect("not poisoned");
        Ok(received.insert(chunk.0, data.to_vec()).is_none())
    }
}

impl SpanSource for Memory {
    fn item(
        &self,
        id: ContentId,
        _: Geometry,
        item: Item,
        into: &mut Vec<u8>,
    ) -> Result<(), SourceError> {
        let content = self.content.lock().expect("not poisoned").clone();
        let content = content.filter(|content| content.id == id);
        let content = content.ok_or(SourceError::NotHeld)?;
        match item {
            Item::Parent { outboard_offset } => {
                let start = outboard_offset as usize;
                into.extend_from_slice(&content.outboard[start..start + PARENT_BYTES]);
            }
            Item::Chunk { chunk, bytes } => {
                self.gate.pass(chunk);
                if *self.fail_at.lock().expect("not poisoned") == Some(chunk.0) {
                    return Err(SourceError::Read);
                }
                let start = chunk.byte_offset() as usize;
                into.extend_from_slice(&content.bytes[start..start + bytes]);
                if *self.lie_at.lock().expect("not poisoned") == Some(chunk.0) {
                    *into.last_mut().expect("a chunk is not empty") ^= 1;
                }
            }
        }
        Ok(())
    }
}

impl Memory {
    pub fn holding(content: &Content) -> Arc<Self> {
        let memory = Self::default();
        *memory.content.lock().expect("not poisoned") = Some(content.clone());
        Arc::new(memory)
    }

    pub fn received_chunks(&self) -> Vec<u32> {
        let received = self.received.lock().expect("not poisoned");
        received.keys().copied().collect()
    }
}

pub struct TestNode {
    pub node: NodeId,
    pub handle: PeerHandle,
    pub events: mpsc::Receiver<PeerEvent>,
    pub store: Arc<Memory>,
    pub clock: Arc<AtomicU64>,
}

impl TestNode {
    pub async fn start(secret: u8) -> Self {
        let node = Self::start_with(secret, Arc::default(), LIMITS).await;
        node.handle.set_ticket(ticket(node.node));
        node
    }

    pub async fn start_with(secret: u8, store: Arc<Memory>, limits: PeerLimits) -> Self {
        Self::start_on("127.0.0.1:0", secret, store, limits).await
    }

    pub async fn start_on(
        listen: &str,
        secret: u8,
        store: Arc<Memory>,
        limits: PeerLimits,
    ) -> Self {
        let ports = peers::bind(&[listen.parse().expect("an address")]).expect("a free port");
        Self::start_at(ports, secret, store, limits).await
    }

    pub async fn start_at(
        listen: PeerSockets,
        secret: u8,
        store: Arc<Memory>,
        limits: PeerLimits,
    ) -> Self {
        let clock = Arc::new(AtomicU64::new(NOW.0));
        let seen = clock.clone();
        let now: WallClock = Arc::new(move || UnixSeconds(seen.load(Ordering::Relaxed)));
        let config = PeerTransportConfig {
            identity: [secret; 32],
            listen,
            tracker_key: tracker().verifying_key(),
            limits,
            now,
        };
        let (handle, events) = PeerTransport::start(config, store.clone(), store.clone())
            .await
            .expect("loopback can be listened on");
        assert_eq!(handle.node(), node_id(secret));
        Self {
            node: handle.node(),
            handle,
            events,
            store,
            clock,
        }
    }

    pub fn contact(&self) -> PeerContact {
        PeerContact {
            node: self.node,
            region: REGION,
            addresses: self.handle.listen_addresses().to_vec(),
        }
    }

    /// The next event that `wanted` maps to something; others are dropped.
    pub async fn until<T>(&mut self, wanted: impl Fn(&PeerEvent) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = timeout(PATIENCE, async {
            loop {
                let event = self.events.recv().await.expect("the transport runs");
                if let Some(found) = wanted(&event) {
                    return found;
                }
                seen.push(event);
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!("what was waited for did not come, but {seen:?}"),
        }
    }

    pub async fn connected(&mut self) -> NodeId {
        self.until(|event| match event {
            PeerEvent::Connected { node, .. } => Some(*node),
            _ => None,
        })
        .await
    }

    pub async fn asked(&mut self) -> (UploadId, SpanRequest) {
        self.until(|event| match event {
            PeerEvent::SpanAsked {
                upload, request, ..
            } => Some((*upload, *request)),
            _ => None,
        })
        .await
    }

    /// Accepts whatever is asked from here on, and hands back the ends.
    pub fn serve(mut self, content: &Content) -> mpsc::Receiver<PeerEvent> {
        let (ends, ends_out) = mpsc::channel(256);
        let (id, geometry) = (content.id, content.geometry);
        tokio::spawn(async move {
            while let Some(event) = self.events.recv().await {
                match event {
                    PeerEvent::SpanAsked { upload, .. } => {
                        self.handle.accept_upload(upload, id, geometry);
                    }
                    other => drop(ends.try_send(other)),
                }
            }
        });
        ends_out
    }

    pub fn fetch(&self, fetch: u64, from: NodeId, content: &Content, first: u32, count: u32) {
        let span = Span::new(ChunkIndex(first), count).expect("a legal span");
        self.handle.fetch(FetchOrder {
            fetch: FetchId(fetch),
            node: from,
            content: content.id,
            geometry: content.geometry,
            request: SpanRequest {
                swarm: SwarmId([9; 16]),
                span,
                priority: Priority::Urgent,
                deadline: Millis(1_000),
            },
        });
    }

    /// How a fetch ends.
    pub async fn fetch_end(&mut self, fetch: u64) -> FetchEvent {
        self.until(|event| match event {
            PeerEvent::Fetch {
                event: FetchEvent::Accepted | FetchEvent::Verified { .. },
                ..
            } => None,
            PeerEvent::Fetch { fetch: id, event } if id.0 == fetch => Some(*event),
            _ => None,
        })
        .await
    }
}

/// Two neighbors, the second of which holds the content.
pub async fn pair(content: &Content) -> (TestNode, TestNode) {
    pair_with_limits(content, LIMITS).await
}

pub async fn pair_with_limits(content: &Content, limits: PeerLimits) -> (TestNode, TestNode) {
    let mut asker = TestNode::start(2).await;
    let mut holder = TestNode::start_with(3, Memory::holding(content), limits).await;
    holder.handle.set_ticket(ticket(holder.node));
    asker.handle.dial(holder.contact());
    assert_eq!(asker.connected().await, holder.node);
    assert_eq!(holder.connected().await, asker.node);
    (asker, holder)
}

pub fn first_chunk(event: &PeerEvent) -> Option<()> {
    matches!(
        event,
        PeerEvent::Fetch {
            event: FetchEvent::Verified { .. },
            ..
        }
    )
    .then_some(())
}
