//! Password hashing, off the async threads and a bounded number at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_protocol::tracker::Password;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::Rng;
use tokio::sync::Semaphore;

/// Hashes at once: each takes 19 MiB and a core for tens of milliseconds. Two leave a small
/// machine's other work alive; guess.
const AT_ONCE_MAX: usize = 2;
/// Logins waiting for their turn: about two seconds' worth; more are told to come back.
const WAITING_MAX: usize = 64;

/// OWASP's first recommendation for argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes and checks passwords.
pub(crate) struct PasswordHasher {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Checked against when there is no account, so that this takes as long.
    decoy: String,
}

impl PasswordHasher {
    pub(crate) async fn start() -> Result<Self, HashError> {
        let mut unguessable = [0_u8; 32];
        rand::rng().fill_bytes(&mut unguessable);
        let decoy = run(move || hash(&unguessable)).await??;
        Ok(Self {
            permits: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            waiting: AtomicUsize::new(0),
            decoy,
        })
    }

    pub(crate) async fn hash(&self, password: &Password) -> Result<String, HashError> {
        let password = password.clone();
        self.queued(move || hash(password.0.as_bytes())).await?
    }

    /// Whether the password belongs to `stored`; the same work when nothing is stored.
    pub(crate) async fn verify(
        &self,
        password: &Password,
        stored: Option<String>,
    ) -> Result<bool, HashError> {
        let password = password.clone();
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.decoy.clone());
        let matches = self
            .queued(move || {
                let stored = phc::PasswordHash::new(&stored).map_err(failed)?;
                // The parameters are taken from the stored hash.
                Ok(Argon2::default()
                    .verify_password(password.0.as_bytes(), &stored)
                    .is_ok())
            })
            .await??;
        Ok(matches && known)
    }

    async fn queued<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Place::take(&self.waiting)?;
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(failed)?;
        drop(place);
        run(move || {
            let result = work();
            // Held by the work itself: a caller that goes away must not free the place early.
            drop(permit);
            result
        })
        .await
    }
}

/// A place in the queue, given back even when the waiting caller goes away.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Result<Self, HashError> {
        let place = Self(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            return Err(HashError::Busy);
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn hash(password: &[u8]) -> Result<String, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
    let mut salt = [0_u8; 16];
    rand::rng().fill_bytes(&mut salt);
    let hash: phc::PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password, &salt)
        .map_err(failed)?;
    Ok(hash.to_string())
}

async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashError> {
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn failed(error: impl core::fmt::Display) -> HashError {
    HashError::Failed(error.to_string())
}

/// Why no hash was made or checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Too many wait already.
    #[error("too many logins at once")]
    Busy,
    /// The algorithm or the thread pool failed.
    #[error("password hashing failed: {0}")]
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only_and_never_the_decoy() {
        let hasher = PasswordHasher::start().await.unwrap();
        let (right, wrong) = (Password("correct horse".into()), Password("battery".into()));
        let stored = hasher.hash(&right).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let check = async |password, stored| hasher.verify(password, stored).await.unwrap();
        assert!(check(&right, Some(stored.clone())).await);
        assert!(!check(&wrong, Some(stored)).await);
        assert!(!check(&right, None).await);
    }

    #[test]
    fn a_full_queue_refuses_and_a_left_place_is_free_again() {
        let waiting = AtomicUsize::new(0);
        let places: Vec<_> = (0..WAITING_MAX)
            .map(|_| Place::take(&waiting).unwrap())
            .collect();
        assert!(matches!(Place::take(&waiting), Err(HashError::Busy)));
        drop(places);
        assert!(Place::take(&waiting).is_ok());
    }
}
