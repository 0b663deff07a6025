//! `antiphon sim bench`: the simulator's acceptance rows, one object each.
//!
//! Rows with a scenario run in a process of their own, so that each row's memory is its own. A new
//! row is a new entry of [`ROWS`] and a function that measures it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use antiphon_sim::engine::bench::HoldModel;
use antiphon_sim::packet::fidelity;
use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::exit::Misconfigured;
use crate::output;

/// Events of the bare queue's measurement, and how many are pending.
const ENGINE_EVENTS: u64 = 20_000_000;
const ENGINE_PENDING: usize = 1_000_000;

/// Ticks a second in which Linux counts a process' time, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

const GIB: f64 = 1_073_741_824.0;

/// What a row measures.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// The bare event queue; at least so many events a second.
    Engine { min_events_per_s: f64 },
    /// A scenario; at most so many seconds and so much memory.
    World {
        scenario: &'static str,
        max_s: f64,
        max_rss_gib: f64,
    },
    /// Fault schedules; at most so many seconds at the median, and none may fail.
    Packets { max_median_s: f64 },
    /// The allocators on so many random nets: none over capacity, `maxmin-local` within these errors.
    Allocators {
        nets: u64,
        max_median: f64,
        max_p99: f64,
    },
    /// Completion times of the same transfers in both models, within these errors.
    Fidelity { max_median: f64, max_p95: f64 },
    /// `sim run hello --out`, from the command to the report; at most so many seconds.
    Report { max_s: f64 },
}

/// The rows by their number in the project's list.
const ROWS: &[(u8, &str, Measure)] = &[
    (
        1,
        "bare event queue, 1,000,000 pending",
        Measure::Engine {
            min_events_per_s: 10e6,
        },
    ),
    (
        2,
        "100,000 users, 24 hours",
        Measure::World {
            scenario: "scale-day",
            max_s: 600.0,
            max_rss_gib: 0.6,
        },
    ),
    (
        3,
        "1,000,000 users, 1 hour",
        Measure::World {
            scenario: "scale-hour",
            max_s: 600.0,
            max_rss_gib: 5.0,
        },
    ),
    (
        4,
        "hello, from command to report",
        Measure::Report { max_s: 2.0 },
    ),
    (
        5,
        "packet harness, 12 nodes, 5 minutes, faults",
        Measure::Packets { max_median_s: 0.2 },
    ),
    (
        6,
        "allocators against the exact solution",
        Measure::Allocators {
            nets: 10_000,
            max_median: 0.02,
            max_p99: 0.1,
        },
    ),
    (
        7,
        "fluid model against packets",
        Measure::Fidelity {
            max_median: 0.1,
            max_p95: 0.25,
        },
    ),
];

/// Fault schedules of row 5; `make sim-night` runs many more.
const SCHEDULES: &str = "200";

/// Measures the rows asked for; writes them to `out` if one is named.
pub(super) fn bench(rows: &[u8], out: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    if let Some(unknown) = rows
        .iter()
        .find(|row| !ROWS.iter().any(|(number, ..)| number == *row))
    {
        let known: Vec<String> = ROWS.iter().map(|(number, ..)| number.to_string()).collect();
        return Err(Misconfigured::error(format!(
            "there is no row {unknown}; known are {}",
            known.join(", ")
        )));
    }
    if cfg!(debug_assertions) {
        output::say("this build is not optimized; its speed says little");
    }
    let mut results = Vec::new();
    for (number, name, measure) in ROWS.iter().filter(|(number, ..)| rows.contains(number)) {
        let mut result = measured(*measure).with_context(|| format!("row {number}, {name}"))?;
        if let Some(object) = result.as_object_mut() {
            object.insert("row".to_owned(), json!(number));
            object.insert("measure".to_owned(), json!(name));
        }
        if !as_json {
            output::result(&line(*number, name, &result))?;
        }
        results.push(result);
    }
    let all = json!({"rows": results, "unoptimized": cfg!(debug_assertions)});
    if let Some(out) = out {
        if let Some(folder) = out.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(out, format!("{all:#}\n"))
            .with_context(|| format!("cannot write {}", out.display()))?;
    }
    if as_json {
        output::json(&all)?;
    }
    Ok(())
}

fn line(number: u8, name: &str, result: &Value) -> String {
    let figure = |key: &str| result.get(key).and_then(Value::as_f64);
    let mut parts = vec![format!("{number}  {name:38}")];
    if let Some(rate) = figure("events_per_s") {
        parts.push(format!("{:>7.2} M events/s", rate / 1e6));
    }
    if let (Some(wall), Some(user)) = (figure("wall_s"), figure("user_s")) {
        parts.push(format!("{wall:.2} s, {user:.2} s of them in the program"));
    }
    if let Some(rss) = figure("max_rss_bytes") {
        parts.push(format!("{:.2} GiB", rss / GIB));
    }
    let pass = result.get("pass").and_then(Value::as_bool);
    parts.push(if pass == Some(true) { "pass" } else { "FAIL" }.to_owned());
    parts.join("  ")
}

fn measured(measure: Measure) -> anyhow::Result<Value> {
    match measure {
        Measure::Engine { min_events_per_s } => Ok(engine(min_events_per_s)),
        Measure::World {
            scenario,
            max_s,
            max_rss_gib,
        } => {
            let ran = ran(&["sim", "run", scenario, "--seeds", "1", "--json"])?;
            let run: Value = serde_json::from_slice(&ran.stdout)
                .context("the run did not print what it measured")?;
            let figure = |key: &str| run.get(key).and_then(Value::as_f64).unwrap_or_default();
            let (events, rss) = (figure("events"), figure("max_rss_bytes"));
            let accept = json!({"wall_s": max_s, "max_rss_bytes": max_rss_gib * GIB});
            Ok(json!({
                "scenario": scenario, "wall_s": ran.wall_s, "user_s": ran.user_s,
                "events": events, "events_per_s": events / ran.user_s.max(1e-9),
                "max_rss_bytes": rss, "digest": run.get("digest"), "accept": accept,
                "pass": ran.wall_s <= max_s && rss <= max_rss_gib * GIB,
            }))
        }
        Measure::Packets { max_median_s } => packets(max_median_s),
        Measure::Allocators {
            nets,
            max_median,
            max_p99,
        } => Ok(allocators(nets, max_median, max_p99)),
        Measure::Fidelity {
            max_median,
            max_p95,
        } => Ok(fluid_against_packets(max_median, max_p95)),
        Measure::Report { max_s } => {
            let folder =
                std::env::temp_dir().join(format!("antiphon-bench-{}", std::process::id()));
            let path = folder
                .to_str()
                .context("the temporary folder has no name")?;
            let ran = ran(&["sim", "run", "hello", "--seeds", "1", "--out", path])?;
            let written = folder.join("report.html").is_file();
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
            Ok(json!({
                "scenario": "hello", "wall_s": ran.wall_s, "user_s": ran.user_s,
                "accept": {"wall_s": max_s}, "pass": written && ran.wall_s <= max_s,
            }))
        }
    }
}

fn engine(min_events_per_s: f64) -> Value {
    let mut model = HoldModel::new(ENGINE_PENDING);
    // Once round, so that the wheels are in their steady state.
    model.run(ENGINE_PENDING as u64);
    let began = Instant::now();
    model.run(ENGINE_EVENTS);
    let rate = ENGINE_EVENTS as f64 / began.elapsed().as_secs_f64();
    json!({
        "pending": ENGINE_PENDING, "events": ENGINE_EVENTS, "events_per_s": rate,
        "accept": {"events_per_s": min_events_per_s}, "pass": rate >= min_events_per_s,
    })
}

fn packets(max_median_s: f64) -> anyhow::Result<Value> {
    let args = ["sim", "fuzz", "--schedules", SCHEDULES, "--seed", "1"];
    let shape = ["--nodes", "12", "--seconds", "300", "--json"];
    let ran = ran_whatever_came(&[&args[..], &shape[..]].concat())?;
    let run: Value =
        serde_json::from_slice(&ran.stdout).context("the run did not print what it measured")?;
    let median = run.pointer("/schedule_s/p50").and_then(Value::as_f64);
    let failed = run.get("failures").and_then(Value::as_array).map(Vec::len);
    let good = failed == Some(0) && median.is_some_and(|median| median <= max_median_s);
    Ok(json!({
        "schedules": run.get("schedules"), "schedule_s": run.get("schedule_s"),
        "failures": run.get("failures"), "wall_s": ran.wall_s, "user_s": ran.user_s,
        "accept": {"schedule_s.p50": max_median_s, "failures": 0}, "pass": good,
    }))
}

fn allocators(nets: u64, max_median: f64, max_p99: f64) -> Value {
    let report = antiphon_sim::net::accuracy::report(nets);
    let names = ["share", "maxmin-local", "maxmin"];
    let overloaded = names.map(|name| report[name]["overloaded"].as_u64());
    let error = |figure: &str| report["maxmin-local"][figure].as_f64();
    let good = overloaded.iter().all(|links| *links == Some(0))
        && error("error_median").is_some_and(|error| error <= max_median)
        && error("error_p99").is_some_and(|error| error <= max_p99);
    json!({
        "allocators": report, "pass": good,
        "accept": {"overloaded": 0, "error_median": max_median, "error_p99": max_p99},
    })
}

fn fluid_against_packets(max_median: f64, max_p95: f64) -> Value {
    let families = fidelity::compare(&fidelity::CHECKED);
    let good = families
        .iter()
        .all(|family| family.median <= max_median && family.p95 <= max_p95);
    json!({
        "families": fidelity::report(&families), "pass": good,
        "accept": {"median_error": max_median, "p95_error": max_p95},
    })
}

/// What a run of this very program cost.
struct Ran {
    success: bool,
    stdout: Vec<u8>,
    wall_s: f64,
    /// Time in the program itself, other work on the machine left out.
    user_s: f64,
}

fn ran(args: &[&str]) -> anyhow::Result<Ran> {
    let ran = ran_whatever_came(args)?;
    if !ran.success {
        bail!("antiphon {} failed", args.join(" "));
    }
    Ok(ran)
}

fn ran_whatever_came(args: &[&str]) -> anyhow::Result<Ran> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let before = children_user_s();
    let began = Instant::now();
    let output = Command::new(program)
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start this program")?;
    let wall_s = began.elapsed().as_secs_f64();
    Ok(Ran {
        success: output.status.success(),
        stdout: output.stdout,
        wall_s,
        user_s: children_user_s() - before,
    })
}

/// Time in programs that this one started and that ended, as Linux counts it; zero elsewhere.
fn children_user_s() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold spaces; the 14th field behind it is the children's time.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().nth(13);
    ticks
        .and_then(|ticks| ticks.parse::<f64>().ok())
        .unwrap_or_default()
        / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_once_and_a_row_that_is_not_there_is_named() {
        let mut numbers: Vec<u8> = ROWS.iter().map(|(number, ..)| *number).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), ROWS.len());
        let error = bench(&[99], None, true).expect_err("there is no such row");
        assert!(error.to_string().contains("there is no row 99"), "{error}");
    }

    #[test]
    fn a_line_says_what_was_measured_and_whether_it_is_enough() {
        let result = json!({"wall_s": 1.5, "user_s": 1.25, "max_rss_bytes": GIB, "pass": false});
        let line = line(2, "a world", &result);
        assert!(
            line.contains("1.50 s, 1.25 s") && line.ends_with("1.00 GiB  FAIL"),
            "{line}"
        );
    }
}
