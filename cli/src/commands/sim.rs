//! `antiphon sim`: scenarios in, figures out. The only place of the simulator that reads a clock
//! or touches files.

mod progress;
mod show;
mod sweep;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use antiphon_sim::compare::compare;
use antiphon_sim::engine::bench::HoldModel;
use antiphon_sim::report::{Manifest, Outcome};
use antiphon_sim::run::{Plan, run};
use antiphon_sim::scenario::{BUILT_IN, Scenario, built_in};
use antiphon_sim::variant;
use anyhow::{Context as _, bail};
use serde_json::json;

use crate::args::{SimCommand, SimRunArgs};
use crate::exit::Misconfigured;
use crate::output;
use progress::Bar;

/// Events of the bare queue's measurement, and how many are pending: acceptance row 1.
const BENCH_EVENTS: u64 = 10_000_000;
const BENCH_PENDING: usize = 1_000_000;

/// Scenarios larger than this are not read: far more than a person writes.
const SCENARIO_BYTES_MAX: u64 = 1 << 20;

/// Runs one of the subcommands.
pub fn run_command(command: SimCommand, quiet: bool) -> anyhow::Result<()> {
    match command {
        SimCommand::Run(args) => run_scenario(&args, quiet),
        SimCommand::List { json } => list(json),
        SimCommand::New { name, from } => new(&name, &from),
        SimCommand::Verify { folder, jobs } => verify(&folder, jobs, quiet),
        SimCommand::Replay {
            scenario,
            seed,
            variant,
            json,
        } => replay(&scenario, seed, variant.as_deref(), json, quiet),
        SimCommand::Compare {
            scenario,
            variants,
            seeds,
            jobs,
            json,
        } => compare_variants(&scenario, &variants, seeds, jobs, json, quiet),
        SimCommand::Sweep(args) => sweep::run_sweep(&args),
        SimCommand::Bench { json } => bench(json),
    }
}

/// A built-in scenario by name, or a file.
fn read(name: &str, variant: Option<&str>) -> anyhow::Result<Scenario> {
    let text = match built_in(name) {
        Some((_, text)) => (*text).to_owned(),
        None => read_file(name)?,
    };
    let scenario = Scenario::read(&text);
    let mut scenario =
        scenario.map_err(|error| Misconfigured::error(format!("{name}: {error}")))?;
    if let Some(variant) = variant {
        scenario.variant = variant.to_owned();
        if !variant::NAMES.contains(&variant) {
            let known = variant::NAMES.join(", ");
            return Err(Misconfigured::error(format!(
                "there is no variant {variant}; known are {known}"
            )));
        }
    }
    Ok(scenario)
}

fn read_file(name: &str) -> anyhow::Result<String> {
    let known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    let explain = || {
        let known = known.join(", ");
        format!("{name} is neither a built-in scenario ({known}) nor a file that can be read")
    };
    let length = fs::metadata(name).with_context(explain)?.len();
    if length > SCENARIO_BYTES_MAX {
        return Err(Misconfigured::error(format!(
            "{name} has {length} bytes, too many for a scenario"
        )));
    }
    fs::read_to_string(name).with_context(explain)
}

/// Runs a plan with a progress line on a terminal, and measures what it costs.
fn measured(plan: &Plan, quiet: bool) -> anyhow::Result<Outcome> {
    let bar = Bar::new(plan, quiet);
    let began = Instant::now();
    let runs = run(plan, &|progress| bar.show(progress));
    bar.clear();
    Ok(Outcome {
        scenario: Arc::clone(&plan.scenario),
        runs: runs?,
        wall_s: began.elapsed().as_secs_f64(),
        max_rss_bytes: max_rss_bytes(),
        workers: plan.workers,
    })
}

/// The most memory this process had, as Linux counts it; zero where it does not say.
fn max_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

fn run_scenario(args: &SimRunArgs, quiet: bool) -> anyhow::Result<()> {
    let mut scenario = read(&args.scenario, args.variant.as_deref())?;
    if let Some(users) = args.users {
        scenario.population.users = users;
        // What was read is checked again with the other number.
        scenario = Scenario::read(&scenario.write())
            .map_err(|error| Misconfigured::error(error.to_string()))?;
    }
    if let Some(folder) = &args.out {
        prepare(folder)?;
    }
    let mut plan = Plan::new(Arc::new(scenario), args.seeds);
    plan.workers = args.jobs;
    let outcome = measured(&plan, quiet)?;
    if let Some(folder) = &args.out {
        write_all(folder, &outcome)?;
    }
    if args.json {
        return output::json(&outcome.json());
    }
    output::result(&show::outcome(&outcome))?;
    if let Some(folder) = &args.out {
        output::say(&format!("report: {}", folder.join("report.html").display()));
    }
    Ok(())
}

fn prepare(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    if entries.next().is_some() {
        return Err(Misconfigured::error(format!(
            "{} is not empty; name another folder",
            folder.display()
        )));
    }
    Ok(())
}

/// The manifest comes last: a folder with one is complete.
fn write_all(folder: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let mut files = outcome.files();
    files.sort_by_key(|(name, _)| *name == "manifest.json");
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn list(json: bool) -> anyhow::Result<()> {
    let mut scenarios = Vec::new();
    for (name, text) in BUILT_IN {
        let scenario = Scenario::read(text)?;
        scenarios.push((*name, scenario.describe, scenario.population.users));
    }
    if json {
        let scenarios: Vec<_> = scenarios
            .iter()
            .map(|(name, describe, users)| json!({"name": name, "describe": describe, "users": users}))
            .collect();
        return output::json(&json!({"scenarios": scenarios, "variants": variant::NAMES}));
    }
    for (name, describe, users) in scenarios {
        output::result(&format!("{name:16} {users:>8} users  {describe}"))?;
    }
    output::result(&format!("variants: {}", variant::NAMES.join(", ")))?;
    Ok(())
}

fn new(name: &str, from: &str) -> anyhow::Result<()> {
    let mut scenario = read(from, None)?;
    scenario.name = name.to_owned();
    output::result(scenario.write().trim_end())?;
    Ok(())
}

fn verify(folder: &Path, jobs: usize, quiet: bool) -> anyhow::Result<()> {
    let path = folder.join("manifest.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (manifest, scenario) = Manifest::read(&text)?;
    let mut plan = Plan::new(Arc::new(scenario), None);
    plan.seeds = manifest.seeds.iter().map(|seed| seed.seed).collect();
    plan.workers = jobs;
    let outcome = measured(&plan, quiet)?;
    manifest.compare(&outcome.runs)?;
    let seeds = outcome.runs.len();
    output::result(&format!(
        "the same: {} events of {seeds} seeds",
        outcome.events()
    ))?;
    Ok(())
}

fn replay(
    name: &str,
    seed: u64,
    variant: Option<&str>,
    json: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let scenario = read(name, variant)?;
    let mut plan = Plan::new(Arc::new(scenario), Some(1));
    plan.seeds = vec![seed];
    plan.check_every = 1;
    let outcome = measured(&plan, quiet)?;
    if json {
        return output::json(&outcome.json());
    }
    output::result(&show::outcome(&outcome))?;
    Ok(())
}

fn compare_variants(
    name: &str,
    variants: &[String],
    seeds: Option<u32>,
    jobs: usize,
    json: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let [first, second] = variants else {
        return Err(Misconfigured::error(
            "name two variants, as --variants origin-only,antiphon".to_owned(),
        ));
    };
    let mut outcomes = Vec::new();
    for variant in [first, second] {
        let mut plan = Plan::new(Arc::new(read(name, Some(variant))?), seeds);
        plan.workers = jobs;
        outcomes.push(measured(&plan, quiet)?.runs);
    }
    let [a, b] = outcomes.as_slice() else {
        bail!("two runs were made");
    };
    let pairs = compare(a, b);
    if json {
        let seeds: Vec<u64> = a.iter().map(|run| run.seed).collect();
        return output::json(
            &json!({"scenario": name, "first": first, "second": second, "seeds": seeds, "figures": pairs}),
        );
    }
    output::result(&show::pairs(first, second, &pairs))?;
    Ok(())
}

fn bench(json: bool) -> anyhow::Result<()> {
    let mut model = HoldModel::new(BENCH_PENDING);
    // Once round, so that the wheels are in their steady state.
    model.run(BENCH_PENDING as u64);
    let began = Instant::now();
    model.run(BENCH_EVENTS);
    let engine = BENCH_EVENTS as f64 / began.elapsed().as_secs_f64();
    drop(model);
    let plan = Plan::new(Arc::new(read("hello", None)?), Some(1));
    let hello = measured(&plan, true)?;
    let events = hello.events() as f64 / hello.wall_s;
    let debug = cfg!(debug_assertions);
    if json {
        return output::json(&json!({
            "engine_events_per_s": engine, "engine_pending": BENCH_PENDING, "hello_s": hello.wall_s,
            "hello_events_per_s": events, "max_rss_bytes": hello.max_rss_bytes, "unoptimized": debug,
        }));
    }
    if debug {
        output::say("this build is not optimized; its speed says little");
    }
    output::result(&format!(
        "bare queue, {BENCH_PENDING} pending   {:>8.2} M events/s",
        engine / 1e6
    ))?;
    output::result(&format!(
        "hello, one core               {:>8.2} M events/s, {:.2} s",
        events / 1e6,
        hello.wall_s
    ))?;
    Ok(())
}
