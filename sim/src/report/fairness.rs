//! Who uploads: the Lorenz curve, and figures of how even it is.

use crate::measure::tally::NodeRow;
use crate::report::axis::Axis;
use crate::report::svg::{Color, Plot, Points};
use crate::report::words::{bytes, count, percent};
use crate::report::{Outcome, page};

/// Points of the curve at most.
const POINTS_MAX: usize = 200;

pub(super) fn section(outcome: &Outcome) -> String {
    let mut uploads: Vec<u64> = rows(outcome)
        .filter(|node| node.willing)
        .map(|node| node.uploaded)
        .collect();
    let all: u64 = uploads.iter().sum();
    if all == 0 {
        return String::new();
    }
    uploads.sort_unstable();
    let mut plot = Plot::new(
        Axis::percent("% of willing nodes, those that gave least first"),
        Axis::percent("% of uploaded bytes"),
    );
    plot.dashed("all alike", Color::Quiet, &[(0.0, 0.0), (100.0, 100.0)]);
    plot.line("uploads", Color::Peers, &lorenz(&uploads));
    let figure = plot.figure(
        "Lorenz curve of uploads: the nearer to the straight line, the more evenly the burden lies",
    );
    page::two(&figure, &table(outcome, &uploads))
}

fn rows(outcome: &Outcome) -> impl Iterator<Item = &NodeRow> {
    outcome.runs.iter().flat_map(|run| &run.tally.nodes)
}

fn lorenz(sorted: &[u64]) -> Points {
    let all = sorted.iter().sum::<u64>() as f64;
    let step = sorted.len().div_ceil(POINTS_MAX);
    let mut points = vec![(0.0, 0.0)];
    let mut sum = 0;
    for (at, uploaded) in sorted.iter().enumerate() {
        sum += uploaded;
        if (at + 1) % step == 0 || at + 1 == sorted.len() {
            let share = 100.0 * (at + 1) as f64 / sorted.len() as f64;
            points.push((share, 100.0 * sum as f64 / all));
        }
    }
    points
}

fn table(outcome: &Outcome, sorted: &[u64]) -> String {
    let nodes = rows(outcome).count();
    let givers = sorted.iter().filter(|uploaded| **uploaded > 0).count();
    let all = sorted.iter().sum::<u64>() as f64;
    let top = sorted.len().div_ceil(10);
    let most: u64 = sorted.iter().rev().take(top).sum();
    let at = |share: f64| {
        let place = ((sorted.len() - 1) as f64 * share) as usize;
        bytes(sorted.get(place).copied().unwrap_or_default() as f64)
    };
    let of = |part: usize, whole: usize| percent(part as f64 / whole.max(1) as f64);
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    page::table(
        &["uploads, all seeds", "#"],
        &[
            row("nodes that may upload", of(sorted.len(), nodes)),
            row("of them uploaded something", of(givers, sorted.len())),
            row(
                "Jain index (1 is all alike)",
                format!("{:.3}", jain(sorted)),
            ),
            row(
                "Gini coefficient (0 is all alike)",
                format!("{:.3}", gini(sorted)),
            ),
            row("given by the busiest tenth", percent(most as f64 / all)),
            row("median of a node", at(0.5)),
            row("95th percentile", at(0.95)),
            row("nodes counted", count(sorted.len() as u64)),
        ],
    )
}

/// Jain's index: the square of the mean over the mean of squares.
pub(super) fn jain(values: &[u64]) -> f64 {
    let sum: f64 = values.iter().map(|value| *value as f64).sum();
    let squares: f64 = values
        .iter()
        .map(|value| (*value as f64) * (*value as f64))
        .sum();
    if squares > 0.0 {
        sum * sum / (values.len() as f64 * squares)
    } else {
        1.0
    }
}

/// Twice the area between the Lorenz curve and the diagonal.
fn gini(sorted: &[u64]) -> f64 {
    let count = sorted.len() as f64;
    let sum: f64 = sorted.iter().map(|value| *value as f64).sum();
    let weighted = sorted.iter().enumerate();
    let weighted: f64 = weighted
        .map(|(at, value)| (at + 1) as f64 * *value as f64)
        .sum();
    if sum > 0.0 {
        (2.0 * weighted / sum - count - 1.0) / count
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_is_one_and_one_giver_is_one_part() {
        assert!((jain(&[7; 10]) - 1.0).abs() < 1e-12);
        assert!((jain(&[0, 0, 0, 9]) - 0.25).abs() < 1e-12);
        assert!(gini(&[7; 10]).abs() < 1e-12);
        assert!((gini(&[0, 0, 0, 9]) - 0.75).abs() < 1e-12);
    }

    #[test]
    fn the_curve_begins_at_nothing_and_ends_at_all() {
        let sorted: Vec<u64> = (0..1_000).collect();
        let curve = lorenz(&sorted);
        assert_eq!(curve.first(), Some(&(0.0, 0.0)));
        assert_eq!(curve.last(), Some(&(100.0, 100.0)));
        assert!(curve.len() <= POINTS_MAX + 1);
        assert!(curve.iter().all(|(x, y)| y <= x));
    }
}
