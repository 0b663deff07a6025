//! The tracker: accounts, the catalog, licenses, and who holds what.
//!
//! Nodes talk to it over one warm connection, QUIC or TCP ([`antiphon_protocol::tracker`] has the
//! messages), operators over HTTP (health, metrics) and through [`Admin`].
//!
//! ```text
//! Tracker::start(config) -> RunningTracker    ports, certificate fingerprint, shutdown
//! Admin::open(data)                           accounts: add, list, disable
//! ```
//!
//! Everything that must survive is in one SQLite file; who holds what is soft state in memory,
//! kept by `antiphon_swarm::SwarmRegistry`. Not here: audio, codecs, and any decision about
//! which holders are best.
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod accounts;
mod admin;
mod catalog;
mod clock;
mod config;
mod context;
mod http;
mod keys;
mod licensing;
mod metrics;
mod names;
mod passes;
mod private_file;
mod rate;
mod search;
mod server;
mod store;
mod swarms;
mod tracker;
mod vault;

pub use accounts::{AccountError, HashError};
pub use admin::{Admin, AdminError};
pub use catalog::import::{CatalogKeyError, ScanOutcome};
pub use config::{ConfigError, Fingerprint, LimitsConfig, OriginEntry, TrackerConfig};
pub use context::RescanError;
pub use keys::KeysError;
pub use private_file::PrivateFileError;
pub use server::BindError;
pub use store::accounts::AccountSummary;
pub use store::{OpenStoreError, StoreError};
pub use tracker::{LockError, RunningTracker, StartError, Tracker};
