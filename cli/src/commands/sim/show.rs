//! Outcomes as text for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use antiphon_sim::compare::Pair;
use antiphon_sim::report::Outcome;
use antiphon_sim::scenario::Scenario;
use antiphon_sim::variant;

/// What a single seed is worth.
pub(super) const ONE_SEED: &str =
    "one seed: nothing is known about how far these figures would move; use --seeds 10";

/// Scenarios with what they are about, folded to the width of a terminal.
pub(super) fn scenarios(scenarios: &[Scenario]) -> String {
    let mut text = format!(
        "{:<19} {:>7} {:>9}  {}\n",
        "SCENARIO", "USERS", "TIME", "ABOUT"
    );
    for scenario in scenarios {
        let about = folded(&scenario.describe, 58);
        let mut about = about.iter();
        let first = about.next().map_or("", String::as_str);
        let _ = writeln!(
            text,
            "{:<19} {:>7} {:>9}  {first}",
            scenario.name,
            scenario.population.users,
            scenario.duration.to_string(),
        );
        for more in about {
            let _ = writeln!(text, "{:38}{more}", "");
        }
    }
    let _ = write!(
        text,
        "\nvariants: {}\nrun one with: antiphon sim run hello --seeds 10 --out DIR",
        variant::NAMES.join(", ")
    );
    text
}

fn folded(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else {
            continue;
        };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// A run.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let scenario = &outcome.scenario;
    let mut text = format!(
        "{}, {}, {} seeds\n",
        scenario.name,
        scenario.variant,
        outcome.runs.len()
    );
    for (name, estimate) in outcome.estimates() {
        let half = estimate.half_width.map(|half| format!("  +- {half:.4}"));
        let _ = writeln!(
            text,
            "{name:24} {:>12.4}{}",
            estimate.mean,
            half.unwrap_or_default()
        );
    }
    for verdict in outcome.verdicts() {
        let word = if verdict.is_met() { "met   " } else { "missed" };
        let value = verdict
            .value
            .map_or_else(|| "none".to_owned(), |value| format!("{value:.4}"));
        let bounds = format!("{} to {}", verdict.min, verdict.max);
        let _ = writeln!(
            text,
            "target {word} {:16} {value:>12}  {bounds} ({})",
            verdict.figure, verdict.source
        );
    }
    if outcome.runs.len() == 1 {
        text.push_str(ONE_SEED);
        text.push('\n');
    }
    let _ = write!(
        text,
        "{} events in {:.1} s, {:.2} M events/s, {} MiB, digest {}",
        outcome.events(),
        outcome.wall_s,
        outcome.events() as f64 / outcome.wall_s.max(1e-9) / 1e6,
        outcome.max_rss_bytes >> 20,
        outcome.digest(),
    );
    text
}

/// Two variants; a star marks what differs by more than chance.
pub(super) fn pairs(first: &str, second: &str, pairs: &BTreeMap<&'static str, Pair>) -> String {
    let mut text = format!("{:24} {first:>14} {second:>14}     difference\n", "");
    for (name, pair) in pairs {
        let half = pair
            .difference
            .half_width
            .map(|half| format!(" +- {half:.4}"));
        let star = if pair.is_clear() { '*' } else { ' ' };
        let _ = writeln!(
            text,
            "{name:24} {:>14.4} {:>14.4} {star} {:>12.4}{}",
            pair.first,
            pair.second,
            pair.difference.mean,
            half.unwrap_or_default()
        );
    }
    text.push_str("* the 95 % interval of the difference, paired by seed, leaves out zero");
    text
}
