//! How long plays take to sound: the distribution over all seeds, with a band.

use crate::measure::histogram::Histogram;
use crate::measure::summary::estimate;
use crate::measure::tally::Tally;
use crate::report::axis::Axis;
use crate::report::svg::{Color, Plot, Points};
use crate::report::words;
use crate::report::{Outcome, page};
use crate::run::SeedRun;

/// From the shortest to the longest latency drawn.
const FROM_MS: f64 = 3.0;
const TO_MS: f64 = 10_000.0;
const POINTS: usize = 140;

/// A distribution's mean over seeds at each latency, and its 95 % band.
pub(super) struct Distribution {
    pub(super) mean: Points,
    pub(super) low: Points,
    pub(super) high: Points,
}

/// Of one histogram of each run.
pub(super) fn distribution(runs: &[SeedRun], of: fn(&Tally) -> &Histogram) -> Distribution {
    let step = libm::log(TO_MS / FROM_MS) / (POINTS - 1) as f64;
    let (mut mean, mut low, mut high) = (Points::new(), Points::new(), Points::new());
    for at in 0..POINTS {
        let ms = FROM_MS * libm::exp(step * at as f64);
        let shares = runs.iter().map(|run| of(&run.tally));
        let shares = shares.filter(|histogram| !histogram.is_empty());
        let shares: Vec<f64> = shares
            .map(|histogram| 100.0 * histogram.share_up_to((ms * 1e3) as u64))
            .collect();
        if shares.is_empty() {
            continue;
        }
        let point = estimate(&shares);
        let half = point.half_width.unwrap_or_default();
        mean.push((ms, point.mean));
        low.push((ms, (point.mean - half).max(0.0)));
        high.push((ms, (point.mean + half).min(100.0)));
    }
    Distribution { mean, low, high }
}

pub(super) fn empty_plot() -> Plot {
    let x = Axis::log("ms from pressing play to sound", FROM_MS, TO_MS);
    Plot::new(x, Axis::percent("% of plays that sound by then"))
}

pub(super) fn section(outcome: &Outcome) -> String {
    let all = distribution(&outcome.runs, |tally| &tally.start);
    let network = distribution(&outcome.runs, |tally| &tally.start_network);
    let mut plot = empty_plot();
    let mut draw = |name: &str, color: Color, of: &Distribution| {
        if outcome.runs.len() > 1 {
            plot.band(color, &of.low, &of.high);
        }
        plot.line(name, color, &of.mean);
    };
    draw("all plays", Color::First, &all);
    draw("plays that fetched something", Color::Second, &network);
    let caption = if outcome.runs.len() > 1 {
        "Distribution of the playback latency, the mean of all seeds with its 95 % band"
    } else {
        "Distribution of the playback latency"
    };
    page::two(&plot.figure(caption), &percentiles(outcome))
}

fn percentiles(outcome: &Outcome) -> String {
    let estimates = outcome.estimates();
    let cell = |name: String| {
        let figure = estimates.get(name.as_str());
        figure.map_or_else(String::new, |figure| words::estimate(&name, figure))
    };
    let rows: Vec<Vec<String>> = ["50", "75", "90", "99"]
        .into_iter()
        .map(|percentile| {
            vec![
                format!("{percentile} % of plays within"),
                cell(format!("start_ms.p{percentile}")),
                cell(format!("start_network_ms.p{percentile}")),
            ]
        })
        .collect();
    page::table(&["", "#all plays", "#that fetched something"], &rows)
}
