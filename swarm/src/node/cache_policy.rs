//! What to drop when the disk budget is exceeded: what was used longest ago.
//!
//! Simulations of the published design showed that the policy hardly matters for large caches.
//! Not here: pins and plays; the caller offers only what may go.

use crate::key::RenditionKey;
use crate::node::complete::UsedAt;

/// The rendition to drop first of those that may go: unused longest, of equals the lowest key.
pub(crate) fn first_to_go(
    candidates: impl Iterator<Item = (UsedAt, RenditionKey)>,
    may_go: impl Fn(RenditionKey) -> bool,
) -> Option<RenditionKey> {
    let mut first: Option<(UsedAt, RenditionKey)> = None;
    for candidate in candidates {
        // Few of hundreds come before all those that were looked at, so it is asked of few.
        if first.is_none_or(|first| candidate < first) && may_go(candidate.1) {
            first = Some(candidate);
        }
    }
    first.map(|(_, rendition)| rendition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Instant};

    #[test]
    fn the_longest_unused_goes_first() {
        let now = Instant::START;
        let used = |secs| UsedAt::new(now, Duration::from_secs(secs));
        let all = [(10, 1), (1_000, 3), (500, 4), (1_000, 2), (2_000, 5)];
        let all = all.map(|(idle, key)| (used(idle), RenditionKey(key)));
        let first = |kept: &[u32]| first_to_go(all.into_iter(), |key| !kept.contains(&key.0));
        assert_eq!(first(&[]), Some(RenditionKey(5)));
        assert_eq!(first(&[5]), Some(RenditionKey(2)));
        assert_eq!(first(&[5, 2, 3, 1]), Some(RenditionKey(4)));
        assert_eq!(first(&[1, 2, 3, 4, 5]), None);
    }
}
