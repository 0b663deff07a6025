//! Medians and percentiles of small samples.

/// The value below which `percent` of the samples lie (nearest rank); nothing for no samples.
#[must_use]
pub fn percentile(samples: &[f64], percent: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The middle one; nothing for no samples.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    percentile(samples, 50.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples = [5.0, 1.0, 3.0, 2.0, 4.0];
        assert_eq!(median(&samples), Some(3.0));
        assert_eq!(percentile(&samples, 95.0), Some(5.0));
        assert_eq!(percentile(&samples, 1.0), Some(1.0));
        assert_eq!(median(&[]), None);
    }
}
