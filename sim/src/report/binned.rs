//! The series of all seeds, summed up to points of a plot.

use crate::measure::tally::SeriesRow;
use crate::report::Outcome;
use crate::report::svg::Points;

/// Points of a plot at most: more cannot be told apart.
const POINTS_MAX: usize = 144;

/// Minutes summed up to one point.
pub(super) fn bin_minutes(outcome: &Outcome) -> usize {
    let bin = minutes(outcome).div_ceil(POINTS_MAX);
    // Round ones, and never so few that plays of a small world are single.
    [2, 5, 10, 15, 30, 60]
        .into_iter()
        .find(|round| *round >= bin)
        .unwrap_or(bin)
}

/// Minutes that every seed has.
pub(super) fn minutes(outcome: &Outcome) -> usize {
    let lengths = outcome.runs.iter().map(|run| run.tally.series.len());
    lengths.min().unwrap_or_default()
}

/// Sums over the minutes of each bin, averaged over seeds.
pub(super) fn binned(outcome: &Outcome, of: impl Fn(&SeriesRow) -> f64) -> Points {
    let bin = bin_minutes(outcome);
    let seeds = outcome.runs.len().max(1) as f64;
    let point = |at: usize| {
        let rows = outcome.runs.iter().flat_map(|run| {
            let series = run.tally.series.iter();
            series.skip(at * bin).take(bin)
        });
        let sum: f64 = rows.map(&of).sum();
        ((at as f64 + 0.5) * bin as f64, sum / seeds)
    };
    (0..minutes(outcome) / bin).map(point).collect()
}

pub(super) fn highest(lines: &[&Points]) -> f64 {
    let values = lines.iter().flat_map(|line| line.iter().map(|(_, y)| *y));
    values.fold(0.0, f64::max)
}
