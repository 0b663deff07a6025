//! The page of one run.

use crate::report::axis::Axis;
use crate::report::page::{Page, two};
use crate::report::svg::{Color, Plot, Points};
use crate::report::words::count;
use crate::report::{
    Outcome, assumptions, fairness, faults, headline, latency, over_time, reach, stalls,
};

pub(super) fn page(outcome: &Outcome) -> String {
    let scenario = &outcome.scenario;
    let seeds = outcome.runs.len();
    let facts = format!(
        "{} users, {} tracks, {} of simulated time after {} of settling, {} seed{}",
        count(scenario.population.users.into()),
        count(scenario.catalog.tracks.into()),
        scenario.duration,
        scenario.settle,
        seeds,
        if seeds == 1 { "" } else { "s" },
    );
    let mut page = Page::new(
        &scenario.name,
        &scenario.variant,
        &scenario.describe,
        &facts,
    );
    if seeds == 1 {
        page.warn("One seed: nothing is known about how far these figures would move with another. Use <code>--seeds 10</code>.");
    }
    page.add(&headline::cards(outcome));
    page.section("Figures and targets", &headline::figures(outcome));
    page.section(
        "Where the music came from",
        &two(&over_time::source_mix(outcome), &by_rank(outcome)),
    );
    page.section("Playback latency", &latency::section(outcome));
    page.section("Stalls", &stalls::section(outcome));
    page.section("Faults", &faults::section(outcome));
    page.section(
        "Nodes that misbehave, and releases",
        &headline::special(outcome),
    );
    page.section("What peers save the origin", &over_time::egress(outcome));
    page.section("Who uploads", &fairness::section(outcome));
    page.section(
        "Who connects to whom, and who is there",
        &two(&reach::section(outcome), &over_time::people(outcome)),
    );
    page.section("What this rests on", &assumptions::section(outcome));
    page.section("The same again", &assumptions::repeat(outcome));
    page.finish()
}

/// Sources by powers of two of the popularity rank.
fn by_rank(outcome: &Outcome) -> String {
    let mut sums = [[0_u64; 3]; 32];
    let tracks = outcome
        .runs
        .iter()
        .flat_map(|run| run.tally.tracks.iter().enumerate());
    for (bin, row) in tracks {
        if let Some([cache, peers, server]) = sums.get_mut(bin) {
            *cache += row.cache;
            *peers += row.peers;
            *server += row.server;
        }
    }
    let heard = |sum: &[u64; 3]| sum.iter().sum::<u64>();
    let last = sums
        .iter()
        .rposition(|sum| heard(sum) > 0)
        .unwrap_or_default();
    let layer = |at: usize| -> Points {
        let bins = sums.iter().take(last + 1).enumerate();
        let points = bins.map(|(bin, sum)| {
            let part = sum.get(at).copied().unwrap_or_default();
            let share = 100.0 * part as f64 / heard(sum).max(1) as f64;
            (f64::from(1_u32 << bin), share)
        });
        points.collect()
    };
    let to = f64::from(1_u32 << last.max(1));
    let mut plot = Plot::new(
        Axis::log("popularity rank of the track", 1.0, to),
        Axis::percent("% of played bytes"),
    );
    plot.stack(&[
        ("own cache", Color::Cache, layer(0)),
        ("peers", Color::Peers, layer(1)),
        ("origin", Color::Origin, layer(2)),
    ]);
    plot.figure("Sources by popularity: rare tracks have few holders")
}
