//! What a run came to: named figures of each seed, and their means with 95 % intervals.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::histogram::Histogram;
use crate::measure::tally::Tally;

/// The figures of one seed, by name.
pub type Figures = BTreeMap<&'static str, f64>;

/// The figures of one run. Shares of nothing are left out.
#[must_use]
pub fn figures(tally: &Tally) -> Figures {
    let mut figures = Figures::new();
    let heard = tally.server + tally.peers + tally.cache;
    let plays = tally.plays;
    let useful = tally.arrived_peers + tally.arrived_origin;
    let moved = tally.sent + tally.control + tally.tracker_bytes;
    let heard_fetched = tally.server + tally.peers;
    let shares = [
        ("share.server", tally.server, heard),
        ("share.peers", tally.peers, heard),
        ("share.cache", tally.cache, heard),
        ("stall_share", tally.stalled_plays, plays),
        ("network_stall_share", tally.starved_plays, plays),
        ("overhead_share", moved.saturating_sub(useful), moved),
        ("overhead_messages_share", tally.control, moved),
        ("overhead_tracker_share", tally.tracker_bytes, moved),
        ("overhead_twice_share", tally.arrived_twice, moved),
        (
            "skip_waste_share",
            tally.fetched.saturating_sub(heard_fetched),
            tally.fetched,
        ),
        ("refused_share", tally.refused_plays, plays),
        ("silent_share", tally.silent_plays, plays),
        ("random_share", tally.random_plays, plays),
        ("cached_play_share", tally.cached_plays, plays),
        (
            "no_holder_share",
            tally.lookups_empty,
            tally.lookups_answered,
        ),
        ("dial_success_share", tally.dials_connected, tally.dials),
        ("decline_share", tally.declines, tally.requests),
        ("origin_network_share", tally.arrived_origin, useful),
    ];
    for (name, part, whole) in shares {
        if whole > 0 {
            figures.insert(name, part as f64 / whole as f64);
        }
    }
    start_percentiles(tally, &mut figures);
    figures.insert("plays", plays as f64);
    figures.insert("placed_tracks", tally.placed as f64);
    figures.insert(
        "messages_per_play",
        tally.messages as f64 / plays.max(1) as f64,
    );
    figures.insert("upload_p95_over_mean", upload_skew(tally));
    origin_rates(tally, &mut figures);
    tally
        .harm
        .figures(&mut figures, tally.requests, tally.plays);
    tally.released.figures(&mut figures, &tally.series);
    figures
}

/// What the origin sends on average and in its busiest minute.
fn origin_rates(tally: &Tally, figures: &mut Figures) {
    let sent = tally.series.iter().map(|row| row.origin_sent);
    if let Some(peak) = sent.clone().max() {
        let megabits = |bytes: f64| bytes * 8.0 / 60.0 / 1e6;
        let mean = sent.sum::<u64>() as f64 / tally.series.len() as f64;
        figures.insert("origin_mbit.mean", megabits(mean));
        figures.insert("origin_mbit.peak", megabits(peak as f64));
    }
}

fn start_percentiles(tally: &Tally, figures: &mut Figures) {
    let percentiles = [
        (
            [
                "start_ms.p50",
                "start_ms.p75",
                "start_ms.p90",
                "start_ms.p99",
            ],
            &tally.start,
        ),
        (
            [
                "start_network_ms.p50",
                "start_network_ms.p75",
                "start_network_ms.p90",
                "start_network_ms.p99",
            ],
            &tally.start_network,
        ),
    ];
    for (names, histogram) in percentiles {
        for (name, share) in names.into_iter().zip([0.5, 0.75, 0.9, 0.99]) {
            if let Some(micros) = histogram.percentile(share) {
                figures.insert(name, micros as f64 / 1e3);
            }
        }
    }
}

/// How much the 95th percentile of uploaders gives, beside the mean of those who give.
fn upload_skew(tally: &Tally) -> f64 {
    let mut uploads = Histogram::default();
    let mut sum = 0;
    for node in tally.nodes.iter().filter(|node| node.uploaded > 0) {
        uploads.note(node.uploaded);
        sum += node.uploaded;
    }
    let mean = sum as f64 / uploads.len().max(1) as f64;
    uploads
        .percentile(0.95)
        .map_or(0.0, |p95| p95 as f64 / mean)
}

/// A mean over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Half of the 95 % interval; nothing for a single seed, of which nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_width: Option<f64>,
    /// Seeds that have the figure.
    pub seeds: usize,
}

/// The mean of `values` and its t interval.
#[must_use]
pub fn estimate(values: &[f64]) -> Estimate {
    let seeds = values.len();
    let mean = values.iter().sum::<f64>() / seeds.max(1) as f64;
    let half_width = (seeds > 1).then(|| {
        let squares: f64 = values
            .iter()
            .map(|value| (value - mean) * (value - mean))
            .sum();
        let deviation = libm::sqrt(squares / (seeds - 1) as f64);
        t_95(seeds - 1) * deviation / libm::sqrt(seeds as f64)
    });
    Estimate {
        mean,
        half_width,
        seeds,
    }
}

/// Means of every figure over seeds.
#[must_use]
pub fn estimates(runs: &[Figures]) -> BTreeMap<&'static str, Estimate> {
    let names = runs.iter().flat_map(|run| run.keys().copied());
    let mut all: BTreeMap<&'static str, Estimate> = BTreeMap::new();
    for name in names {
        all.entry(name).or_insert_with(|| {
            let values: Vec<f64> = runs
                .iter()
                .filter_map(|run| run.get(name).copied())
                .collect();
            estimate(&values)
        });
    }
    all
}

/// The two-sided 95 % quantile of Student's t.
fn t_95(degrees: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    // Behind the table the quantile is within 1 % of the normal one's expansion.
    let large = 1.960 + 2.37 / degrees.max(1) as f64;
    TABLE.get(degrees.wrapping_sub(1)).copied().unwrap_or(large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_that_of_students_t() {
        let estimate = estimate(&[1.0, 2.0, 3.0]);
        assert_eq!((estimate.mean, estimate.seeds), (2.0, 3));
        let half = estimate.half_width.expect("three seeds");
        assert!((half - 4.303 / libm::sqrt(3.0)).abs() < 1e-9);
    }

    #[test]
    fn one_seed_has_no_interval() {
        assert_eq!(
            estimate(&[5.0]),
            Estimate {
                mean: 5.0,
                half_width: None,
                seeds: 1
            }
        );
    }

    #[test]
    fn figures_missing_in_one_run_are_averaged_over_the_others() {
        let runs = [
            Figures::from([("a", 1.0), ("b", 4.0)]),
            Figures::from([("a", 3.0)]),
        ];
        let all = estimates(&runs);
        assert_eq!(
            (all["a"].mean, all["b"].mean, all["b"].seeds),
            (2.0, 4.0, 1)
        );
    }
}
