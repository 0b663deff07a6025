//! What all handlers share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_protocol::rate::Rate;
use antiphon_protocol::tracker::OriginAddress;
use ed25519_dalek::{SigningKey, VerifyingKey};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::accounts::Accounts;
use crate::catalog::Catalog;
use crate::catalog::import::{self, CatalogKeyError, ReleaseScanner, ScanOutcome};
use crate::config::TrackerConfig;
use crate::licensing::Licensing;
use crate::metrics::Metrics;
use crate::names::SwarmNames;
use crate::rate::LimiterTable;
use crate::store::{Store, StoreError};
use crate::swarms::{AttachId, Swarms};

/// The parts of a running tracker.
pub(crate) struct Context {
    pub config: TrackerConfig,
    pub origins: Vec<OriginAddress>,
    pub signing: SigningKey,
    /// Empty until ingest has made the catalog's key.
    pub catalog_key: OnceLock<VerifyingKey>,
    pub names: SwarmNames,
    pub store: Store,
    pub accounts: Accounts,
    pub catalog: Catalog,
    pub scanner: Mutex<ReleaseScanner>,
    pub licensing: Licensing,
    pub swarms: Swarms,
    pub metrics: Metrics,
    pub limits: Limits,
    /// Canceled when the tracker is to stop.
    pub stop: CancellationToken,
    pub next_attach: AtomicU64,
}

/// Allowances that are shared by many connections.
pub(crate) struct Limits {
    pub accounts: LimiterTable,
    pub address_logins: LimiterTable,
    pub account_logins: LimiterTable,
    pub account_introductions: LimiterTable,
    /// By account and by who it is introduced to.
    pub pair_introductions: LimiterTable,
}

impl Limits {
    pub(crate) fn new(config: &TrackerConfig) -> Self {
        let limits = &config.limits;
        let account = Rate::per_second(
            limits.account_requests_per_second,
            limits.account_requests_burst,
        );
        Self {
            accounts: LimiterTable::new(account),
            address_logins: LimiterTable::new(Rate::per_minute(limits.address_logins_per_minute)),
            account_logins: LimiterTable::new(Rate::per_minute(limits.account_logins_per_minute)),
            account_introductions: LimiterTable::new(Rate::per_minute(
                limits.account_introductions_per_minute,
            )),
            pair_introductions: LimiterTable::new(Rate::per_minute(
                limits.pair_introductions_per_minute,
            )),
        }
    }
}

impl Context {
    /// A number no other attach of this process has.
    pub(crate) fn new_attach(&self) -> AttachId {
        AttachId(self.next_attach.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes in new releases, and first of all the catalog's key if it was missing until now.
    pub(crate) async fn rescan(&self, thorough: bool) -> Result<ScanOutcome, RescanError> {
        let mut scanner = self.scanner.lock().await;
        let key = match self.catalog_key.get() {
            Some(key) => *key,
            None => {
                let Some(key) = import::catalog_key(&self.config.releases).await? else {
                    return Ok(ScanOutcome::default());
                };
                self.catalog.load_signed(&key).await?;
                *self.catalog_key.get_or_init(|| key)
            }
        };
        let outcome = scanner.scan(&self.catalog, &key, thorough).await;
        if outcome.taken > 0 {
            let tracks = self.catalog.len();
            tracing::info!(taken = outcome.taken, tracks, "took in new releases");
        }
        Ok(outcome)
    }
}

/// Why the releases could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RescanError {
    /// The catalog's key.
    #[error(transparent)]
    Key(#[from] CatalogKeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}
