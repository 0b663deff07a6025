//! What an operator does to accounts, beside a running tracker or without one.

use std::path::Path;

use antiphon_protocol::AccountId;
use antiphon_protocol::tracker::Password;

use crate::accounts::{AccountError, Accounts, HashError, name_key};
use crate::clock;
use crate::private_file;
use crate::store::accounts::{AccountRows, AccountSummary};
use crate::store::{DATABASE_FILE, OpenStoreError, Store, StoreError};
use crate::tracker::LockError;

/// Operations on a tracker's data folder.
pub struct Admin {
    store: Store,
    rows: AccountRows,
    accounts: Accounts,
}

impl Admin {
    /// Opens the data folder of [`crate::TrackerConfig::data`], which may be in use by a running
    /// tracker, and need not exist yet.
    ///
    /// # Errors
    /// If the database cannot be used.
    pub async fn open(data: &Path) -> Result<Self, AdminError> {
        private_file::create_folder(data).map_err(|source| AdminError::Folder {
            path: data.display().to_string(),
            source,
        })?;
        // Keys and database belong together: a tracker refuses to start with only one of them.
        // Whoever comes first makes both, and nobody else meanwhile.
        let first = !data.join(DATABASE_FILE).exists();
        let lock = first.then(|| crate::tracker::lock(data)).transpose()?;
        crate::tracker::load_keys(data)?;
        let store = Store::open(data).await?;
        drop(lock);
        Ok(Self {
            rows: AccountRows::new(store.clone()),
            accounts: Accounts::new(&store, 1).await?,
            store,
        })
    }

    /// Makes an account.
    ///
    /// # Errors
    /// If name or password break the rules, or the name is taken.
    pub async fn add_account(
        &self,
        name: &str,
        password: &Password,
    ) -> Result<AccountId, AccountError> {
        self.accounts.add(name, password).await
    }

    /// Accounts in the order they were made, after `after`, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list_accounts(
        &self,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountSummary>, StoreError> {
        self.rows.page(after, limit).await
    }

    /// Disables an account: its tokens are gone at once, its connections end within a minute.
    ///
    /// # Errors
    /// If there is no such account, or the database fails.
    pub async fn disable_account(&self, name: &str) -> Result<(), AccountError> {
        self.set_disabled(name, true).await
    }

    /// Lets a disabled account log in again.
    ///
    /// # Errors
    /// If there is no such account, or the database fails.
    pub async fn enable_account(&self, name: &str) -> Result<(), AccountError> {
        self.set_disabled(name, false).await
    }

    /// Closes the database.
    pub async fn close(self) {
        self.store.close().await;
    }

    async fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), AccountError> {
        let name_key = name_key(name).ok_or(AccountError::Unknown)?;
        let since = disabled.then(clock::now);
        if self.rows.set_disabled(&name_key, since).await? {
            Ok(())
        } else {
            Err(AccountError::Unknown)
        }
    }
}

/// Why the data folder could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The folder.
    #[error("cannot use the data folder {path}: {source}; check its owner")]
    Folder {
        /// The folder.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The folder is being made by a tracker that starts.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] crate::keys::KeysError),
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    /// Password hashing.
    #[error(transparent)]
    Hash(#[from] HashError),
}
