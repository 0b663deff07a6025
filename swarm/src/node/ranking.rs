//! How soon a source will deliver: integer running means and deviations of its rate and of its
//! first-byte delay, in 20 bytes.
//!
//! Not here: which sources there are, what is in flight.

use crate::time::Duration;

/// Rate believed of a source without history: 4 Mbit/s, a slice of a common uplink. Guess.
pub(crate) const PRIOR_RATE: u32 = 500_000;

/// Lowest rate an estimate can sink to, so that a source recovers: 16 kbit/s. Guess.
const RATE_MIN: u32 = 2_000;

/// What was measured of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Bytes a second, running mean.
    rate: u32,
    /// Mean deviation of the rate.
    rate_dev: u32,
    /// Microseconds to the first verified chunk, running mean.
    delay: u32,
    /// Mean deviation of the delay.
    delay_dev: u32,
    samples: u8,
}

impl Default for Estimate {
    fn default() -> Self {
        Self {
            rate: PRIOR_RATE,
            rate_dev: PRIOR_RATE / 2,
            delay: 0,
            delay_dev: 0,
            samples: 0,
        }
    }
}

impl Estimate {
    /// Whether nothing was measured yet.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        self.samples == 0
    }

    /// Bytes a second.
    #[must_use]
    pub const fn rate(self) -> u32 {
        self.rate
    }

    /// A span of `bytes` took `took`, of which `first` until the first chunk.
    pub fn measured(&mut self, bytes: u64, took: Duration, first: Duration) {
        let micros = took.as_micros().max(1);
        let rate = u128::from(bytes) * 1_000_000 / u128::from(micros);
        let rate = u32::try_from(rate).unwrap_or(u32::MAX).max(RATE_MIN);
        let delay = u32::try_from(first.as_micros()).unwrap_or(u32::MAX);
        if self.samples == 0 {
            (self.rate, self.rate_dev) = (rate, rate / 2);
            (self.delay, self.delay_dev) = (delay, delay / 2);
        } else {
            (self.rate, self.rate_dev) = fold(self.rate, self.rate_dev, rate);
            (self.delay, self.delay_dev) = fold(self.delay, self.delay_dev, delay);
        }
        self.samples = self.samples.saturating_add(1);
    }

    /// It let an urgent span stall: believe half of its rate.
    pub fn stalled(&mut self) {
        self.rate = (self.rate / 2).max(RATE_MIN);
        self.samples = self.samples.max(1);
    }

    /// When `bytes` behind `queued` ones are expected from a source `rtt` away.
    #[must_use]
    pub fn delivery(self, queued: u64, bytes: u64, rtt: Duration) -> Duration {
        let rate = u64::from(self.rate.max(RATE_MIN));
        // What is in flight fits by far; a division of 128 bits would cost ten times as much.
        let byte_micros = queued.saturating_add(bytes).checked_mul(1_000_000);
        let transfer = byte_micros.map_or(Duration::MAX, |all| Duration::from_micros(all / rate));
        transfer.saturating_add(rtt)
    }

    /// The 95th percentile of the first-byte delay: mean and three mean deviations, which cover
    /// it for the skewed delays of networks.
    #[must_use]
    pub const fn delay_p95(self) -> Duration {
        let micros = self.delay as u64 + 3 * self.delay_dev as u64;
        Duration::from_micros(micros)
    }

    /// The time the source takes for one chunk.
    #[must_use]
    pub fn chunk_time(self) -> Duration {
        self.delivery(0, antiphon_protocol::CHUNK_BYTES, Duration::ZERO)
    }

    /// Whole chunks it sends in `time`.
    #[must_use]
    pub fn chunks_in(self, time: Duration) -> u32 {
        let bytes = u128::from(self.rate) * u128::from(time.as_micros()) / 1_000_000;
        u32::try_from(bytes / u128::from(antiphon_protocol::CHUNK_BYTES)).unwrap_or(u32::MAX)
    }
}

/// Moves a mean by a quarter, a deviation by an eighth of the error: TCP's timer, faster.
fn fold(mean: u32, dev: u32, sample: u32) -> (u32, u32) {
    let error = i64::from(sample) - i64::from(mean);
    let next = i64::from(mean) + error / 4;
    let dev = i64::from(dev) + (error.abs() - i64::from(dev)) / 4;
    let fit = |value: i64| u32::try_from(value.max(0)).unwrap_or(u32::MAX);
    (fit(next), fit(dev))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_approach_what_is_measured() {
        let mut estimate = Estimate::default();
        assert!(estimate.is_unknown());
        for _ in 0..20 {
            estimate.measured(1_000_000, Duration::from_secs(1), Duration::from_millis(40));
        }
        assert!(estimate.rate().abs_diff(1_000_000) < 10_000);
        assert!(estimate.delay_p95() < Duration::from_millis(60));
        assert!(estimate.delay_p95() >= Duration::from_millis(39));
    }

    #[test]
    fn a_queue_and_distance_delay_delivery() {
        let mut estimate = Estimate::default();
        estimate.measured(100_000, Duration::from_secs(1), Duration::from_millis(1));
        let near = estimate.delivery(0, 50_000, Duration::from_millis(10));
        let queued = estimate.delivery(50_000, 50_000, Duration::from_millis(10));
        assert_eq!(near, Duration::from_millis(510));
        assert_eq!(queued, Duration::from_millis(1_010));
    }

    #[test]
    fn extremes_neither_overflow_nor_divide_by_zero() {
        let mut estimate = Estimate::default();
        estimate.measured(u64::MAX, Duration::ZERO, Duration::MAX);
        for _ in 0..64 {
            estimate.stalled();
        }
        assert!(estimate.rate() >= RATE_MIN);
        let _ = estimate.delivery(u64::MAX, u64::MAX, Duration::MAX);
    }
}
