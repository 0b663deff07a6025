//! What peers call a rendition's swarm on a given day.
//!
//! Nodes are given the new day's names from midnight (UTC) on when they announce, and are asked
//! for under them only some minutes later, when most have announced again. They keep answering
//! to the former names for an hour, which covers both.

use antiphon_protocol::{ContentId, SwarmId, UnixSeconds};
use zeroize::Zeroizing;

/// Length of an epoch: a day (the threat model's compromise between linking and churn).
pub(crate) const EPOCH_SECS: u64 = 86_400;

/// How long after midnight swarms are still asked for under yesterday's names. Twice the time in
/// which all nodes are told to announce again ([`RENAME_SPREAD_SECS`]).
const ASK_DELAY_SECS: u64 = 2 * RENAME_SPREAD_SECS;

/// Within this time after midnight every node is told to announce again: five minutes spread the
/// load of a full registry to a small multiple of the ordinary one. Guess.
pub(crate) const RENAME_SPREAD_SECS: u64 = 300;

/// Makes swarm names. Only the tracker can tell which content a name stands for.
pub(crate) struct SwarmNames {
    master: Zeroizing<[u8; 32]>,
}

impl SwarmNames {
    pub(crate) const fn new(master: Zeroizing<[u8; 32]>) -> Self {
        Self { master }
    }

    /// The name a holder is to know at `now`.
    pub(crate) fn announced(&self, content: ContentId, now: UnixSeconds) -> SwarmId {
        self.name(content, epoch(now))
    }

    /// The name to ask holders under at `now`.
    pub(crate) fn asked(&self, content: ContentId, now: UnixSeconds) -> SwarmId {
        self.name(content, now.0.saturating_sub(ASK_DELAY_SECS) / EPOCH_SECS)
    }

    fn name(&self, content: ContentId, epoch: u64) -> SwarmId {
        let epoch_key =
            Zeroizing::new(*blake3::keyed_hash(&self.master, &epoch.to_le_bytes()).as_bytes());
        let mut hasher = blake3::Hasher::new_keyed(&epoch_key);
        hasher.update(content.as_bytes());
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        SwarmId(id)
    }
}

/// The number of the day whose names holders are to know.
pub(crate) const fn epoch(now: UnixSeconds) -> u64 {
    now.0 / EPOCH_SECS
}

/// Seconds until the next names come into use.
pub(crate) const fn secs_to_next_epoch(now: UnixSeconds) -> u64 {
    EPOCH_SECS - now.0 % EPOCH_SECS
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT: u64 = 20_000 * EPOCH_SECS;

    #[test]
    fn names_change_at_midnight_and_are_asked_for_a_little_later() {
        let names = SwarmNames::new(Zeroizing::new([5; 32]));
        let content = ContentId([1; 32]);
        let old = names.announced(content, UnixSeconds(MIDNIGHT - 1));
        let new = names.announced(content, UnixSeconds(MIDNIGHT));
        assert_ne!(old, new);
        assert_eq!(names.asked(content, UnixSeconds(MIDNIGHT - 1)), old);
        assert_eq!(names.asked(content, UnixSeconds(MIDNIGHT + 599)), old);
        assert_eq!(names.asked(content, UnixSeconds(MIDNIGHT + 600)), new);
        assert_eq!(secs_to_next_epoch(UnixSeconds(MIDNIGHT - 1)), 1);
    }

    #[test]
    fn names_depend_on_the_secret_and_on_the_content() {
        let now = UnixSeconds(MIDNIGHT);
        let names = SwarmNames::new(Zeroizing::new([5; 32]));
        let others = SwarmNames::new(Zeroizing::new([6; 32]));
        let (a, b) = (ContentId([1; 32]), ContentId([2; 32]));
        assert_ne!(names.announced(a, now), names.announced(b, now));
        assert_ne!(names.announced(a, now), others.announced(a, now));
    }
}
