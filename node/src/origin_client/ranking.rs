//! Which origin to ask first: the given order, but those that just failed come last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_swarm::node::output::OriginRoute;

use super::link::Link;

/// The links in the order to ask them.
pub(super) fn ranked(links: &[Arc<Link>], route: OriginRoute) -> Vec<Arc<Link>> {
    let now = Instant::now();
    let mut ranked = links.to_vec();
    // Stable: among equals the tracker's order stays.
    ranked.sort_by_key(|link| link.health(route).is_avoided(now));
    ranked
}

/// How an origin has been doing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    failures: u32,
    avoid_until: Option<Instant>,
}

impl Health {
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1).min(DOUBLINGS_MAX);
        self.avoid_until = Some(now + AVOID_FIRST * 2_u32.pow(self.failures - 1));
    }

    fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.is_some_and(|until| now < until)
    }
}

/// One second after the first failure, doubled up to 32 s. Guess.
const AVOID_FIRST: Duration = Duration::from_secs(1);
const DOUBLINGS_MAX: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_avoided_longer_and_longer_until_a_success() {
        let start = Instant::now();
        let mut health = Health::default();
        assert!(!health.is_avoided(start));
        health.failed(start);
        assert!(health.is_avoided(start));
        assert!(!health.is_avoided(start + AVOID_FIRST));
        for _ in 0..100 {
            health.failed(start);
        }
        assert!(health.is_avoided(start + Duration::from_secs(31)));
        assert!(!health.is_avoided(start + Duration::from_secs(32)));
        health.succeeded();
        assert!(!health.is_avoided(start));
    }
}
