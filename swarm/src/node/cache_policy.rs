//! What to drop when the disk budget is exceeded: what was used longest ago.
//!
//! Simulations of the published design showed that the policy hardly matters for large caches.
//! Not here: pins and plays; the caller offers only what may go.

use crate::key::RenditionKey;
use crate::node::complete::UsedAt;

/// The rendition to drop first: unused longest, of equals the lowest key.
pub(crate) fn first_to_go(
    candidates: impl Iterator<Item = (UsedAt, RenditionKey)>,
) -> Option<RenditionKey> {
    candidates.min().map(|(_, rendition)| rendition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Instant};

    #[test]
    fn the_longest_unused_goes_first() {
        let now = Instant::START;
        let used = |secs| UsedAt::new(now, Duration::from_secs(secs));
        let all = [(used(10), RenditionKey(1)), (used(1_000), RenditionKey(2))];
        assert_eq!(first_to_go(all.into_iter()), Some(RenditionKey(2)));
        assert_eq!(first_to_go(core::iter::empty()), None);
    }
}
