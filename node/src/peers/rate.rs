//! A token bucket on the monotonic clock.

use std::time::{Duration, Instant};

/// So many tokens a second, so many at once after a pause.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: u32,
    burst: u32,
    /// In millionths of a token, so that slow rates do not round to nothing.
    level_millionths: u64,
    updated: Instant,
}

const MILLION: u64 = 1_000_000;

impl TokenBucket {
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self {
            per_second,
            burst,
            level_millionths: u64::from(burst) * MILLION,
            updated: now,
        }
    }

    /// Takes `tokens` if they are there.
    ///
    /// # Errors
    /// How long until they will be; nothing is taken then.
    pub(super) fn take(&mut self, tokens: u32, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        let wanted = u64::from(tokens.min(self.burst)) * MILLION;
        match self.level_millionths.checked_sub(wanted) {
            Some(rest) => {
                self.level_millionths = rest;
                Ok(())
            }
            None => {
                let missing = wanted - self.level_millionths;
                let micros = missing.div_ceil(u64::from(self.per_second.max(1)));
                Err(Duration::from_micros(micros))
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        let micros = now.saturating_duration_since(self.updated).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let gained = micros.saturating_mul(u64::from(self.per_second));
        self.level_millionths = self
            .level_millionths
            .saturating_add(gained)
            .min(u64::from(self.burst) * MILLION);
        self.updated = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(20, 40, start);
        assert!((0..40).all(|_| bucket.take(1, start).is_ok()));
        assert_eq!(bucket.take(1, start), Err(Duration::from_millis(50)));
        assert!(bucket.take(1, start + Duration::from_millis(50)).is_ok());
        assert!(bucket.take(1, start + Duration::from_millis(50)).is_err());
    }

    #[test]
    fn a_long_pause_fills_only_to_the_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(20, 2, start);
        let later = start + Duration::from_secs(1_000_000);
        assert!(bucket.take(2, later).is_ok());
        assert!(bucket.take(1, later).is_err());
    }
}
