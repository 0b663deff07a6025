//! Which NAT classes connected to which.

use core::fmt::Write as _;

use crate::measure::breakdown::DialRow;
use crate::report::Outcome;
use crate::report::words::{count, escape, percent};

/// A table with a row for who dials and a column for whom, tinted by the share that connects.
pub(super) fn section(outcome: &Outcome) -> String {
    let nats = &outcome.scenario.nat;
    let dial = |from: usize, to: usize| {
        let mut sum = DialRow::default();
        for run in &outcome.runs {
            let row = run.tally.breakdown.dial(from, to);
            sum.tried += row.tried;
            sum.connected += row.connected;
            sum.gone += row.gone;
        }
        sum
    };
    let rows: Vec<Vec<DialRow>> = (0..nats.len())
        .map(|from| (0..nats.len()).map(|to| dial(from, to)).collect())
        .collect();
    let all = rows.iter().flatten();
    let (tried, gone) = all.fold((0, 0), |(tried, gone), row| {
        (tried + row.tried, gone + row.gone)
    });
    if tried + gone == 0 {
        return String::new();
    }
    let mut text = "<div class=\"wide\"><table class=\"heat\"><tr><th>dials from \\ to".to_owned();
    for nat in nats {
        let _ = write!(text, "<th class=\"n\">{}", escape(&nat.name));
    }
    for (nat, row) in nats.iter().zip(&rows) {
        let _ = write!(text, "<tr><th>{}", escape(&nat.name));
        for dial in row {
            cell(&mut text, *dial);
        }
    }
    text.push_str("</table></div>");
    let _ = write!(
        text,
        "<p class=\"meta\">The share of dials to nodes online that led to a connection, and how many there were, all seeds. Dials are counted each time: a pair that cannot connect may be tried again, so this lies below the share of pairs that can. {} more dials went to nodes that had left.</p>",
        count(gone)
    );
    text
}

fn cell(text: &mut String, dial: DialRow) {
    if dial.tried == 0 {
        text.push_str("<td class=\"n\"><small>none</small>");
        return;
    }
    let share = dial.connected as f64 / dial.tried as f64;
    let _ = write!(
        text,
        "<td class=\"n\" style=\"background:color-mix(in srgb,var(--peers) {:.0}%,transparent)\">{}<br><small>of {}</small>",
        share * 45.0,
        percent(share),
        count(dial.tried)
    );
}
