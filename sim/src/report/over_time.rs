//! Plots over simulated time: sources, egress, people, faults.

use crate::measure::tally::SeriesRow;
use crate::report::axis::Axis;
use crate::report::binned::{bin_minutes, binned, highest, minutes};
use crate::report::svg::{Color, Plot, Points};
use crate::report::words::{bytes, percent, rate};
use crate::report::{Outcome, page};

fn time(outcome: &Outcome) -> Axis {
    Axis::time(minutes(outcome) as f64)
}

pub(super) fn source_mix(outcome: &Outcome) -> String {
    let whole = binned(outcome, |row| (row.server + row.peers + row.cache) as f64);
    let part = |of: fn(&SeriesRow) -> u64| -> Points {
        let parts = binned(outcome, |row| of(row) as f64);
        let parts = parts.into_iter().zip(&whole);
        let shares = parts.map(|((x, part), (_, all))| (x, 100.0 * part / all.max(1.0)));
        shares.collect()
    };
    let mut plot = Plot::new(time(outcome), Axis::percent("% of played bytes"));
    faults(outcome, &mut plot);
    plot.stack(&[
        ("own cache", Color::Cache, part(|row| row.cache)),
        ("peers", Color::Peers, part(|row| row.peers)),
        ("origin", Color::Origin, part(|row| row.server)),
    ]);
    plot.figure(&format!(
        "Where played bytes came from, {} minutes a point, by when the play ended",
        bin_minutes(outcome)
    ))
}

pub(super) fn people(outcome: &Outcome) -> String {
    let bin = bin_minutes(outcome) as f64;
    let online = binned(outcome, |row| row.online as f64 / bin);
    let listening = binned(outcome, |row| row.listening as f64 / bin);
    let most = highest(&[&online, &listening]);
    let mut plot = Plot::new(time(outcome), Axis::amount("nodes", "", most));
    faults(outcome, &mut plot);
    plot.line("online", Color::First, &online);
    plot.line("listening", Color::Second, &listening);
    plot.figure("Nodes online, and those of them that listen")
}

/// What the origin sent beside what it would have sent without peers.
pub(super) fn egress(outcome: &Outcome) -> String {
    let seconds = bin_minutes(outcome) as f64 * 60.0;
    let sent = binned(outcome, |row| row.origin_sent as f64 * 8.0 / seconds);
    let without = binned(outcome, |row| {
        (row.origin_sent + row.peers_arrived) as f64 * 8.0 / seconds
    });
    let most = highest(&[&sent, &without]);
    let mut plot = Plot::new(time(outcome), Axis::amount("origin", "bit/s", most));
    faults(outcome, &mut plot);
    plot.band(Color::Peers, &sent, &without);
    plot.dashed("without peers", Color::Quiet, &without);
    plot.line("sent", Color::Origin, &sent);
    let plot = plot.figure(
        "What the origin sent, and what it would have sent if all that came from peers had been asked of it. The tinted area is what peers saved",
    );
    page::two(&plot, &egress_table(outcome))
}

fn egress_table(outcome: &Outcome) -> String {
    let seeds = outcome.runs.len().max(1) as f64;
    let rows = || outcome.runs.iter().flat_map(|run| &run.tally.series);
    let sent = rows().map(|row| row.origin_sent as f64).sum::<f64>() / seeds;
    let peers = rows().map(|row| row.peers_arrived as f64).sum::<f64>() / seeds;
    let peak = |of: fn(&SeriesRow) -> u64| {
        let most = rows().map(of).max().unwrap_or_default();
        rate(most as f64 * 8.0 / 60.0)
    };
    let listeners = rows().map(|row| row.listening as f64).sum::<f64>() / seeds;
    // A listener-minute is a minute in which one person listens.
    let each = |bytes: f64| rate(bytes * 8.0 / 60.0 / listeners.max(1.0));
    let all = sent + peers;
    let row = |what: &str, with: String, without: String, saved: String| {
        vec![what.to_owned(), with, without, saved]
    };
    let saved = if all > 0.0 {
        percent(peers / all)
    } else {
        String::new()
    };
    page::table(
        &["origin egress", "#with peers", "#without", "#saved"],
        &[
            row("bytes, all seeds' mean", bytes(sent), bytes(all), saved),
            row(
                "busiest minute",
                peak(|row| row.origin_sent),
                peak(|row| row.origin_sent + row.peers_arrived),
                String::new(),
            ),
            row("for each listener", each(sent), each(all), String::new()),
        ],
    )
}

/// Shades the times in which something was wrong.
pub(super) fn faults(outcome: &Outcome, plot: &mut Plot) {
    let end = minutes(outcome) as f64;
    for fault in &outcome.scenario.fault {
        let from = fault.at.0 / 60.0;
        let to = if fault.lasts.0 > 0.0 {
            from + fault.lasts.0 / 60.0
        } else {
            from
        };
        plot.shade(from, to.min(end), &super::faults::name(fault.kind));
    }
}
