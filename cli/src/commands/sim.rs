//! `antiphon sim`: scenarios in, figures out. The only place of the simulator that reads a clock
//! or touches files.

mod bench;
mod compare;
mod explain;
mod folder;
mod fuzz;
mod pages;
mod progress;
mod scenario;
mod show;
mod sweep;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use antiphon_sim::report::Outcome;
use antiphon_sim::run::{Enough, EnoughError, Plan, RunError, run, run_until};
use antiphon_sim::scenario::{BUILT_IN, Scenario};
use antiphon_sim::variant;
use serde_json::json;

use crate::args::{SimCommand, SimRunArgs};
use crate::exit::Misconfigured;
use crate::output;
use progress::Bar;

/// Runs one of the subcommands.
pub fn run_command(command: SimCommand, quiet: bool) -> anyhow::Result<()> {
    if runs_worlds(&command) {
        pages::use_large();
    }
    match command {
        SimCommand::Run(args) => run_scenario(&args, quiet),
        SimCommand::List { json } => list(json),
        SimCommand::New { name, from } => new(&name, &from),
        SimCommand::Verify { folder, jobs } => verify(&folder, jobs, quiet),
        SimCommand::Replay {
            scenario,
            seed,
            variant,
            set,
            json,
        } => replay((&scenario, variant.as_deref(), &set), seed, json, quiet),
        SimCommand::Explain(args) => explain::explain_play(&args, quiet),
        SimCommand::Compare(args) => compare::compare(&args, quiet),
        SimCommand::Sweep(args) => sweep::run_sweep(&args),
        SimCommand::Fidelity { others, json } => fuzz::show_fidelity(others, json),
        SimCommand::Fuzz(args) => fuzz::run_fuzz(&args, quiet),
        SimCommand::Bench { rows, out, json } => bench::bench(&rows, out.as_deref(), json),
    }
}

/// Whether most of a command's time is that of worlds.
const fn runs_worlds(command: &SimCommand) -> bool {
    matches!(
        command,
        SimCommand::Run(_)
            | SimCommand::Verify { .. }
            | SimCommand::Replay { .. }
            | SimCommand::Compare(_)
            | SimCommand::Sweep(_)
    )
}

/// Runs a plan with a progress line on a terminal, and measures what it costs. `settings` are
/// those the scenario was changed with, for the command that replays what broke.
fn measured(
    plan: &Plan,
    enough: Option<&Enough>,
    quiet: bool,
    settings: &[String],
) -> anyhow::Result<Outcome> {
    let bar = Bar::new(plan, quiet);
    let began = Instant::now();
    let show = |progress| bar.show(progress);
    let runs = match enough {
        None => run(plan, &show).map_err(EnoughError::Run),
        Some(enough) => run_until(plan, enough, &show),
    };
    bar.clear();
    let runs = runs.map_err(|error| match error {
        EnoughError::Run(error) => broken(&error, settings),
        EnoughError::Figure(_) => Misconfigured::error(error.to_string()),
    })?;
    Ok(Outcome {
        scenario: Arc::clone(&plan.scenario),
        runs,
        wall_s: began.elapsed().as_secs_f64(),
        max_rss_bytes: max_rss_bytes(),
        workers: plan.workers,
    })
}

fn broken(error: &RunError, settings: &[String]) -> anyhow::Error {
    let variant = Some(error.variant.as_str());
    let replay = replay_command(&error.scenario, variant, settings, error.seed);
    anyhow::anyhow!("{error}; replay it with: {replay}")
}

/// One line that runs the same seed again, checking after every input.
fn replay_command(scenario: &str, variant: Option<&str>, settings: &[String], seed: u64) -> String {
    let variant = variant.map(|variant| format!(" --variant {variant}"));
    let settings: Vec<String> = settings
        .iter()
        .map(|text| format!(" --set {text}"))
        .collect();
    format!(
        "antiphon sim replay {scenario}{} --seed {seed}{}",
        variant.unwrap_or_default(),
        settings.concat()
    )
}

/// The most memory this process had, as Linux counts it; zero where it does not say.
fn max_rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1_024
}

fn run_scenario(args: &SimRunArgs, quiet: bool) -> anyhow::Result<()> {
    let mut scenario = scenario::read(&args.scenario, args.variant.as_deref(), &args.set)?;
    if let Some(users) = args.users {
        scenario.population.users = users;
        // What was read is checked again with the other number.
        scenario = Scenario::read(&scenario.write())
            .map_err(|error| Misconfigured::error(error.to_string()))?;
    }
    if let Some(folder) = &args.out {
        folder::prepare(folder)?;
    }
    let enough = args
        .until
        .as_deref()
        .map(|text| enough(text, args.max_seeds));
    let mut plan = Plan::new(Arc::new(scenario), args.seeds);
    plan.workers = args.jobs;
    let outcome = measured(&plan, enough.transpose()?.as_ref(), quiet, &args.set)?;
    if let Some(folder) = &args.out {
        folder::write_run(folder, &outcome)?;
    }
    if args.json {
        if outcome.runs.len() == 1 {
            output::say(show::ONE_SEED);
        }
        return output::json(&outcome.json());
    }
    output::result(&show::outcome(&outcome))?;
    if let Some(folder) = &args.out {
        output::say(&format!("report: {}", folder.join("report.html").display()));
    }
    Ok(())
}

/// `share.server=0.3%`.
fn enough(text: &str, seeds_max: u32) -> anyhow::Result<Enough> {
    let wrong = || {
        Misconfigured::error(format!(
            "--until {text}: write it as share.server=0.3% or start_ms.p50=5"
        ))
    };
    let (figure, width) = text.split_once('=').ok_or_else(wrong)?;
    let (number, unit) = match width.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (width, 1.0),
    };
    let half_width = number.parse::<f64>().map_err(|_| wrong())? * unit;
    if half_width.is_nan() || half_width <= 0.0 {
        return Err(wrong());
    }
    Ok(Enough {
        figure: figure.to_owned(),
        half_width,
        seeds_max: seeds_max as usize,
    })
}

fn list(json: bool) -> anyhow::Result<()> {
    let scenarios: Result<Vec<Scenario>, _> = BUILT_IN
        .iter()
        .map(|(_, text)| Scenario::read(text))
        .collect();
    let scenarios = scenarios?;
    if json {
        let scenarios: Vec<_> = scenarios
            .iter()
            .map(|scenario| {
                json!({
                    "name": scenario.name, "describe": scenario.describe,
                    "users": scenario.population.users, "simulated_s": scenario.settle.0 + scenario.duration.0,
                    "variant": scenario.variant, "seeds": scenario.seeds.count, "targets": scenario.targets.len(),
                })
            })
            .collect();
        return output::json(&json!({"scenarios": scenarios, "variants": variant::NAMES}));
    }
    output::result(&show::scenarios(&scenarios))?;
    Ok(())
}

fn new(name: &str, from: &str) -> anyhow::Result<()> {
    let mut scenario = scenario::read(from, None, &[])?;
    scenario.name = name.to_owned();
    output::result(scenario.write().trim_end())?;
    Ok(())
}

fn verify(folder: &Path, jobs: usize, quiet: bool) -> anyhow::Result<()> {
    let (manifest, scenario) = scenario::read_manifest(folder)?;
    let mut plan = Plan::new(Arc::new(scenario), None);
    plan.seeds = manifest.seeds.iter().map(|seed| seed.seed).collect();
    plan.workers = jobs;
    let outcome = measured(&plan, None, quiet, &[])?;
    manifest.compare(&outcome.runs)?;
    let seeds = outcome.runs.len();
    output::result(&format!(
        "the same: {} events of {seeds} seeds",
        outcome.events()
    ))?;
    Ok(())
}

fn replay(
    (name, variant, settings): (&str, Option<&str>, &[String]),
    seed: u64,
    json: bool,
    quiet: bool,
) -> anyhow::Result<()> {
    let scenario = scenario::read(name, variant, settings)?;
    let mut plan = Plan::new(Arc::new(scenario), Some(1));
    plan.seeds = vec![seed];
    plan.check_every = 1;
    let outcome = measured(&plan, None, quiet, settings)?;
    if json {
        return output::json(&outcome.json());
    }
    output::result(&show::outcome(&outcome))?;
    Ok(())
}
