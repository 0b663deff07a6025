//! Our node-to-node transport between two processes.
//!
//! A node answers one neighbor's spans at a bounded rate after a burst, which is policy and not
//! cost. So the serving process runs as many nodes as the bursts need, and the fetching node asks
//! one after the other, with as many spans in flight as the core has at one neighbor.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_node::peers::{
    self, FetchOrder, PeerEvent, PeerHandle, PeerTransport, PeerTransportConfig, limits,
};
use antiphon_node::span_io::{ChunkSink, SpanSource};
use antiphon_node::store::{ChunkStore, StoreOptions};
use antiphon_protocol::peer::{PeerContact, PeerLimits, Priority, SpanRequest};
use antiphon_protocol::ticket::RegionClass;
use antiphon_protocol::verified::{Item, hash_content, items};
use antiphon_protocol::{
    ByteCount, ChunkIndex, ContentId, Geometry, Millis, NodeId, Span, SwarmId,
};
use antiphon_swarm::FetchId;
use antiphon_swarm::limits::SPANS_PER_PEER_MAX;
use antiphon_swarm::node::input::FetchEvent;
use anyhow::{Context, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::memory_sink::{CountingSink, MemorySource, NothingHeld};
use crate::ticket;

/// What the fetching side must know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Served {
    pub nodes: Vec<(NodeId, SocketAddr)>,
    pub content: ContentId,
    pub size: u64,
}

impl Served {
    /// Size and chunks of what is served.
    ///
    /// # Errors
    /// If it is no legal size.
    pub fn geometry(&self) -> anyhow::Result<Geometry> {
        Geometry::new(ByteCount(self.size)).context("not a rendition's size")
    }
}

/// One node and its news.
pub struct Node {
    pub handle: PeerHandle,
    pub events: mpsc::Receiver<PeerEvent>,
}

impl Node {
    /// Starts a node that this measurement's network admits.
    ///
    /// # Errors
    /// If there is no socket.
    pub async fn start(
        secret: [u8; 32],
        sink: Arc<dyn ChunkSink>,
        source: Arc<dyn SpanSource>,
    ) -> anyhow::Result<Self> {
        let config = PeerTransportConfig {
            identity: secret,
            listen: peers::bind(&[(Ipv4Addr::LOCALHOST, 0).into()])?,
            tracker_key: ticket::tracker_key(),
            limits: PeerLimits {
                spans_in_flight: SPANS_PER_PEER_MAX as u8,
                uploads: true,
            },
            now: ticket::wall_clock(),
        };
        let (handle, events) = PeerTransport::start(config, sink, source).await?;
        handle.set_ticket(ticket::ticket(handle.node()));
        Ok(Self { handle, events })
    }

    /// Dials and waits until the other is a neighbor.
    ///
    /// # Errors
    /// If it does not become one.
    pub async fn dial(&mut self, node: NodeId, address: SocketAddr) -> anyhow::Result<()> {
        self.handle.dial(PeerContact {
            node,
            region: RegionClass::default(),
            addresses: vec![address],
        });
        let connected = async {
            while let Some(event) = self.events.recv().await {
                match event {
                    PeerEvent::Connected { node: peer, .. } if peer == node => return Ok(()),
                    PeerEvent::DialFailed { node: peer } if peer == node => break,
                    _ => {}
                }
            }
            bail!("{node} was not reached at {address}")
        };
        tokio::time::timeout(PATIENCE, connected).await?
    }
}

/// Accepts every span asked, as long as the node lives.
async fn serve_all(mut node: Node, content: ContentId, geometry: Geometry) {
    while let Some(event) = node.events.recv().await {
        if let PeerEvent::SpanAsked { upload, .. } = event {
            node.handle.accept_upload(upload, content, geometry);
        }
    }
}

/// Serves `data` from a chunk store in `folder`, or from memory. The handles end it when dropped.
///
/// # Errors
/// If the store or a socket cannot be had.
pub async fn serve(data: Bytes, folder: Option<&Path>) -> anyhow::Result<(Vec<PeerHandle>, Value)> {
    let size = data.len() as u64;
    let geometry = Geometry::new(ByteCount(size)).context("not a rendition's size")?;
    let (content, outboard) = hash_content(geometry, &data[..])?;
    let memory = MemorySource { data, outboard };
    let source: Arc<dyn SpanSource> = match folder {
        Some(folder) => Arc::new(filled_store(folder, content, geometry, &memory)?),
        None => Arc::new(memory),
    };
    let spans = all_spans(geometry).count();
    let mut served = Served {
        nodes: Vec::new(),
        content,
        size,
    };
    let mut handles = Vec::new();
    for index in 0..spans.div_ceil(limits::ASKS_BURST as usize) {
        let mut secret = [1; 32];
        secret[1] = u8::try_from(index)?;
        let sink = Arc::new(CountingSink::default());
        let node = Node::start(secret, sink, Arc::clone(&source)).await?;
        let address = node.handle.listen_addresses().first().copied();
        let address = address.context("the node listens nowhere")?;
        served.nodes.push((node.handle.node(), address));
        handles.push(node.handle.clone());
        tokio::spawn(serve_all(node, content, geometry));
    }
    Ok((handles, serde_json::to_value(served)?))
}

fn filled_store(
    folder: &Path,
    content: ContentId,
    geometry: Geometry,
    from: &MemorySource,
) -> anyhow::Result<ChunkStore> {
    let (store, _) = ChunkStore::open(folder, StoreOptions::default())?;
    store.create(content, geometry)?;
    let mut bytes = Vec::new();
    for span in all_spans(geometry) {
        for item in items(geometry, span) {
            bytes.clear();
            from.item(content, geometry, item, &mut bytes)?;
            match item {
                Item::Parent { outboard_offset } => {
                    let node = bytes[..].try_into().context("not an inner node")?;
                    store.put_parent(content, outboard_offset, node)?;
                }
                Item::Chunk { chunk, .. } => {
                    store.put_chunk(content, chunk, &bytes)?;
                }
            }
        }
    }
    anyhow::ensure!(store.flush(), "the store cannot write");
    Ok(store)
}

/// The rendition cut into the longest spans.
pub fn all_spans(geometry: Geometry) -> impl Iterator<Item = Span> {
    const LONGEST: u32 = antiphon_protocol::limits::SPAN_CHUNKS_MAX;
    let chunks = geometry.chunk_count();
    (0..chunks)
        .step_by(LONGEST as usize)
        .filter_map(move |first| Span::new(ChunkIndex(first), LONGEST.min(chunks - first)))
}

/// A fetch of one span from one neighbor.
#[must_use]
pub fn order(
    fetch: u64,
    node: NodeId,
    served: &Served,
    geometry: Geometry,
    span: Span,
) -> FetchOrder {
    FetchOrder {
        fetch: FetchId(fetch),
        node,
        content: served.content,
        geometry,
        request: SpanRequest {
            swarm: SwarmId([0; 16]),
            span,
            priority: Priority::Urgent,
            deadline: Millis(10_000),
        },
    }
}

/// Fetches everything into a chunk store in `folder`, or verifies and drops it.
///
/// # Errors
/// If anything is missing.
pub async fn fetch(
    address: Value,
    folder: Option<&Path>,
    ready: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(f64, u64)> {
    let served: Served = serde_json::from_value(address)?;
    let geometry = served.geometry()?;
    let counting = Arc::new(CountingSink::default());
    let store = match folder {
        Some(folder) => {
            let (store, _) = ChunkStore::open(folder, StoreOptions::default())?;
            store.create(served.content, geometry)?;
            Some(store)
        }
        None => None,
    };
    let sink: Arc<dyn ChunkSink> = match &store {
        Some(store) => Arc::new(store.clone()),
        None => Arc::clone(&counting) as Arc<dyn ChunkSink>,
    };
    let mut node = Node::start([2; 32], sink, Arc::new(NothingHeld)).await?;
    for (peer, address) in &served.nodes {
        node.dial(*peer, *address).await?;
    }
    ready().await?;
    let start = Instant::now();
    fetch_spans(&mut node, &served, geometry).await?;
    let seconds = start.elapsed().as_secs_f64();
    let bytes = match store {
        Some(store) => store.bytes_on_disk().0.min(served.size),
        None => counting.bytes(),
    };
    Ok((seconds, bytes))
}

/// Keeps as many spans in flight as the core would, the next neighbor after each burst.
async fn fetch_spans(node: &mut Node, served: &Served, geometry: Geometry) -> anyhow::Result<()> {
    let asks = served
        .nodes
        .iter()
        .flat_map(|(peer, _)| std::iter::repeat_n(*peer, limits::ASKS_BURST as usize));
    let mut orders = asks
        .zip(all_spans(geometry))
        .zip(0..)
        .map(|((peer, span), fetch)| order(fetch, peer, served, geometry, span));
    let mut under_way = BTreeMap::new();
    loop {
        while under_way.len() < SPANS_PER_PEER_MAX {
            let Some(order) = orders.next() else { break };
            under_way.insert(order.fetch, order);
            node.handle.fetch(order);
        }
        if under_way.is_empty() {
            return Ok(());
        }
        let event = tokio::time::timeout(PATIENCE, node.events.recv()).await?;
        if let PeerEvent::Fetch { fetch, event } = event.context("the node ended")? {
            match event {
                FetchEvent::Done => drop(under_way.remove(&fetch)),
                FetchEvent::Accepted | FetchEvent::Verified { .. } | FetchEvent::Arrived { .. } => {
                }
                FetchEvent::Declined { .. } | FetchEvent::Corrupt | FetchEvent::Failed => {
                    bail!("span {:?}: {event:?}", under_way.get(&fetch))
                }
            }
        }
    }
}

/// Nothing on loopback takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
