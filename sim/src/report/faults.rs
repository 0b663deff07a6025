//! What went wrong when, how plays fared meanwhile, and when they fared as before again.

use crate::measure::tally::SeriesRow;
use crate::report::axis::Axis;
use crate::report::binned::{bin_minutes, binned, highest, minutes};
use crate::report::svg::{Color, Plot, Points};
use crate::report::words::{escape, percent};
use crate::report::{Outcome, over_time, page};
use crate::scenario::{Fault, FaultKind};

/// Minutes before a fault that it is compared with, at most.
const BEFORE_MINUTES: usize = 30;
/// Minutes in a row that must be good again.
const GOOD_MINUTES: usize = 3;
/// Bad plays beyond those before the fault that still count as good: a guess at what a listener
/// would not notice.
const MARGIN: f64 = 0.005;

/// The name of a kind, as scenarios write it.
pub(super) fn name(kind: FaultKind) -> String {
    let value = serde_json::to_value(kind).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn section(outcome: &Outcome) -> String {
    if outcome.scenario.fault.is_empty() {
        return String::new();
    }
    let plays = binned(outcome, |row| row.plays as f64);
    let share = |of: fn(&SeriesRow) -> u64| -> Points {
        let parts = binned(outcome, |row| of(row) as f64);
        let parts = parts.into_iter().zip(&plays);
        let shares = parts.map(|((x, part), (_, all))| (x, 100.0 * part / all.max(1.0)));
        shares.collect()
    };
    let refused = share(|row| row.refused);
    let slow = share(|row| row.slow);
    let stalls = share(|row| row.stalls);
    let most = highest(&[&refused, &slow, &stalls]).max(1.0);
    let mut plot = Plot::new(
        Axis::time(minutes(outcome) as f64),
        Axis::linear("% of plays", 0.0, most * 1.06),
    );
    over_time::faults(outcome, &mut plot);
    plot.line("given up", Color::Origin, &refused);
    plot.line("began over 1 s late", Color::Peers, &slow);
    plot.line("stalls", Color::Third, &stalls);
    let figure = plot.figure(&format!(
        "Plays that fared badly, {} minutes a point; the tinted times are those of faults",
        bin_minutes(outcome)
    ));
    page::two(&figure, &table(outcome))
}

fn table(outcome: &Outcome) -> String {
    let rows = minute_by_minute(outcome);
    let list = outcome.scenario.fault.iter().map(|fault| {
        let told = told(&rows, fault);
        let lasts = if fault.lasts.0 > 0.0 {
            format!("{}", fault.lasts)
        } else {
            "to the end".to_owned()
        };
        let share = |bad: Option<f64>| bad.map(percent).unwrap_or_default();
        vec![
            escape(&name(fault.kind)),
            format!("{}", fault.at),
            lasts,
            share(told.before),
            share(told.meanwhile),
            told.recovered,
        ]
    });
    let list: Vec<Vec<String>> = list.collect();
    let heads = [
        "fault",
        "#at",
        "#for",
        "#bad plays before",
        "#worst minute",
        "as before",
    ];
    page::table(&heads, &list)
        + "<p class=\"meta\">Bad are plays given up, begun more than a second late, or stalled. They are as before when for 3 minutes in a row no more than half a point above, or twice, what they were in the half hour before the fault.</p>"
}

/// Plays and bad ones of each minute, all seeds.
fn minute_by_minute(outcome: &Outcome) -> Vec<(u64, u64)> {
    let minute = |at: usize| {
        let rows = outcome
            .runs
            .iter()
            .filter_map(|run| run.tally.series.get(at));
        rows.fold((0, 0), |(plays, bad), row| {
            (plays + row.plays, bad + row.refused + row.slow + row.stalls)
        })
    };
    (0..minutes(outcome)).map(minute).collect()
}

struct Told {
    before: Option<f64>,
    meanwhile: Option<f64>,
    recovered: String,
}

fn told(rows: &[(u64, u64)], fault: &Fault) -> Told {
    let begins = (fault.at.0 / 60.0) as usize;
    // A fault without an end is over at once for what it does to those who stay.
    let ends = ((fault.at.0 + fault.lasts.0) / 60.0).min(rows.len() as f64) as usize;
    let before = rows.get(begins.saturating_sub(BEFORE_MINUTES)..begins);
    let before = before.and_then(share);
    let meanwhile = rows.get(begins..(ends + 1).min(rows.len()));
    let worst = meanwhile.unwrap_or_default().iter();
    let meanwhile = worst.filter_map(|row| share(&[*row])).reduce(f64::max);
    let good = before.map(|before| (before + MARGIN).max(2.0 * before));
    let is_good = |row: &(u64, u64)| match (share(&[*row]), good) {
        (Some(bad), Some(good)) => bad <= good,
        (None, _) => true,
        (_, None) => false,
    };
    let after = rows.get(ends..).unwrap_or_default();
    let again = after
        .windows(GOOD_MINUTES)
        .position(|window| window.iter().all(is_good));
    let recovered = match (good, again) {
        (None, _) => "nothing before to compare with".to_owned(),
        (_, Some(0)) => "at once".to_owned(),
        (_, Some(minutes)) => format!("{minutes} min after its end"),
        (_, None) => "not before the end".to_owned(),
    };
    Told {
        before,
        meanwhile,
        recovered,
    }
}

fn share(rows: &[(u64, u64)]) -> Option<f64> {
    let (plays, bad) = rows
        .iter()
        .fold((0, 0), |(p, b), row| (p + row.0, b + row.1));
    (plays > 0).then(|| bad as f64 / plays as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::units::{Share, Time};

    fn fault(at: f64, lasts: f64) -> Fault {
        Fault {
            at: Time(at * 60.0),
            lasts: Time(lasts * 60.0),
            kind: FaultKind::OriginLost,
            share: Share(0.5),
        }
    }

    #[test]
    fn recovery_is_the_first_of_three_good_minutes_after_the_end() {
        let mut rows = vec![(1_000, 2); 60];
        for row in &mut rows[20..34] {
            row.1 = 400;
        }
        let told = told(&rows, &fault(20.0, 10.0));
        assert_eq!(told.before, Some(0.002));
        assert_eq!(told.meanwhile, Some(0.4));
        assert_eq!(told.recovered, "4 min after its end");
    }

    #[test]
    fn a_fault_at_the_start_has_nothing_before_it() {
        let told = told(&[(10, 1); 30], &fault(0.0, 0.0));
        assert_eq!(told.before, None);
        assert!(told.recovered.starts_with("nothing before"));
    }

    #[test]
    fn kinds_have_the_names_of_scenarios() {
        assert_eq!(name(FaultKind::OriginBrownout), "origin-brownout");
    }
}
