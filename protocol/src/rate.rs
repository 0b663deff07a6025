//! How often somebody may do something: so many at once after a pause, so many a second.
//!
//! Not here: clocks. The owner says how much time has passed since its own start.

use core::time::Duration;

/// Fractions of one use that a bucket counts in, so that slow rates do not round to nothing.
const UNIT: u64 = 1_000_000;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Millionths of a use a second.
    per_second: u64,
    burst: u64,
}

impl Rate {
    /// `uses` a second in the long run, `burst` at once; at least one of each.
    #[must_use]
    pub fn per_second(uses: u32, burst: u32) -> Self {
        Self {
            per_second: u64::from(uses.max(1)) * UNIT,
            burst: u64::from(burst.max(1)) * UNIT,
        }
    }

    /// `uses` a minute, at least one. A minute's allowance may be used at once.
    #[must_use]
    pub fn per_minute(uses: u32) -> Self {
        Self {
            per_second: (u64::from(uses.max(1)) * UNIT / 60).max(1),
            burst: u64::from(uses.max(1)) * UNIT,
        }
    }
}

/// The allowance of one who uses it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: u64,
    /// Micros since the owner's start.
    at: u64,
}

impl Bucket {
    /// As after a long pause.
    #[must_use]
    pub const fn full(rate: Rate) -> Self {
        Self {
            left: rate.burst,
            at: 0,
        }
    }

    /// Takes `cost` uses. One dearer than the whole bucket takes all of it. A clock that goes
    /// back counts as one that stands still.
    ///
    /// # Errors
    /// How long until they will be there; nothing is taken then.
    pub fn take(&mut self, rate: Rate, now: Duration, cost: u32) -> Result<(), Duration> {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let passed = now.saturating_sub(self.at);
        let gained = u128::from(passed) * u128::from(rate.per_second) / u128::from(UNIT);
        let gained = u64::try_from(gained).unwrap_or(u64::MAX);
        self.left = self.left.saturating_add(gained).min(rate.burst);
        self.at = self.at.max(now);
        let cost = (u64::from(cost) * UNIT).min(rate.burst);
        if let Some(left) = self.left.checked_sub(cost) {
            self.left = left;
            return Ok(());
        }
        let missing = u128::from(cost - self.left) * 1_000_000;
        let micros = missing.div_ceil(u128::from(rate.per_second));
        Err(Duration::from_micros(
            u64::try_from(micros).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate_and_says_when() {
        let rate = Rate::per_second(10, 3);
        let mut bucket = Bucket::full(rate);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, millis(0), 1), Ok(()));
        }
        assert_eq!(bucket.take(rate, millis(0), 1), Err(millis(100)));
        assert_eq!(bucket.take(rate, millis(99), 1), Err(millis(1)));
        assert_eq!(bucket.take(rate, millis(100), 1), Ok(()));
    }

    #[test]
    fn a_long_pause_fills_only_to_the_burst() {
        let rate = Rate::per_second(20, 2);
        let mut bucket = Bucket::full(rate);
        assert_eq!(bucket.take(rate, Duration::MAX, 2), Ok(()));
        assert!(bucket.take(rate, Duration::MAX, 1).is_err());
        assert!(bucket.take(rate, millis(0), 1).is_err());
    }

    #[test]
    fn a_use_dearer_than_the_bucket_is_still_possible() {
        let rate = Rate::per_second(10, 3);
        let mut bucket = Bucket::full(rate);
        assert_eq!(bucket.take(rate, millis(0), 1_000), Ok(()));
        assert!(bucket.take(rate, millis(0), 1).is_err());
    }

    #[test]
    fn a_minute_s_allowance_comes_back_in_a_minute() {
        let rate = Rate::per_minute(6);
        let mut bucket = Bucket::full(rate);
        assert_eq!(bucket.take(rate, millis(0), 6), Ok(()));
        assert_eq!(bucket.take(rate, millis(0), 1), Err(millis(10_000)));
        assert_eq!(bucket.take(rate, millis(60_000), 6), Ok(()));
    }
}
