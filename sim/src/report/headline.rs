//! The figures at the top: cards of the most important, and a table of all that have a target.

use core::fmt::Write as _;

use crate::report::words::{escape, estimate, value};
use crate::report::{Outcome, Verdict, page};

/// Figures of the table, with what they mean.
const FIGURES: &[(&str, &str)] = &[
    ("share.server", "played bytes from the origin"),
    ("share.peers", "played bytes from peers"),
    ("share.cache", "played bytes from the own cache"),
    ("start_ms.p50", "playback latency, median"),
    ("start_ms.p75", "playback latency, 75th percentile"),
    ("start_ms.p90", "playback latency, 90th percentile"),
    ("start_ms.p99", "playback latency, 99th percentile"),
    ("stall_share", "plays with a stall"),
    (
        "refused_share",
        "plays given up for want of license or source",
    ),
    ("overhead_share", "bytes moved that are not new music"),
    ("skip_waste_share", "fetched bytes that were not heard"),
    ("origin_network_share", "fetched bytes that the origin sent"),
    ("no_holder_share", "lookups without any holder"),
    ("dial_success_share", "dials that led to a connection"),
    ("messages_per_play", "control messages a play"),
];

/// Figures of the cards.
const CARDS: &[(&str, &str)] = &[
    ("share.server", "of played bytes from the origin"),
    ("share.peers", "from peers"),
    ("start_ms.p50", "median playback latency"),
    ("start_ms.p90", "90th percentile"),
    ("stall_share", "of plays with a stall"),
    ("overhead_share", "of bytes moved are not new music"),
];

pub(super) fn cards(outcome: &Outcome) -> String {
    let estimates = outcome.estimates();
    let mut text = "<div class=\"cards\">".to_owned();
    for (name, words) in CARDS {
        if let Some(figure) = estimates.get(name) {
            let figure = estimate(name, figure);
            let _ = write!(
                text,
                "<div class=\"card\"><b>{figure}</b><span>{words}</span></div>"
            );
        }
    }
    text.push_str("</div>");
    text
}

/// Every figure with its interval; where the scenario has a target, whether it is met.
pub(super) fn figures(outcome: &Outcome) -> String {
    let estimates = outcome.estimates();
    let verdicts = outcome.verdicts();
    let words = |name: &str| FIGURES.iter().find(|(known, _)| *known == name);
    let others = verdicts.iter().map(|verdict| verdict.figure.as_str());
    let others = others.filter(|name| words(name).is_none());
    let names = FIGURES.iter().map(|(name, _)| *name).chain(others);
    let mut rows = Vec::new();
    for name in names {
        let verdict = verdicts.iter().find(|verdict| verdict.figure == name);
        let figure = estimates.get(name);
        if figure.is_none() && verdict.is_none() {
            continue;
        }
        let (bounds, source, word) = target(verdict);
        rows.push(vec![
            words(name).map_or_else(|| escape(name), |(_, words)| (*words).to_owned()),
            format!("<code>{}</code>", escape(name)),
            figure.map_or_else(|| "none".to_owned(), |figure| value(name, figure.mean)),
            figure
                .and_then(|figure| figure.half_width)
                .map(|half| format!("&plusmn; {}", value(name, half)))
                .unwrap_or_default(),
            bounds,
            source,
            word,
        ]);
    }
    let mut heads = vec!["figure", "name", "#mean", "#95 % interval"];
    if !verdicts.is_empty() {
        heads.extend(["#target", "source", ""]);
    }
    for row in &mut rows {
        row.truncate(heads.len());
    }
    page::table(&heads, &rows)
}

/// A target's bounds, source and verdict as cells.
fn target(verdict: Option<&Verdict>) -> (String, String, String) {
    let Some(verdict) = verdict else {
        return Default::default();
    };
    let name = &verdict.figure;
    let bounds = match (verdict.min, verdict.max) {
        (min, max) if min <= 0.0 => format!("&le; {}", value(name, max)),
        (min, max) if max.is_infinite() => format!("&ge; {}", value(name, min)),
        (min, max) => format!("{} to {}", value(name, min), value(name, max)),
    };
    let word = if verdict.is_met() {
        "<span class=\"met\">met</span>"
    } else {
        "<span class=\"missed\">missed</span>"
    };
    let source = format!("<span class=\"wrap\">{}</span>", escape(&verdict.source));
    (bounds, source, word.to_owned())
}

/// Figures of what only some scenarios have: nodes that misbehave, releases.
pub(super) fn special(outcome: &Outcome) -> String {
    let estimates = outcome.estimates();
    let special = estimates.iter().filter(|(name, _)| {
        ["bad.", "honest.", "release."]
            .iter()
            .any(|group| name.starts_with(group))
    });
    let rows: Vec<Vec<String>> = special
        .map(|(name, figure)| vec![format!("<code>{name}</code>"), estimate(name, figure)])
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    page::table(&["figure", "#mean"], &rows)
}
