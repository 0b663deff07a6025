//! Starting and stopping.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use antiphon_protocol::rate::Rate;
use antiphon_swarm::registry::RegistryConfig;
use quinn::Endpoint;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, HashError};
use crate::catalog::Catalog;
use crate::catalog::import::{self, CatalogKeyError, ReleaseScanner, ScanOutcome};
use crate::config::{ConfigError, TrackerConfig};
use crate::context::{Context, Limits, RescanError};
use crate::http;
use crate::keys::{Keys, KeysError};
use crate::licensing::Licensing;
use crate::metrics::Metrics;
use crate::names::SwarmNames;
use crate::private_file;
use crate::server::{self, BindError, Sockets};
use crate::store::{DATABASE_FILE, OpenStoreError, Store, StoreError};
use crate::swarms::Swarms;

const KEYS_FOLDER: &str = "keys";
const LOCK_FILE: &str = "tracker.lock";
/// Bytes of a connection's last packets may take this long to leave.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A tracker before its start.
#[derive(Debug)]
pub struct Tracker;

/// A tracker that answers. Dropping it stops it at once; [`RunningTracker::shutdown`] lets
/// everybody finish first.
pub struct RunningTracker {
    context: Arc<Context>,
    quic_address: SocketAddr,
    http_address: SocketAddr,
    fingerprint: [u8; 32],
    /// Serve nodes, operators and the releases folder; end when told to stop.
    front: Vec<JoinHandle<()>>,
    /// Serve the front; end after it.
    back: Vec<JoinHandle<()>>,
    stop_back: CancellationToken,
    endpoint: Endpoint,
    _lock: File,
}

impl Tracker {
    /// Starts a tracker. When this returns, it answers on its ports, and the releases that were
    /// there are in its catalog.
    ///
    /// # Errors
    /// If a setting is impossible, or any key, file or port cannot be used. Nothing is replaced
    /// by a default.
    pub async fn start(config: TrackerConfig) -> Result<RunningTracker, StartError> {
        config.check()?;
        let lock = lock(&config.data)?;
        let keys = load_keys(&config.data)?;
        let store = Store::open(&config.data).await?;
        let catalog_key = import::catalog_key(&config.releases).await?;
        let sockets = Sockets::bind(&keys, config.quic_listen)?;
        let (endpoint, quic_address) = (sockets.endpoint.clone(), sockets.address);
        let (listener, http_address) = listen(config.http_listen).await?;

        let stop_back = CancellationToken::new();
        let catalog = Catalog::load(&store, &keys.vault, catalog_key.as_ref()).await?;
        let (lease, grace) = (config.lease_secs, config.grace_secs);
        let (licensing, recorder) = Licensing::start(&store, lease, grace, stop_back.clone());
        let introductions = Rate::per_minute(config.limits.node_introductions_per_minute);
        let (swarms, registry) =
            Swarms::start(RegistryConfig::default(), introductions, stop_back.clone());
        let context = Arc::new(Context {
            origins: config.origins.iter().map(Into::into).collect(),
            catalog_key: catalog_key.map_or_else(OnceLock::new, OnceLock::from),
            names: SwarmNames::new(keys.epoch_master.clone()),
            accounts: Accounts::new(&store, config.token_days).await?,
            catalog,
            scanner: Mutex::new(ReleaseScanner::new(config.releases.clone())),
            licensing,
            swarms,
            metrics: Metrics::default(),
            limits: Limits::new(&config),
            stop: CancellationToken::new(),
            next_attach: AtomicU64::new(0),
            signing: keys.signing.clone(),
            store,
            config,
        });
        context.rescan(true).await?;
        let front = vec![
            tokio::spawn(server::run(Arc::clone(&context), sockets)),
            tokio::spawn(http::run(Arc::clone(&context), listener)),
            tokio::spawn(watch(Arc::clone(&context))),
        ];
        Ok(RunningTracker {
            context,
            quic_address,
            http_address,
            fingerprint: keys.fingerprint(),
            front,
            back: vec![recorder, registry],
            stop_back,
            endpoint,
            _lock: lock,
        })
    }
}

impl RunningTracker {
    /// Where nodes reach it: over QUIC, and over TCP at the same port.
    #[must_use]
    pub const fn quic_address(&self) -> SocketAddr {
        self.quic_address
    }

    /// Where health and metrics are.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// What nodes recognize it by: the BLAKE3 of its certificate (DER).
    #[must_use]
    pub const fn certificate_fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The key that its licenses and passes are signed with.
    #[must_use]
    pub fn signing_key(&self) -> [u8; 32] {
        self.context.signing.verifying_key().to_bytes()
    }

    /// Tracks in its catalog.
    #[must_use]
    pub fn tracks(&self) -> usize {
        self.context.catalog.len()
    }

    /// Looks at the releases folder now instead of at the next interval.
    ///
    /// # Errors
    /// If the catalog's key or the database cannot be used.
    pub async fn rescan(&self) -> Result<ScanOutcome, RescanError> {
        self.context.rescan(true).await
    }

    /// Stops taking requests, lets those under way finish, and writes everything down.
    pub async fn shutdown(mut self) {
        self.context.stop.cancel();
        let front = core::mem::take(&mut self.front);
        finish(front, "connections").await;
        self.stop_back.cancel();
        let back = core::mem::take(&mut self.back);
        finish(back, "records").await;
        self.context.store.close().await;
    }
}

impl Drop for RunningTracker {
    fn drop(&mut self) {
        self.context.stop.cancel();
        self.stop_back.cancel();
        for task in self.front.iter().chain(&self.back) {
            task.abort();
        }
        self.endpoint.close(0_u32.into(), b"");
    }
}

async fn finish(tasks: Vec<JoinHandle<()>>, what: &str) {
    let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
    for mut task in tasks {
        if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
            tracing::warn!(what, "did not finish in time");
            task.abort();
        }
    }
}

/// Looks for new releases until the tracker stops.
async fn watch(context: Arc<Context>) {
    let interval = Duration::from_millis(u64::from(context.config.rescan_millis));
    loop {
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        if let Err(error) = context.rescan(false).await {
            tracing::warn!(%error, "cannot look for new releases");
        }
    }
}

/// Loads the keys; makes missing ones only while there is no database that they belong to.
pub(crate) fn load_keys(data: &Path) -> Result<Keys, KeysError> {
    let first_start = !data.join(DATABASE_FILE).exists();
    Keys::load(&data.join(KEYS_FOLDER), first_start)
}

/// Two trackers on one folder would each keep half the truth.
pub(crate) fn lock(data: &Path) -> Result<File, LockError> {
    let unusable = |source| LockError::Folder {
        path: data.to_owned(),
        source,
    };
    private_file::create_folder(data).map_err(unusable)?;
    let file = File::create(data.join(LOCK_FILE)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LockError::InUse {
            path: data.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Why a data folder could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The system refused.
    #[error("cannot use the data folder {path}: {source}; check its owner and the disk")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Another tracker.
    #[error("another tracker is using {path}; stop it or choose another data folder")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |source| BindError::Socket { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let taken = listener.local_addr().map_err(failed)?;
    Ok((listener, taken))
}

/// Why a tracker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data folder.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The tracker's keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The database, while opening.
    #[error(transparent)]
    OpenStore(#[from] OpenStoreError),
    /// The database, while loading.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog's public key.
    #[error(transparent)]
    CatalogKey(#[from] CatalogKeyError),
    /// A port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Password hashing.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl From<RescanError> for StartError {
    fn from(error: RescanError) -> Self {
        match error {
            RescanError::Key(error) => Self::CatalogKey(error),
            RescanError::Store(error) => Self::Store(error),
        }
    }
}
