//! Percentiles of times without keeping every value: buckets of 1.6 % width.

/// Bits of precision within a power of two.
const PRECISION: u32 = 6;
const BUCKETS: usize = (64 - PRECISION as usize + 1) << PRECISION;

/// A histogram of microseconds.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

impl Histogram {
    /// Counts a value.
    pub fn note(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
    }

    /// Values counted.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.total
    }

    /// Whether none was.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The value below which `share` of all lie; nothing if there is none.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let rank = (libm::ceil(self.total as f64 * share) as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(middle(index));
            }
        }
        None
    }

    /// The share of all values at or below `value`, as far as buckets tell.
    #[must_use]
    pub fn share_up_to(&self, value: u64) -> f64 {
        let below = self.counts.iter().take(bucket(value) + 1).sum::<u64>();
        below as f64 / self.total.max(1) as f64
    }
}

fn bucket(value: u64) -> usize {
    let exponent = 63 - (value | 1 << PRECISION).leading_zeros() - PRECISION;
    ((exponent as usize) << PRECISION) + (value >> exponent) as usize
}

fn middle(bucket: usize) -> u64 {
    if bucket < 2 << PRECISION {
        return bucket as u64;
    }
    let exponent = (bucket >> PRECISION) - 1;
    let low = ((bucket & ((1 << PRECISION) - 1)) | 1 << PRECISION) as u64;
    (low << exponent) + (1 << exponent) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_the_width_of_a_bucket() {
        let mut histogram = Histogram::default();
        for value in 1..=100_000_u64 {
            histogram.note(value);
        }
        for (share, expected) in [
            (0.5, 50_000.0),
            (0.9, 90_000.0),
            (0.99, 99_000.0),
            (1.0, 100_000.0),
        ] {
            let value = histogram.percentile(share).expect("not empty") as f64;
            assert!((value / expected - 1.0).abs() < 0.016, "{share}: {value}");
        }
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn every_value_has_a_bucket_that_contains_it() {
        for value in [0, 1, 63, 64, 127, 128, 1_000, 1 << 20, u64::MAX] {
            let middle = middle(bucket(value));
            assert!(
                middle.abs_diff(value) <= value / 64,
                "{value} in the bucket of {middle}"
            );
        }
    }
}
