//! Who may read: checks the capability of a request.
//!
//! Not here: what may be asked, and how often.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use antiphon_protocol::UnixSeconds;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Capability;
use ed25519_dalek::VerifyingKey;

use super::recent::RecentMap;
use super::refusal::Refusal;

/// Lets requests pass that show a living capability of the tracker; or all, without its key.
#[derive(Debug)]
pub(crate) struct Gate {
    key: Option<VerifyingKey>,
    /// Capabilities whose signature was found good, by their hash.
    known: Mutex<RecentMap<[u8; 32], Capability>>,
}

impl Gate {
    pub(crate) fn new(key: Option<VerifyingKey>) -> Self {
        Self {
            key,
            known: Mutex::new(RecentMap::new(KNOWN_MAX)),
        }
    }

    /// Whether a request that shows `capability` may read now.
    pub(crate) fn check(&self, capability: Option<&Signed<Capability>>) -> Result<(), Refusal> {
        let Some(key) = &self.key else {
            return Ok(());
        };
        let signed = capability.ok_or(Refusal::CAPABILITY)?;
        let hash = *blake3::hash(&signed.to_bytes()).as_bytes();
        let known = self.known().get(&hash);
        let capability = match known {
            Some(capability) => capability,
            None => {
                let capability = signed.open(key).map_err(|_| Refusal::CAPABILITY)?;
                self.known().insert(hash, capability.clone(), 1);
                capability
            }
        };
        if capability.admits(now()) {
            Ok(())
        } else {
            Err(Refusal::CAPABILITY)
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, RecentMap<[u8; 32], Capability>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds(since.map_or(0, |since| since.as_secs()))
}

/// One is good for 15 minutes and for one node: twice the connections of a busy origin. Guess.
const KNOWN_MAX: u64 = 4_096;

#[cfg(test)]
mod tests {
    use antiphon_protocol::ticket::{CLOCK_TOLERANCE_SECS, PASS_LIFETIME_SECS};
    use ed25519_dalek::SigningKey;

    use super::*;

    fn signed(key: &SigningKey, expires: UnixSeconds) -> Signed<Capability> {
        Signed::sign(&Capability { nonce: 1, expires }, key)
    }

    #[test]
    fn only_living_capabilities_of_the_right_signer_pass() {
        let tracker = SigningKey::from_bytes(&[1; 32]);
        let forger = SigningKey::from_bytes(&[2; 32]);
        let gate = Gate::new(Some(tracker.verifying_key()));
        let soon = now().plus_secs(60);
        let good = signed(&tracker, soon);
        // The second time it is a known one.
        assert_eq!(gate.check(Some(&good)), Ok(()));
        assert_eq!(gate.check(Some(&good)), Ok(()));
        let late = UnixSeconds(now().0 - CLOCK_TOLERANCE_SECS - 10);
        let far = now().plus_secs(PASS_LIFETIME_SECS + CLOCK_TOLERANCE_SECS + 60);
        for bad in [
            None,
            Some(signed(&forger, soon)),
            Some(signed(&tracker, late)),
            Some(signed(&tracker, far)),
        ] {
            assert_eq!(gate.check(bad.as_ref()), Err(Refusal::CAPABILITY));
        }
    }

    #[test]
    fn an_open_origin_asks_for_nothing() {
        assert_eq!(Gate::new(None).check(None), Ok(()));
    }
}
