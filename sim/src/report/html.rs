//! The page of a run: one file, no script, nothing from the network.

use core::fmt::Write as _;

use crate::measure::tally::SeriesRow;
use crate::report::Outcome;
use crate::report::svg::{Axis, COLORS, Line, lines, short, stack};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:880px;margin:2em auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse}td,th{padding:.25em .8em .25em 0;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;height:auto;font-size:11px}.grid{stroke:#e4e4e4}
.legend span{margin-right:1.2em}.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.35em}.met{color:#00664b}.missed{color:#b03a00;font-weight:600}
code,pre{background:#f4f4f4;padding:.1em .3em}.warn{background:#fff4d6;padding:.5em .8em}
@media (prefers-color-scheme:dark){body{background:#181818;color:#ddd}.grid{stroke:#333}td,th{border-color:#333}code,pre{background:#262626}svg text{fill:#bbb}.met{color:#5ec9a5}.missed{color:#ff9a62}.warn{background:#3a3110}}";

/// Minutes summed up to one point of a plot.
const BIN_MINUTES: usize = 5;

/// The figures at the top, with what they mean.
const HEADLINES: &[(&str, &str, bool)] = &[
    ("share.server", "played bytes from the origin", true),
    ("share.peers", "played bytes from peers", true),
    ("share.cache", "played bytes from the own cache", true),
    ("start_ms.p50", "start latency, median, ms", false),
    ("start_ms.p75", "start latency, 75th percentile, ms", false),
    ("start_ms.p90", "start latency, 90th percentile, ms", false),
    ("start_ms.p99", "start latency, 99th percentile, ms", false),
    ("stall_share", "plays with a stall", true),
    ("overhead_share", "bytes moved that are not new music", true),
    (
        "skip_waste_share",
        "fetched bytes that were not heard",
        true,
    ),
    ("no_holder_share", "lookups without any holder", true),
    ("dial_success_share", "dials that led to a connection", true),
    ("messages_per_play", "control messages a play", false),
];

pub(super) fn page(outcome: &Outcome) -> String {
    let scenario = &outcome.scenario;
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{0}: {1}</title><style>{STYLE}</style><h1>{0} <small>{1}</small></h1><p>{2}.</p>",
        escape(&scenario.name),
        escape(&scenario.variant),
        escape(&scenario.describe),
    );
    if outcome.runs.len() == 1 {
        page.push_str("<p class=\"warn\">One seed: nothing is known about how far these figures would move with another. Use <code>--seeds 10</code>.</p>");
    }
    headlines(&mut page, outcome);
    targets(&mut page, outcome);
    section(
        &mut page,
        "Where played bytes came from",
        &source_mix(outcome),
    );
    section(&mut page, "Start latency", &start_latency(outcome));
    section(
        &mut page,
        "Bytes the origin sent, and would send without peers",
        &egress(outcome),
    );
    section(&mut page, "Sources by popularity", &by_rank(outcome));
    section(&mut page, "Who uploads", &lorenz(outcome));
    section(&mut page, "Nodes online and listening", &online(outcome));
    assumptions(&mut page, outcome);
    page
}

fn section(page: &mut String, title: &str, body: &str) {
    let _ = write!(page, "<h2>{title}</h2>{body}");
}

fn headlines(page: &mut String, outcome: &Outcome) {
    page.push_str("<table><tr><th>figure<th>mean<th>95 % interval</tr>");
    let estimates = outcome.estimates();
    for (name, words, percent) in HEADLINES {
        let Some(estimate) = estimates.get(name) else {
            continue;
        };
        let interval = estimate
            .half_width
            .map(|half| format!("&plusmn; {}", number(half, *percent)));
        let _ = write!(
            page,
            "<tr><td>{words}<td class=\"n\">{}<td class=\"n\">{}</tr>",
            number(estimate.mean, *percent),
            interval.unwrap_or_default()
        );
    }
    page.push_str("</table>");
}

fn targets(page: &mut String, outcome: &Outcome) {
    let verdicts = outcome.verdicts();
    if verdicts.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Targets</h2><table><tr><th>figure<th>value<th>from<th>to<th>source<th></tr>",
    );
    for verdict in verdicts {
        let percent = !verdict.figure.contains("_ms");
        let value = verdict
            .value
            .map_or_else(|| "none".to_owned(), |value| number(value, percent));
        let (class, word) = if verdict.is_met() {
            ("met", "met")
        } else {
            ("missed", "missed")
        };
        let _ = write!(
            page,
            "<tr><td>{}<td class=\"n\">{value}<td class=\"n\">{}<td class=\"n\">{}<td>{}<td class=\"{class}\">{word}</tr>",
            escape(&verdict.figure),
            number(verdict.min, percent),
            number(verdict.max, percent),
            escape(&verdict.source)
        );
    }
    page.push_str("</table>");
}

fn number(value: f64, percent: bool) -> String {
    if percent {
        format!("{:.2} %", value * 100.0)
    } else {
        format!("{value:.1}")
    }
}

/// Sums over seeds and bins of minutes.
fn binned(outcome: &Outcome, of: impl Fn(&SeriesRow) -> f64) -> Vec<(f64, f64)> {
    let minutes = outcome
        .runs
        .iter()
        .map(|run| run.tally.series.len())
        .min()
        .unwrap_or_default();
    let bins = minutes / BIN_MINUTES;
    let seeds = outcome.runs.len().max(1) as f64;
    (0..bins)
        .map(|bin| {
            let rows = outcome.runs.iter().flat_map(|run| {
                run.tally
                    .series
                    .iter()
                    .skip(bin * BIN_MINUTES)
                    .take(BIN_MINUTES)
            });
            let sum: f64 = rows.map(&of).sum();
            ((bin as f64 + 0.5) * BIN_MINUTES as f64 / 60.0, sum / seeds)
        })
        .collect()
}

fn hours(outcome: &Outcome) -> Axis {
    let to = (outcome.scenario.duration.0 / 3_600.0).max(0.1);
    Axis {
        title: "hours",
        from: 0.0,
        to,
        log: false,
    }
}

fn line(name: &str, color: &'static str, points: Vec<(f64, f64)>) -> Line {
    Line {
        name: name.to_owned(),
        color,
        points,
        opacity: 1.0,
    }
}

fn highest(lines: &[Line]) -> f64 {
    let values = lines
        .iter()
        .flat_map(|line| line.points.iter().map(|(_, y)| *y));
    values.fold(1e-9, f64::max) * 1.05
}

fn source_mix(outcome: &Outcome) -> String {
    let whole = binned(outcome, |row| (row.server + row.peers + row.cache) as f64);
    let part = |of: fn(&SeriesRow) -> u64| {
        let parts = binned(outcome, |row| of(row) as f64);
        parts
            .into_iter()
            .zip(&whole)
            .map(|((x, part), (_, all))| (x, 100.0 * part / all.max(1.0)))
            .collect()
    };
    let layers = [
        line("cache", COLORS[2], part(|row| row.cache)),
        line("peers", COLORS[0], part(|row| row.peers)),
        line("origin", COLORS[3], part(|row| row.server)),
    ];
    let y = Axis {
        title: "% of played bytes",
        from: 0.0,
        to: 100.0,
        log: false,
    };
    stack(&hours(outcome), &y, &layers)
}

fn start_latency(outcome: &Outcome) -> String {
    let mut all = Vec::new();
    for run in &outcome.runs {
        for (name, color, histogram) in [
            ("all plays", COLORS[0], &run.tally.start),
            (
                "plays that fetched something",
                COLORS[1],
                &run.tally.start_network,
            ),
        ] {
            let points = histogram.cumulative();
            let points = points
                .into_iter()
                .map(|(micros, share)| (micros as f64 / 1e3, share * 100.0));
            // Each seed is a line of its own: together they are the band.
            all.push(Line {
                opacity: 0.7,
                ..line(name, color, points.collect())
            });
        }
    }
    let x = Axis {
        title: "ms from pressing play to sound",
        from: 5.0,
        to: 5_000.0,
        log: true,
    };
    let y = Axis {
        title: "% of plays",
        from: 0.0,
        to: 100.0,
        log: false,
    };
    lines(&x, &y, &all)
}

fn egress(outcome: &Outcome) -> String {
    let rate = |bytes: f64| bytes * 8.0 / (BIN_MINUTES as f64 * 60.0);
    let sent = binned(outcome, |row| rate(row.origin_sent as f64));
    let without = binned(outcome, |row| rate((row.server + row.peers) as f64));
    let both = [
        line("sent", COLORS[3], sent),
        line("without peers", COLORS[4], without),
    ];
    let y = Axis {
        title: "bit/s",
        from: 0.0,
        to: highest(&both),
        log: false,
    };
    lines(&hours(outcome), &y, &both)
}

fn by_rank(outcome: &Outcome) -> String {
    let mut sums = [[0_u64; 3]; 32];
    for (bin, row) in outcome
        .runs
        .iter()
        .flat_map(|run| run.tally.tracks.iter().enumerate())
    {
        if let Some(sum) = sums.get_mut(bin) {
            *sum = [sum[0] + row.cache, sum[1] + row.peers, sum[2] + row.server];
        }
    }
    let used = sums
        .iter()
        .rposition(|sum| sum.iter().sum::<u64>() > 0)
        .unwrap_or_default()
        + 1;
    let layer = |name, color, at: usize| {
        let points = sums.iter().take(used).enumerate().map(|(bin, sum)| {
            let all = sum.iter().sum::<u64>().max(1) as f64;
            (
                f64::from(1_u32 << bin),
                100.0 * sum.get(at).copied().unwrap_or_default() as f64 / all,
            )
        });
        line(name, color, points.collect())
    };
    let layers = [
        layer("cache", COLORS[2], 0),
        layer("peers", COLORS[0], 1),
        layer("origin", COLORS[3], 2),
    ];
    let to = f64::from(1_u32 << (used - 1).max(1));
    let x = Axis {
        title: "popularity rank of the track",
        from: 1.0,
        to,
        log: true,
    };
    let y = Axis {
        title: "% of played bytes",
        from: 0.0,
        to: 100.0,
        log: false,
    };
    stack(&x, &y, &layers)
}

fn lorenz(outcome: &Outcome) -> String {
    let mut uploads: Vec<u64> = outcome
        .runs
        .iter()
        .flat_map(|run| run.tally.nodes.iter().map(|node| node.uploaded))
        .collect();
    uploads.sort_unstable();
    let all = uploads.iter().sum::<u64>().max(1) as f64;
    let count = uploads.len().max(1);
    let step = count.div_ceil(200);
    let mut sum = 0;
    let mut points = vec![(0.0, 0.0)];
    for (at, bytes) in uploads.iter().enumerate() {
        sum += bytes;
        if (at + 1) % step == 0 || at + 1 == count {
            points.push((
                100.0 * (at + 1) as f64 / count as f64,
                100.0 * sum as f64 / all,
            ));
        }
    }
    let equal = line("all alike", COLORS[4], vec![(0.0, 0.0), (100.0, 100.0)]);
    let x = Axis {
        title: "% of nodes, least first",
        from: 0.0,
        to: 100.0,
        log: false,
    };
    let y = Axis {
        title: "% of uploaded bytes",
        from: 0.0,
        to: 100.0,
        log: false,
    };
    lines(&x, &y, &[line("uploads", COLORS[0], points), equal])
}

fn online(outcome: &Outcome) -> String {
    let mean =
        |of: fn(&SeriesRow) -> u64| binned(outcome, |row| of(row) as f64 / BIN_MINUTES as f64);
    let both = [
        line("online", COLORS[0], mean(|row| row.online)),
        line("listening", COLORS[1], mean(|row| row.listening)),
    ];
    let y = Axis {
        title: "nodes",
        from: 0.0,
        to: highest(&both),
        log: false,
    };
    lines(&hours(outcome), &y, &both)
}

fn assumptions(page: &mut String, outcome: &Outcome) {
    let scenario = &outcome.scenario;
    page.push_str("<h2>What this rests on</h2><ul>
<li>Every decision of a node and every answer of the tracker is the product's own code.
<li>Links are fluid and shared by max-min fairness; there are no packets, queues or bufferbloat. Loss caps rates and delays single messages.
<li>Only the two ends of a path can be full: no shared Wi-Fi, no last mile, no limits between regions. A network without such limits flatters peers; an IPTV study found a factor of three.
<li>Whether a pair can connect is drawn once from the NAT classes.
<li>Sound begins a fixed decode time after license, setup and first audio are there.
<li>Warm caches hold tracks drawn by popularity; no weeks are simulated for them.</ul>");
    if !scenario.fitted.is_empty() {
        let _ = write!(
            page,
            "<p>Inputs fitted to results: {}.</p>",
            escape(&scenario.fitted.join(", "))
        );
    }
    let _ = write!(
        page,
        "<p>{} events in {:.1} s, {} of memory at most, {} seeds, digest <code>{}</code>.</p>",
        outcome.events(),
        outcome.wall_s,
        short(outcome.max_rss_bytes as f64),
        outcome.runs.len(),
        outcome.digest()
    );
    let _ = write!(
        page,
        "<p>Repeat it with <code>antiphon sim verify</code> on this folder. The scenario with every default:</p><pre>{}</pre>",
        escape(&scenario.write())
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
