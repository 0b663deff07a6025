//! Two variants beside each other, paired by seed: the same people, lines and wishes, so that what
//! differs is the policy's doing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::summary::{Estimate, Figures, estimate};
use crate::run::SeedRun;

/// One figure of both.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The first variant's mean.
    pub first: f64,
    /// The second's.
    pub second: f64,
    /// Second less first, seed by seed.
    pub difference: Estimate,
}

impl Pair {
    /// Whether the interval of the difference leaves out zero.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let half = self.difference.half_width;
        half.is_some_and(|half| self.difference.mean.abs() > half)
    }
}

/// Every figure both have, by name.
#[must_use]
pub fn compare(first: &[SeedRun], second: &[SeedRun]) -> BTreeMap<&'static str, Pair> {
    let pairs: Vec<(&Figures, &Figures)> = first
        .iter()
        .filter_map(|a| {
            let b = second.iter().find(|b| b.seed == a.seed)?;
            Some((&a.figures, &b.figures))
        })
        .collect();
    pair_up(&pairs)
}

fn pair_up(pairs: &[(&Figures, &Figures)]) -> BTreeMap<&'static str, Pair> {
    let names = pairs.iter().flat_map(|(a, _)| a.keys().copied());
    let names: std::collections::BTreeSet<&'static str> = names.collect();
    let mut all = BTreeMap::new();
    for name in names {
        let both = pairs
            .iter()
            .filter_map(|(a, b)| Some((*a.get(name)?, *b.get(name)?)));
        let (a, b): (Vec<f64>, Vec<f64>) = both.unzip();
        if a.is_empty() {
            continue;
        }
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
        let pair = Pair {
            first: estimate(&a).mean,
            second: estimate(&b).mean,
            difference: estimate(&differences),
        };
        all.insert(name, pair);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_taken_seed_by_seed() {
        let run = |x| Figures::from([("x", x)]);
        let (a, b) = (
            [run(1.0), run(100.0), run(50.0)],
            [run(2.0), run(101.0), run(51.0)],
        );
        let pairs: Vec<_> = a.iter().zip(&b).collect();
        let pair = &pair_up(&pairs)["x"];
        assert_eq!(pair.difference.half_width, Some(0.0));
        assert!(pair.is_clear() && (pair.difference.mean - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_varies_more_than_it_differs_is_not_clear() {
        let run = |x| Figures::from([("x", x)]);
        let (a, b) = ([run(1.0), run(2.0)], [run(2.0), run(1.5)]);
        let pairs: Vec<_> = a.iter().zip(&b).collect();
        assert!(!pair_up(&pairs)["x"].is_clear());
    }
}
