//! Rows of accounts.

use antiphon_protocol::{AccountId, UnixSeconds};

use super::{Store, StoreError};
use crate::clock;

/// What a login needs to know.
pub(crate) struct Credentials {
    pub id: AccountId,
    pub password_hash: String,
    pub disabled: bool,
}

/// An account as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AccountSummary {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: UnixSeconds,
    /// Since when it may not log in, if so.
    pub disabled: Option<UnixSeconds>,
}

type SummaryRow = (i64, String, i64, Option<i64>);

/// Accounts in the database.
#[derive(Clone)]
pub(crate) struct AccountRows(Store);

impl AccountRows {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// A new account, or nothing if the name is taken. Durable when it returns.
    pub(crate) async fn insert(
        &self,
        name: &str,
        name_key: &str,
        password_hash: &str,
    ) -> Result<Option<AccountId>, StoreError> {
        let id: Option<i64> = sqlx::query_scalar(
            "INSERT INTO accounts (name, name_key, password_hash, created)
             VALUES ($1, $2, $3, $4) ON CONFLICT (name_key) DO NOTHING RETURNING id",
        )
        .bind(name)
        .bind(name_key)
        .bind(password_hash)
        .bind(clock::to_sql(clock::now()))
        .fetch_optional(&self.0.pool)
        .await?;
        id.map(account).transpose()
    }

    pub(crate) async fn credentials(
        &self,
        name_key: &str,
    ) -> Result<Option<Credentials>, StoreError> {
        let row: Option<(i64, String, Option<i64>)> =
            sqlx::query_as("SELECT id, password_hash, disabled FROM accounts WHERE name_key = $1")
                .bind(name_key)
                .fetch_optional(&self.0.pool)
                .await?;
        row.map(|(id, password_hash, disabled)| {
            Ok(Credentials {
                id: account(id)?,
                password_hash,
                disabled: disabled.is_some(),
            })
        })
        .transpose()
    }

    /// Accounts after `after` by number, at most `limit`.
    pub(crate) async fn page(
        &self,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountSummary>, StoreError> {
        let after = after.map_or(0, |id| i64::try_from(id.0).unwrap_or(i64::MAX));
        let rows: Vec<SummaryRow> = sqlx::query_as(
            "SELECT id, name, created, disabled FROM accounts
             WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.0.pool)
        .await?;
        rows.into_iter()
            .map(|(id, name, created, disabled)| {
                Ok(AccountSummary {
                    id: account(id)?,
                    name,
                    created: clock::from_sql(created),
                    disabled: disabled.map(clock::from_sql),
                })
            })
            .collect()
    }

    /// Disables or enables; whether there is such an account. A disabled account's tokens go.
    pub(crate) async fn set_disabled(
        &self,
        name_key: &str,
        disabled: Option<UnixSeconds>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.0.begin().await?;
        let id: Option<i64> = sqlx::query_scalar(
            "UPDATE accounts SET disabled = $1 WHERE name_key = $2 RETURNING id",
        )
        .bind(disabled.map(clock::to_sql))
        .bind(name_key)
        .fetch_optional(&mut *transaction)
        .await?;
        if let (Some(id), Some(_)) = (id, disabled) {
            sqlx::query("DELETE FROM tokens WHERE account = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(id.is_some())
    }
}

/// An account's number from its column.
pub(super) fn account(id: i64) -> Result<AccountId, StoreError> {
    u64::try_from(id)
        .map(AccountId)
        .map_err(|_| StoreError::Malformed("account number"))
}
