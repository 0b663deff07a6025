//! Rows of issued licenses: kept a day for disputes, then forgotten, so that a stolen database
//! tells at most one day of listening.

use antiphon_protocol::{AccountId, DeviceId, LicenseId, TrackId, UnixSeconds};

use super::{Store, StoreError};
use crate::clock;

/// How long a row is kept: 24 hours (the threat model's bound on play history).
pub(crate) const KEPT_SECS: u64 = 86_400;

/// An issued license.
#[derive(Clone, Debug)]
pub(crate) struct LicenseRow {
    pub id: LicenseId,
    pub account: AccountId,
    pub device: DeviceId,
    pub track: TrackId,
    pub issued: UnixSeconds,
}

/// Issued licenses in the database.
#[derive(Clone)]
pub(crate) struct LicenseRows(Store);

impl LicenseRows {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// Stores all rows in one transaction. Repeating it after a failure whose outcome is unknown
    /// changes nothing.
    pub(crate) async fn insert_all(&self, rows: &[LicenseRow]) -> Result<(), StoreError> {
        let mut transaction = self.0.begin().await?;
        for row in rows {
            sqlx::query(
                "INSERT INTO licenses (id, account, device, track, issued)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
            )
            .bind(row.id.as_bytes().as_slice())
            .bind(i64::try_from(row.account.0).unwrap_or(i64::MAX))
            .bind(row.device.as_bytes().as_slice())
            .bind(row.track.as_bytes().as_slice())
            .bind(clock::to_sql(row.issued))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets what is too old; how many rows that were.
    pub(crate) async fn prune(&self, now: UnixSeconds) -> Result<u64, StoreError> {
        let oldest = UnixSeconds(now.0.saturating_sub(KEPT_SECS));
        let done = sqlx::query("DELETE FROM licenses WHERE issued < $1")
            .bind(clock::to_sql(oldest))
            .execute(&self.0.pool)
            .await?;
        Ok(done.rows_affected())
    }
}
