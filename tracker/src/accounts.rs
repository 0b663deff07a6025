//! Rules of accounts: names, passwords, logging in, access tokens.
//!
//! An unknown name costs the same work and gets the same answer as a wrong password. Not here:
//! how often somebody may try (`rate`), and rows (`store`).

mod password;

use antiphon_protocol::identity::DevicePublic;
use antiphon_protocol::tracker::{AccessToken, Password};
use antiphon_protocol::{AccountId, DeviceId, UnixSeconds};
use ed25519_dalek::VerifyingKey;
use rand::Rng;

use crate::clock;
use crate::store::accounts::AccountRows;
use crate::store::sessions::SessionRows;
use crate::store::{Store, StoreError};
pub use password::HashError;
pub(crate) use password::PasswordHasher;

/// Bytes of an account's name (the protocol's rule).
const NAME_BYTES: core::ops::RangeInclusive<usize> = 1..=64;
/// Bytes of a password (the protocol's rule).
const PASSWORD_BYTES: core::ops::RangeInclusive<usize> = 8..=256;

/// Accounts of this tracker.
pub(crate) struct Accounts {
    accounts: AccountRows,
    sessions: SessionRows,
    hasher: PasswordHasher,
    token_secs: u64,
}

/// A fresh login.
pub(crate) struct NewSession {
    pub account: AccountId,
    pub token: AccessToken,
    pub expires: UnixSeconds,
}

/// What a good token proved.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub account: AccountId,
    pub device: DevicePublic,
    pub device_id: DeviceId,
    pub expires: UnixSeconds,
}

impl Accounts {
    pub(crate) async fn new(store: &Store, token_days: u32) -> Result<Self, HashError> {
        Ok(Self {
            accounts: AccountRows::new(store.clone()),
            sessions: SessionRows::new(store.clone()),
            hasher: PasswordHasher::start().await?,
            token_secs: u64::from(token_days) * 86_400,
        })
    }

    /// Makes an account. When this returns, the account survives a power cut.
    pub(crate) async fn add(
        &self,
        name: &str,
        password: &Password,
    ) -> Result<AccountId, AccountError> {
        let name_key = name_key(name).ok_or(AccountError::Name)?;
        if !PASSWORD_BYTES.contains(&password.0.len()) {
            return Err(AccountError::Password);
        }
        let hash = self.hasher.hash(password).await?;
        let id = self.accounts.insert(name, &name_key, &hash).await?;
        id.ok_or(AccountError::NameTaken)
    }

    /// Makes an account and logs in.
    pub(crate) async fn register(
        &self,
        name: &str,
        password: &Password,
        device: &DevicePublic,
    ) -> Result<NewSession, AccountError> {
        check_device(device)?;
        let account = self.add(name, password).await?;
        self.issue(account, device).await
    }

    /// Logs in.
    pub(crate) async fn login(
        &self,
        name: &str,
        password: &Password,
        device: &DevicePublic,
    ) -> Result<NewSession, AccountError> {
        check_device(device)?;
        if !PASSWORD_BYTES.contains(&password.0.len()) {
            return Err(AccountError::Login);
        }
        // A name that cannot exist is looked up all the same, as an empty one that never does.
        let name_key = name_key(name).unwrap_or_default();
        let known = self.accounts.credentials(&name_key).await?;
        let stored = known.as_ref().map(|known| known.password_hash.clone());
        let matches = self.hasher.verify(password, stored).await?;
        match known {
            Some(known) if matches && !known.disabled => self.issue(known.id, device).await,
            _ => Err(AccountError::Login),
        }
    }

    /// What `token` stands for now, if it is good.
    pub(crate) async fn session(&self, token: &AccessToken) -> Result<Option<Session>, StoreError> {
        let row = self.sessions.find(&token_hash(token)).await?;
        Ok(row
            .filter(|row| !row.disabled && clock::now() < row.expires)
            .map(|row| Session {
                account: row.account,
                device: row.device,
                device_id: row.device.id(),
                expires: row.expires,
            }))
    }

    async fn issue(
        &self,
        account: AccountId,
        device: &DevicePublic,
    ) -> Result<NewSession, AccountError> {
        let mut token = AccessToken([0; 32]);
        rand::rng().fill_bytes(&mut token.0);
        let now = clock::now();
        let expires = now.plus_secs(self.token_secs);
        self.sessions
            .insert(&token_hash(&token), account, device, now, expires)
            .await?;
        Ok(NewSession {
            account,
            token,
            expires,
        })
    }
}

/// The form of a name that must be unique, or nothing for a name nobody may have.
pub(crate) fn name_key(name: &str) -> Option<String> {
    let legal = |c: char| c.is_alphanumeric() || " ._-@+'".contains(c);
    let sane = NAME_BYTES.contains(&name.len()) && name.trim() == name && name.chars().all(legal);
    sane.then(|| name.to_lowercase())
}

fn check_device(device: &DevicePublic) -> Result<(), AccountError> {
    match VerifyingKey::from_bytes(&device.signing) {
        Ok(key) if !key.is_weak() && device.sealing != [0; 32] => Ok(()),
        _ => Err(AccountError::Device),
    }
}

/// Tokens are random, so one fast hash is as good as a slow one.
fn token_hash(token: &AccessToken) -> [u8; 32] {
    blake3::derive_key("antiphon tracker access token v1", &token.0)
}

/// Why an account operation did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The name breaks the rules.
    #[error("a name has 1 to 64 bytes of letters, digits, spaces and . _ - @ + '")]
    Name,
    /// The password breaks the rules.
    #[error("a password has 8 to 256 bytes")]
    Password,
    /// Somebody has the name.
    #[error("this name is taken; choose another")]
    NameTaken,
    /// Name or password.
    #[error("wrong name or password")]
    Login,
    /// The device's keys are no keys.
    #[error("the device's keys are not usable")]
    Device,
    /// Nobody has the name.
    #[error("there is no account with this name")]
    Unknown,
    /// Too many passwords are being checked.
    #[error("too many logins at once; try again later")]
    Busy,
    /// Hashing failed.
    #[error("password hashing failed: {0}")]
    Hash(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HashError> for AccountError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed(reason) => Self::Hash(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_whatever_their_case_and_never_strange() {
        assert_eq!(name_key("Élodie"), name_key("éLODIE"));
        for bad in ["", " a", "a ", "a\nb", "a\u{202e}b", "<b>", &"x".repeat(65)] {
            assert_eq!(name_key(bad), None, "{bad:?}");
        }
    }
}
