//! The database: opening, migrations, and one repository per area. Nothing outside this module
//! knows which engine it is; statements keep to what SQLite and PostgreSQL share.
//!
//! An acknowledged write is on the disk: the journal is flushed at every commit.

pub(crate) mod accounts;
pub(crate) mod licenses;
pub(crate) mod sessions;
pub(crate) mod tracks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};

/// File name of the embedded database.
pub(crate) const DATABASE_FILE: &str = "tracker.db";

/// Readers run beside the one writer; more than a few only wait for the disk. Guess.
const CONNECTIONS_MAX: u32 = 4;
/// Another process (an operator's command) may hold the write lock this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// No request waits longer than this for a connection to the database.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The open database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens `folder`'s database and brings its tables up to date.
    pub(crate) async fn open(folder: &Path) -> Result<Self, OpenStoreError> {
        let path = folder.join(DATABASE_FILE);
        let unusable = |source| OpenStoreError::Unusable {
            path: path.clone(),
            source,
        };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options)
            .await
            .map_err(unusable)?;
        let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&pool)
            .await
            .map_err(unusable)?;
        if verdict != "ok" {
            return Err(OpenStoreError::Damaged { path, verdict });
        }
        sqlx::migrate!()
            .run(&pool)
            .await
            .map_err(|source| OpenStoreError::Migrate {
                path: path.clone(),
                source,
            })?;
        Ok(Self { pool })
    }

    /// Whether the database answers.
    pub(crate) async fn answers(&self) -> bool {
        let one = sqlx::query_scalar::<_, i64>("SELECT 1").fetch_one(&self.pool);
        matches!(
            tokio::time::timeout(Duration::from_secs(1), one).await,
            Ok(Ok(1))
        )
    }

    /// Closes all connections, writing what is left of the journal.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// A transaction that will write. It takes the write lock at once: a reader that turns into
    /// a writer could be refused halfway.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// Why the database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// The system or the engine refused.
    #[error(
        "cannot use the database {path}: {source}; check its owner, the disk, or restore it from a backup"
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The engine's reason.
        source: sqlx::Error,
    },
    /// The engine found damage.
    #[error("the database {path} is damaged ({verdict}); restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the engine found first.
        verdict: String,
    },
    /// Its tables are of another version.
    #[error("cannot bring the database {path} up to date: {source}; is it from a newer version?")]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: sqlx::migrate::MigrateError,
    },
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine or the disk.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A row is not what this program writes.
    #[error("the database holds a malformed {0}; restore it from a backup")]
    Malformed(&'static str),
}

/// An id's bytes from its column.
fn bytes<const N: usize>(what: &'static str, column: &[u8]) -> Result<[u8; N], StoreError> {
    column.try_into().map_err(|_| StoreError::Malformed(what))
}
