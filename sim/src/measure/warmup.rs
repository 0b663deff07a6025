//! Whether enough of the beginning was left out: MSER-5.
//!
//! Means of five values each; the cut that makes the standard error of what is left smallest.

/// Values of a batch.
const BATCH: usize = 5;

/// How many values MSER-5 would leave out at the beginning; nothing if there are too few to tell.
///
/// Cuts in the second half are not looked at: there the error is small only because little is
/// left, which is the rule's known weakness.
#[must_use]
pub fn mser_5(values: &[f64]) -> Option<usize> {
    let batches: Vec<f64> = values
        .chunks_exact(BATCH)
        .map(|batch| batch.iter().sum::<f64>() / BATCH as f64)
        .collect();
    if batches.len() < 4 {
        return None;
    }
    let error = |cut: usize| {
        let rest = batches.get(cut..).unwrap_or_default();
        let count = rest.len() as f64;
        let mean = rest.iter().sum::<f64>() / count;
        let squares: f64 = rest.iter().map(|x| (x - mean) * (x - mean)).sum();
        squares / (count * count)
    };
    let cuts = 0..=batches.len() / 2;
    let best = cuts.min_by(|a, b| error(*a).total_cmp(&error(*b)))?;
    Some(best * BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_that_differs_is_cut_and_an_even_run_is_not() {
        let noise = |n: usize| ((n * 7_919) % 13) as f64 / 13.0;
        let even: Vec<f64> = (0..100).map(noise).collect();
        assert!(mser_5(&even).is_some_and(|cut| cut <= 10));
        let started: Vec<f64> = (0..100)
            .map(|n| noise(n) + if n < 20 { 50.0 - 2.0 * n as f64 } else { 0.0 })
            .collect();
        assert!(mser_5(&started).is_some_and(|cut| (20..=30).contains(&cut)));
    }

    #[test]
    fn too_short_a_run_says_nothing() {
        assert_eq!(mser_5(&[1.0; 19]), None);
    }
}
