//! Our origin, and the node's client of it, in two processes.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_node::origin_client::{FetchOrder, OriginClient, OriginEvent};
use antiphon_node::span_io::ChunkSink;
use antiphon_node::store::{ChunkStore, StoreOptions};
use antiphon_origin::library::{content_path, outboard_path};
use antiphon_origin::server::{ObjectsLocation, Origin, OriginConfig, RunningOrigin};
use antiphon_protocol::tracker::OriginAddress;
use antiphon_protocol::verified::hash_content;
use antiphon_protocol::{ByteCount, ContentId, Geometry, Millis, Span};
use antiphon_swarm::FetchId;
use antiphon_swarm::limits::SPANS_TO_ORIGIN_MAX;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::OriginRoute;
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::peers::all_spans;
use crate::memory_sink::CountingSink;

/// What the fetching side must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Served {
    pub address: SocketAddr,
    pub certificate: [u8; 32],
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

    /// As the tracker would tell it.
    #[must_use]
    pub fn origin(&self) -> OriginAddress {
        OriginAddress {
            host: self.address.to_string(),
            certificate: self.certificate,
        }
    }
}

/// What is not as by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listen {
    /// When a silent connection ends.
    pub idle_timeout: Option<Duration>,
}

/// Serves `data` from an object store in `folder`, to everybody.
///
/// # Errors
/// If files or sockets cannot be had.
pub async fn serve(
    data: &[u8],
    folder: &Path,
    listen: Listen,
) -> anyhow::Result<(RunningOrigin, Value)> {
    let size = data.len() as u64;
    let geometry = Geometry::new(ByteCount(size)).context("not a rendition's size")?;
    let (content, outboard) = hash_content(geometry, data)?;
    let objects = folder.join("objects");
    for (path, bytes) in [
        (content_path(content), data),
        (outboard_path(content), &outboard[..]),
    ] {
        let file = objects.join(path.as_ref());
        std::fs::create_dir_all(file.parent().context("objects lie in folders")?)?;
        std::fs::write(file, bytes)?;
    }
    let mut config = OriginConfig {
        objects: ObjectsLocation::Folder(objects),
        state: folder.join("state"),
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        ..OriginConfig::default()
    };
    if let Some(idle) = listen.idle_timeout {
        config.idle_timeout = Millis(u32::try_from(idle.as_millis())?);
    }
    let origin = Origin::start(config).await?;
    let served = Served {
        address: origin.quic_address(),
        certificate: origin.certificate_fingerprint(),
        content,
        size,
    };
    Ok((origin, serde_json::to_value(served)?))
}

/// A fetch of one span over QUIC.
#[must_use]
pub fn order(fetch: u64, served: &Served, geometry: Geometry, span: Span) -> FetchOrder {
    FetchOrder {
        fetch: FetchId(fetch),
        route: OriginRoute::Quic,
        content: served.content,
        geometry,
        span,
        deadline: antiphon_swarm::time::Duration::from_secs(10),
    }
}

/// Waits for the end of a fetch.
///
/// # Errors
/// If it is a bad end.
pub async fn ended(events: &mut mpsc::Receiver<OriginEvent>) -> anyhow::Result<FetchId> {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await?;
        let OriginEvent { fetch, event } = event.context("the client ended")?;
        match event {
            FetchEvent::Done => return Ok(fetch),
            FetchEvent::Accepted | FetchEvent::Verified { .. } | FetchEvent::Arrived { .. } => {}
            FetchEvent::Declined { .. } | FetchEvent::Corrupt | FetchEvent::Failed => {
                bail!("fetch {fetch:?}: {event:?}")
            }
        }
    }
}

/// Fetches everything into a chunk store in `folder`, or verifies and drops it, with as many
/// spans in flight as the core has at the origin.
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
    let (client, mut events) = OriginClient::new(vec![served.origin()], sink, None)?;
    client.warm();
    ready().await?;
    let start = Instant::now();
    let mut orders = all_spans(geometry)
        .zip(0..)
        .map(|(span, fetch)| order(fetch, &served, geometry, span));
    let mut under_way = BTreeSet::new();
    loop {
        while under_way.len() < SPANS_TO_ORIGIN_MAX {
            let Some(order) = orders.next() else { break };
            under_way.insert(order.fetch);
            client.fetch(order);
        }
        if under_way.is_empty() {
            break;
        }
        under_way.remove(&ended(&mut events).await?);
    }
    let seconds = start.elapsed().as_secs_f64();
    let bytes = match store {
        Some(store) => store.bytes_on_disk().0.min(served.size),
        None => counting.bytes(),
    };
    Ok((seconds, bytes))
}

/// Nothing on loopback takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
