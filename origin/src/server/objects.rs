//! Reads of the object store: one way in, with a deadline, counted.
//!
//! What is asked again and again and small stays in memory: a rendition's size and outboard.
//! Ciphertext does not: the operating system's page cache, or the object store, is the better
//! place for it. Requests for the same rendition at the same time load it once.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use antiphon_protocol::verified::outboard_bytes;
use antiphon_protocol::{ByteCount, ContentId, Geometry};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::time::timeout;

use super::metrics::Metrics;
use super::recent::RecentMap;
use super::refusal::Refusal;
use crate::library::{content_path, outboard_path};

/// What is known of a rendition that can be served.
#[derive(Debug)]
pub(crate) struct Rendition {
    pub(crate) content: ContentId,
    pub(crate) geometry: Geometry,
    pub(crate) outboard: Bytes,
}

/// The object store as the server sees it.
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    timeout: Duration,
    metrics: Arc<Metrics>,
    renditions: Mutex<Renditions>,
}

struct Renditions {
    recent: RecentMap<ContentId, Arc<Rendition>>,
    /// At most one for each running request.
    loading: HashMap<ContentId, Loading>,
}

type Loading = Shared<BoxFuture<'static, Result<Arc<Rendition>, Refusal>>>;

impl Objects {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        cache: ByteCount,
        timeout: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            timeout,
            metrics,
            renditions: Mutex::new(Renditions {
                recent: RecentMap::new(cache.0),
                loading: HashMap::new(),
            }),
        }
    }

    /// Size and outboard of a rendition.
    pub(crate) async fn rendition(
        self: &Arc<Self>,
        content: ContentId,
    ) -> Result<Arc<Rendition>, Refusal> {
        let loading = {
            let mut renditions = self.renditions();
            if let Some(rendition) = renditions.recent.get(&content) {
                return Ok(rendition);
            }
            let start = || Arc::clone(self).start_loading(content);
            let loading = renditions.loading.entry(content);
            loading.or_insert_with(start).clone()
        };
        loading.await
    }

    /// Reads bytes of an object; exactly those, or it is a failure.
    pub(crate) async fn read(&self, path: &Path, range: Range<u64>) -> Result<Bytes, Refusal> {
        let wanted = range.end.saturating_sub(range.start);
        self.metrics.store_reads.add(1);
        let ranges = [range];
        let read = self.within(path, self.store.get_ranges(path, &ranges));
        match read.await?.pop() {
            Some(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            _ => {
                tracing::error!(object = %path, "the object is shorter than it was");
                Err(Refusal::INTERNAL)
            }
        }
    }

    /// Bytes of a whole object.
    pub(crate) async fn size(&self, path: &Path) -> Result<u64, Refusal> {
        Ok(self.within(path, self.store.head(path)).await?.size)
    }

    /// Whether the store answers at all.
    pub(crate) async fn answers(&self) -> bool {
        match self.size(&Path::from("content/readiness")).await {
            Ok(_) => true,
            Err(refusal) => refusal == Refusal::NOT_FOUND,
        }
    }

    /// Forgets what is remembered of a rendition whose objects turned out to be gone.
    pub(crate) fn forget(&self, content: ContentId) {
        self.renditions().recent.remove(&content);
    }

    /// Loads in a task of its own, so that it ends and is forgotten even if nobody waits any more.
    fn start_loading(self: Arc<Self>, content: ContentId) -> Loading {
        let task = tokio::spawn(async move {
            let result = self.load(content).await.map(Arc::new);
            let mut renditions = self.renditions();
            renditions.loading.remove(&content);
            if let Ok(rendition) = &result {
                let weight = rendition.outboard.len() as u64 + ENTRY_BYTES;
                let rendition = Arc::clone(rendition);
                renditions.recent.insert(content, rendition, weight);
            }
            result
        });
        async move { task.await.unwrap_or(Err(Refusal::INTERNAL)) }
            .boxed()
            .shared()
    }

    async fn load(&self, content: ContentId) -> Result<Rendition, Refusal> {
        self.metrics.outboard_loads.add(1);
        let (data, outboard) = (content_path(content), outboard_path(content));
        let (size, outboard_size) = tokio::join!(self.size(&data), self.size(&outboard));
        let broken = |what: &str| {
            tracing::error!(%content, "{what}; ingest the track again");
            Refusal::INTERNAL
        };
        let geometry =
            Geometry::new(ByteCount(size?)).ok_or_else(|| broken("object of an illegal size"))?;
        let expected = outboard_bytes(geometry);
        if outboard_size? != expected {
            return Err(broken("outboard does not fit its object"));
        }
        let outboard = match expected {
            0 => Bytes::new(),
            bytes => self.read(&outboard, 0..bytes).await?,
        };
        Ok(Rendition {
            content,
            geometry,
            outboard,
        })
    }

    async fn within<T>(
        &self,
        path: &Path,
        operation: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Refusal> {
        match timeout(self.timeout, operation).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(object_store::Error::NotFound { .. })) => Err(Refusal::NOT_FOUND),
            Ok(Err(error)) => {
                tracing::error!(object = %path, %error, "the object store failed");
                Err(Refusal::INTERNAL)
            }
            Err(_) => {
                tracing::error!(object = %path, "the object store did not answer in time");
                Err(Refusal::INTERNAL)
            }
        }
    }

    fn renditions(&self) -> MutexGuard<'_, Renditions> {
        self.renditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a remembered rendition costs beside its outboard. Guess.
const ENTRY_BYTES: u64 = 256;
