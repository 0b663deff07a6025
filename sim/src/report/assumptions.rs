//! What a result rests on, in plain words, and how to have it again.

use core::fmt::Write as _;

use crate::measure::warmup::mser_5;
use crate::report::Outcome;
use crate::report::words::{bytes, count, escape};

const MODEL: &str = "<ul>
<li>Every decision of a node and every answer of the tracker is the product's own code.
<li>Links are fluid and shared by max-min fairness; there are no packets, queues or bufferbloat. Loss caps rates and delays single messages.
<li>Only the two ends of a path can be full: no shared Wi-Fi, no last mile, no limits between regions, unless the scenario sets them. A network without such limits flatters peers; an IPTV study found a factor of three.
<li>Whether a pair can connect is drawn once from the NAT classes.
<li>Sound begins a fixed decode time after license, setup and first audio are there.
<li>Warm caches hold tracks drawn by popularity; no weeks are simulated for them.</ul>";

pub(super) fn section(outcome: &Outcome) -> String {
    let mut text = MODEL.to_owned();
    fitted(&mut text, outcome);
    warmup(&mut text, outcome);
    text
}

fn fitted(text: &mut String, outcome: &Outcome) {
    let fitted = &outcome.scenario.fitted;
    if fitted.is_empty() {
        text.push_str("<h3>Fitted inputs</h3><p>None: no input of this scenario was set so that a known result comes out.</p>");
        return;
    }
    let names: Vec<String> = fitted
        .iter()
        .map(|name| format!("<code>{}</code>", escape(name)))
        .collect();
    let _ = write!(
        text,
        "<h3>Fitted inputs</h3><p>Set so that known results come out, with other seeds than these: {}. A target that is met because of them proves nothing about them.</p>",
        names.join(", ")
    );
}

/// The rule by which the beginning is left out, and what MSER-5 says of it.
fn warmup(text: &mut String, outcome: &Outcome) {
    let settle = outcome.scenario.settle.0 / 60.0;
    let _ = write!(
        text,
        "<h3>Warm-up</h3><p>Nobody is online at the start. The first {settle:.0} minutes are simulated and left out (<code>settle</code>): plays asked for in them do not count. "
    );
    let cuts: Vec<f64> = outcome.runs.iter().filter_map(cut).collect();
    let longest = cuts.iter().copied().fold(0.0, f64::max);
    if cuts.is_empty() {
        text.push_str("The run is too short for MSER-5 to judge that.</p>");
    } else if longest <= settle.max(5.0) {
        let _ = write!(
            text,
            "MSER-5 on the origin's bytes a minute would leave out {longest:.0} minutes at most, so that is enough.</p>"
        );
    } else {
        let why = if outcome.scenario.population.diurnal {
            " The hours of the day move the load too, which the rule takes for warm-up."
        } else {
            ""
        };
        let _ = write!(
            text,
            "MSER-5 on the origin's bytes a minute would leave out {longest:.0} minutes: the beginning may still weigh on these figures; a longer <code>settle</code> would tell.{why}</p>"
        );
    }
}

/// Minutes from the very start that MSER-5 would leave out of one run.
fn cut(run: &crate::run::SeedRun) -> Option<f64> {
    let rows = run.tally.settling.iter().chain(&run.tally.series);
    let sent: Vec<f64> = rows.map(|row| row.origin_sent as f64).collect();
    mser_5(&sent).map(|minutes| minutes as f64)
}

/// How to have the run again.
pub(super) fn repeat(outcome: &Outcome) -> String {
    let seeds: Vec<String> = outcome
        .runs
        .iter()
        .map(|run| {
            format!(
                "{} ({} events, <code>{:032x}</code>)",
                run.seed,
                count(run.events),
                run.digest
            )
        })
        .collect();
    format!(
        "<pre>antiphon sim verify THIS-FOLDER                        # the whole run again; compares every digest\nantiphon sim explain THIS-FOLDER --seed {} --play ID    # the story of one play; ids are in plays.csv</pre>
<p>Without the folder: save the scenario below as a file and give it to <code>antiphon sim run FILE --seeds {}</code>.</p>
<p class=\"meta\">{} events in {:.1} s of wall time on {} threads, {} of memory at most, digest <code>{}</code>, Antiphon {}. Seeds: {}.</p>
<details><summary>The scenario with every default</summary><pre>{}</pre></details>",
        outcome.runs.first().map_or(1, |run| run.seed),
        outcome.runs.len(),
        count(outcome.events()),
        outcome.wall_s,
        outcome.workers,
        bytes(outcome.max_rss_bytes as f64),
        outcome.digest(),
        env!("CARGO_PKG_VERSION"),
        seeds.join(", "),
        escape(&outcome.scenario.write())
    )
}
