//! How long to wait before the next try: doubling, bounded, and spread so that the nodes of a
//! tracker that was away do not all come back at the same moment.

use std::time::Duration;

use rand::RngExt;

/// First wait. Short, because most losses are a network that changed.
const FIRST: Duration = Duration::from_millis(250);
/// Longest wait: a tracker that comes back is noticed within half a minute; guess.
const LONGEST: Duration = Duration::from_secs(30);

/// The wait after the last failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait: between half and all of the doubled time.
    pub(super) fn next(&mut self, rng: &mut impl rand::Rng) -> Duration {
        let doubled = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = doubled / 2;
        let micros = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(rng.random_range(0..=micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_start_over_after_success() {
        let mut rng = rand::rng();
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.next(&mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(waits.iter().skip(10).all(|wait| *wait >= LONGEST / 2));
        assert!(waits.first().is_some_and(|wait| *wait <= FIRST));
        backoff.reset();
        assert!(backoff.next(&mut rng) <= FIRST);
    }
}
