//! Stalls by what was missing, and by who had them.

use crate::measure::breakdown::GroupRow;
use crate::measure::stall::StallCause;
use crate::report::svg::{Bar, Color, bars};
use crate::report::words::{count, escape, percent};
use crate::report::{Outcome, page};

pub(super) fn section(outcome: &Outcome) -> String {
    let mut causes = [0_u64; StallCause::ALL.len()];
    for run in &outcome.runs {
        for (sum, count) in causes.iter_mut().zip(run.tally.breakdown.by_cause) {
            *sum += count;
        }
    }
    let all: u64 = causes.iter().sum();
    let table = by_class(outcome);
    if all == 0 {
        let plays: u64 = outcome.runs.iter().map(|run| run.tally.plays).sum();
        return format!("<p>None in {} plays.</p>{table}", count(plays));
    }
    let bar = |(cause, stalls): (&StallCause, u64)| Bar {
        name: label(*cause).to_owned(),
        value: stalls as f64,
        number: format!("{}, {}", count(stalls), percent(stalls as f64 / all as f64)),
        color: match cause {
            StallCause::NotAsked | StallCause::Machine => Color::Quiet,
            StallCause::PeerSilent | StallCause::PeerSlow => Color::Peers,
            StallCause::OriginSilent | StallCause::OriginSlow => Color::Origin,
        },
    };
    let list: Vec<Bar> = StallCause::ALL.iter().zip(causes).map(bar).collect();
    let figure = bars(
        &list,
        "Stalls of all seeds by what had become of the missing chunk at that moment; where peer and origin had both been asked, the origin's part counts",
    );
    page::two(&figure, &table)
}

const fn label(cause: StallCause) -> &'static str {
    match cause {
        StallCause::NotAsked => "nobody was asked",
        StallCause::PeerSilent => "peer was silent",
        StallCause::PeerSlow => "peer was slow",
        StallCause::OriginSilent => "origin was silent",
        StallCause::OriginSlow => "origin was slow",
        StallCause::Machine => "the machine hung",
    }
}

/// Plays, stalls and refusals by access line, NAT class and popularity.
fn by_class(outcome: &Outcome) -> String {
    let scenario = &outcome.scenario;
    let mut rows = Vec::new();
    let accesses = scenario.access.iter().map(|access| access.name.as_str());
    rows.extend(classes("access line", accesses, |at| {
        sum(outcome, |run| run.by_access.get(at))
    }));
    let nats = scenario.nat.iter().map(|nat| nat.name.as_str());
    rows.extend(classes("NAT class", nats, |at| {
        sum(outcome, |run| run.by_nat.get(at))
    }));
    rows.extend(ranks(outcome));
    page::table(
        &["", "#plays", "#with a stall", "#given up", "#origin"],
        &rows,
    )
}

type Group = crate::measure::breakdown::Breakdown;

fn sum<'a>(outcome: &'a Outcome, of: impl Fn(&'a Group) -> Option<&'a GroupRow>) -> GroupRow {
    let mut sum = GroupRow::default();
    for row in outcome
        .runs
        .iter()
        .filter_map(|run| of(&run.tally.breakdown))
    {
        sum.plays += row.plays;
        sum.stalled_plays += row.stalled_plays;
        sum.refused_plays += row.refused_plays;
        sum.server += row.server;
        sum.peers += row.peers;
        sum.cache += row.cache;
    }
    sum
}

fn classes<'a>(
    title: &str,
    names: impl Iterator<Item = &'a str>,
    of: impl Fn(usize) -> GroupRow,
) -> Vec<Vec<String>> {
    let mut rows = vec![head(title)];
    for (at, name) in names.enumerate() {
        let row = of(at);
        let heard = row.server + row.peers + row.cache;
        rows.push(vec![
            escape(name),
            count(row.plays),
            share(row.stalled_plays, row.plays),
            share(row.refused_plays, row.plays),
            share(row.server, heard),
        ]);
    }
    rows
}

fn head(title: &str) -> Vec<String> {
    vec![format!("<b>by {title}</b>")]
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    percent(part as f64 / whole as f64)
}

/// Ranks by powers of four, so that the table stays short.
fn ranks(outcome: &Outcome) -> Vec<Vec<String>> {
    let mut rows = vec![head("popularity rank of the track")];
    let bins = outcome.runs.iter().map(|run| run.tally.tracks.len()).max();
    let bins = bins.unwrap_or_default();
    for bin in (0..bins).step_by(2) {
        let mut row = GroupRow::default();
        for run in &outcome.runs {
            for track in run.tally.tracks.iter().skip(bin).take(2) {
                row.plays += track.plays;
                row.stalled_plays += track.stalled_plays;
                row.server += track.server;
                row.peers += track.peers + track.cache;
            }
        }
        if row.plays == 0 {
            continue;
        }
        let (from, to) = (1_u64 << bin, (1_u64 << (bin + 2)) - 1);
        rows.push(vec![
            format!("{} to {}", count(from), count(to)),
            count(row.plays),
            share(row.stalled_plays, row.plays),
            String::new(),
            share(row.server, row.server + row.peers),
        ]);
    }
    rows
}
