//! Rows of devices and access tokens. Of a token only its hash is stored.

use antiphon_protocol::identity::DevicePublic;
use antiphon_protocol::{AccountId, UnixSeconds};

use super::accounts::account;
use super::{Store, StoreError, bytes};
use crate::clock;

/// Tokens an account may have at once; the oldest go first. Guess: more devices than anybody has.
const TOKENS_PER_ACCOUNT_MAX: i64 = 64;

/// What a token stands for.
pub(crate) struct TokenRow {
    pub account: AccountId,
    pub device: DevicePublic,
    pub expires: UnixSeconds,
    pub disabled: bool,
}

type TokenColumns = (i64, Vec<u8>, Vec<u8>, i64, Option<i64>);

/// Devices and tokens in the database.
#[derive(Clone)]
pub(crate) struct SessionRows(Store);

impl SessionRows {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    /// Stores a token's hash for a device. Durable when it returns.
    pub(crate) async fn insert(
        &self,
        hash: &[u8; 32],
        account: AccountId,
        device: &DevicePublic,
        now: UnixSeconds,
        expires: UnixSeconds,
    ) -> Result<(), StoreError> {
        let account = i64::try_from(account.0).unwrap_or(i64::MAX);
        let now = clock::to_sql(now);
        let device_id = device.id();
        let mut transaction = self.0.begin().await?;
        sqlx::query(
            "INSERT INTO devices (id, signing, sealing, created)
             VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING",
        )
        .bind(device_id.as_bytes().as_slice())
        .bind(device.signing.as_slice())
        .bind(device.sealing.as_slice())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO tokens (hash, account, device, created, expires)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(hash.as_slice())
        .bind(account)
        .bind(device_id.as_bytes().as_slice())
        .bind(now)
        .bind(clock::to_sql(expires))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM tokens WHERE account = $1 AND hash <> $2 AND (expires <= $3 OR hash NOT IN
             (SELECT hash FROM tokens WHERE account = $1 ORDER BY created DESC, hash LIMIT $4))",
        )
        .bind(account)
        .bind(hash.as_slice())
        .bind(now)
        .bind(TOKENS_PER_ACCOUNT_MAX)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(crate) async fn find(&self, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let row: Option<TokenColumns> = sqlx::query_as(
            "SELECT tokens.account, devices.signing, devices.sealing, tokens.expires,
                    accounts.disabled
             FROM tokens
             JOIN accounts ON accounts.id = tokens.account
             JOIN devices ON devices.id = tokens.device
             WHERE tokens.hash = $1",
        )
        .bind(hash.as_slice())
        .fetch_optional(&self.0.pool)
        .await?;
        row.map(|(id, signing, sealing, expires, disabled)| {
            Ok(TokenRow {
                account: account(id)?,
                device: DevicePublic {
                    signing: bytes("device key", &signing)?,
                    sealing: bytes("device key", &sealing)?,
                },
                expires: clock::from_sql(expires),
                disabled: disabled.is_some(),
            })
        })
        .transpose()
    }
}
