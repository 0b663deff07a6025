//! A neighbor's allowance, on the monotonic clock.

use std::time::{Duration, Instant};

use antiphon_protocol::rate::{Bucket, Rate};

/// So many tokens a second, so many at once after a pause.
#[derive(Debug)]
pub(super) struct TokenBucket {
    rate: Rate,
    start: Instant,
    bucket: Bucket,
}

impl TokenBucket {
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let rate = Rate::per_second(per_second, burst);
        Self {
            rate,
            start: now,
            bucket: Bucket::full(rate),
        }
    }

    /// Takes `tokens` if they are there.
    ///
    /// # Errors
    /// How long until they will be; nothing is taken then.
    pub(super) fn take(&mut self, tokens: u32, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.start);
        self.bucket.take(self.rate, since, tokens)
    }
}
