//! Two variants beside each other: paired differences and both distributions.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::compare::{Pair, compare};
use crate::report::axis::Axis;
use crate::report::binned::{bin_minutes, binned, highest, minutes};
use crate::report::page::{Page, table, two};
use crate::report::svg::Color;
use crate::report::svg::Plot;
use crate::report::words::{Unit, count, escape, unit_of, value};
use crate::report::{Outcome, faults, latency};

/// What of every figure a lower value is better for; of others nothing is said.
const LOWER_IS_BETTER: &[&str] = &[
    "share.server",
    "stall_share",
    "refused_share",
    "silent_share",
    "overhead_share",
    "skip_waste_share",
    "origin_network_share",
    "messages_per_play",
];

/// Two outcomes of the same scenario and seeds.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The one that is compared with.
    pub first: &'a Outcome,
    /// The other.
    pub second: &'a Outcome,
}

impl Comparison<'_> {
    /// Every figure both have.
    #[must_use]
    pub fn pairs(&self) -> BTreeMap<&'static str, Pair> {
        compare(&self.first.runs, &self.second.runs)
    }

    fn names(&self) -> (&str, &str) {
        (&self.first.scenario.variant, &self.second.scenario.variant)
    }

    /// As one object.
    #[must_use]
    pub fn json(&self) -> Value {
        let (first, second) = self.names();
        let seeds: Vec<u64> = self.first.runs.iter().map(|run| run.seed).collect();
        json!({
            "scenario": self.first.scenario.name, "first": first, "second": second,
            "seeds": seeds, "figures": self.pairs(),
        })
    }

    /// As a table, a line a figure.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut text = "figure,first,second,difference,half_width_95,seeds\n".to_owned();
        for (name, pair) in self.pairs() {
            let half = pair.difference.half_width.map(|half| half.to_string());
            let _ = writeln!(
                text,
                "{name},{},{},{},{},{}",
                pair.first,
                pair.second,
                pair.difference.mean,
                half.unwrap_or_default(),
                pair.difference.seeds
            );
        }
        text
    }

    /// As a page.
    #[must_use]
    pub fn page(&self) -> String {
        let (first, second) = self.names();
        let scenario = &self.first.scenario;
        let seeds = self.first.runs.len();
        let facts = format!(
            "{} users, {} of simulated time, {seeds} seed{}, the same for both",
            count(scenario.population.users.into()),
            scenario.duration,
            if seeds == 1 { "" } else { "s" }
        );
        let part = format!("{second} against {first}");
        let mut page = Page::new(&scenario.name, &part, &scenario.describe, &facts);
        if seeds == 1 {
            page.warn("One seed: no difference below can be told from chance. Use <code>--seeds 10</code>.");
        }
        page.section("Paired differences", &self.differences());
        page.section(
            "Playback latency and origin",
            &two(&self.latencies(), &self.egress()),
        );
        page.section(
            "What this rests on",
            "<p>Both run with the same seeds, which give the same people, lines, NATs and wishes; the difference is taken seed by seed, so what both share cancels out. The interval is Student's t at 95 %. The folders beside this page hold the whole report of each, with all assumptions.</p>",
        );
        page.section(
            "The same again",
            &format!(
                "<pre>antiphon sim verify THIS-FOLDER/{}\nantiphon sim verify THIS-FOLDER/{}</pre>",
                escape(first),
                escape(second)
            ),
        );
        page.finish()
    }

    fn differences(&self) -> String {
        let (first, second) = self.names();
        let rows = self.pairs().into_iter().map(|(name, pair)| {
            let half = pair.difference.half_width;
            let half = half.map(|half| format!(" <small>&plusmn; {}</small>", amount(name, half)));
            let difference = signed(name, pair.difference.mean) + &half.unwrap_or_default();
            vec![
                format!("<code>{name}</code>"),
                value(name, pair.first),
                value(name, pair.second),
                difference,
                relative(&pair),
                judgement(name, &pair).to_owned(),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        let (first, second) = (format!("#{first}"), format!("#{second}"));
        table(
            &["figure", &first, &second, "#difference", "#relative", ""],
            &rows,
        ) + "<p class=\"meta\">A difference counts as clear when its 95 % interval, paired by seed, leaves out zero.</p>"
    }

    fn latencies(&self) -> String {
        let mut plot = latency::empty_plot();
        for (of, color) in [(self.first, Color::Second), (self.second, Color::First)] {
            let all = latency::distribution(&of.runs, |tally| &tally.start);
            if of.runs.len() > 1 {
                plot.band(color, &all.low, &all.high);
            }
            plot.line(&of.scenario.variant, color, &all.mean);
        }
        plot.figure(
            "Distribution of the playback latency over all plays, with its 95 % band over seeds",
        )
    }

    fn egress(&self) -> String {
        let seconds = bin_minutes(self.first) as f64 * 60.0;
        let sent = |of| binned(of, |row| row.origin_sent as f64 * 8.0 / seconds);
        let (first, second) = (sent(self.first), sent(self.second));
        let most = highest(&[&first, &second]);
        let mut plot = Plot::new(
            Axis::time(minutes(self.first) as f64),
            Axis::amount("origin", "bit/s", most),
        );
        for fault in &self.first.scenario.fault {
            let from = fault.at.0 / 60.0;
            plot.shade(from, from + fault.lasts.0 / 60.0, &faults::name(fault.kind));
        }
        let (name, other) = self.names();
        plot.line(name, Color::Second, &first);
        plot.line(other, Color::First, &second);
        plot.figure("What the origin sent")
    }
}

/// Differences of shares are points, not parts.
fn amount(name: &str, amount: f64) -> String {
    match unit_of(name) {
        Unit::Share => format!("{:.3} points", amount * 100.0),
        _ => value(name, amount),
    }
}

fn signed(name: &str, difference: f64) -> String {
    let text = amount(name, difference.abs());
    match difference {
        d if d > 0.0 => format!("+{text}"),
        d if d < 0.0 => format!("&minus;{text}"),
        _ => text,
    }
}

fn relative(pair: &Pair) -> String {
    if pair.first == 0.0 {
        return String::new();
    }
    let percent = 100.0 * pair.difference.mean / pair.first;
    let sign = if percent < 0.0 { "&minus;" } else { "+" };
    format!("{sign}{:.1} %", percent.abs())
}

fn judgement(name: &str, pair: &Pair) -> &'static str {
    if pair.difference.half_width.is_none() {
        return "";
    }
    if !pair.is_clear() {
        return "<small>within chance</small>";
    }
    let lower = LOWER_IS_BETTER.contains(&name) || unit_of(name) == Unit::Millis;
    match (lower, pair.difference.mean < 0.0) {
        (true, true) => "<span class=\"met\">better</span>",
        (true, false) => "<span class=\"missed\">worse</span>",
        (false, _) => "<b>clear</b>",
    }
}
