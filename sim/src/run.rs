//! Runs: a scenario with several seeds on several workers.
//!
//! Parallel runs, never a parallel run: what a seed gives does not depend on the workers.

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::measure::summary::{Figures, estimate, figures};
use crate::measure::tally::Tally;
use crate::scenario::Scenario;
use crate::world::{Broken, World};

/// Simulated time between two reports of progress.
const SLICE_MICROS: u64 = 30_000_000;

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is run.
    pub scenario: Arc<Scenario>,
    /// With which seeds.
    pub seeds: Vec<u64>,
    /// On how many threads.
    pub workers: usize,
    /// The core's own rules are checked after every so many inputs.
    pub check_every: u64,
}

impl Plan {
    /// The scenario's own seeds, or `count` from its root on.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, count: Option<u32>) -> Self {
        let seeds = scenario.seeds;
        let count = u64::from(count.unwrap_or(seeds.count));
        Self {
            seeds: (seeds.root..seeds.root.saturating_add(count)).collect(),
            scenario,
            workers: 1,
            check_every: 4_096,
        }
    }
}

/// How far one seed is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Which seed, counted from zero.
    pub index: usize,
    /// Simulated microseconds gone.
    pub done: u64,
    /// Of how many.
    pub of: u64,
    /// Events so far.
    pub events: u64,
}

/// One seed's outcome.
#[derive(Clone, Debug)]
pub struct SeedRun {
    /// The seed.
    pub seed: u64,
    /// What was counted.
    pub tally: Tally,
    /// The headline figures.
    pub figures: Figures,
    /// Events.
    pub events: u64,
    /// Digest of everything that happened.
    pub digest: u128,
    /// The digest after each block of events.
    pub blocks: Vec<u128>,
}

/// A seed whose run broke a rule: never a data point.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed} of {scenario} ({variant}): {source}")]
pub struct RunError {
    /// Which scenario.
    pub scenario: String,
    /// Which variant.
    pub variant: String,
    /// Which seed.
    pub seed: u64,
    /// What happened.
    pub source: Broken,
}

/// When enough seeds were run.
#[derive(Clone, Debug, PartialEq)]
pub struct Enough {
    /// The figure that must be known well enough.
    pub figure: String,
    /// Its 95 % half-width must be at most this.
    pub half_width: f64,
    /// Seeds that are run at most.
    pub seeds_max: usize,
}

/// Seeds of which an interval says something.
const SEEDS_MIN: usize = 3;

/// Why a run until enough is known ended without.
#[derive(Debug, thiserror::Error)]
pub enum EnoughError {
    /// A seed broke a rule.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no such figure.
    #[error("there is no figure {0}; those of summary.json are known, as share.server")]
    Figure(String),
}

impl Enough {
    /// The fewest of `runs`, in their order, that are enough; so it does not depend on how many
    /// were run at the same time.
    fn reached(&self, runs: &[SeedRun]) -> Option<usize> {
        (SEEDS_MIN..=runs.len()).find(|count| {
            let values = runs.iter().take(*count);
            let values: Vec<f64> = values
                .filter_map(|run| run.figures.get(self.figure.as_str()).copied())
                .collect();
            let half = estimate(&values).half_width;
            half.is_some_and(|half| half <= self.half_width)
        })
    }
}

/// Runs the plan's seeds and then those behind them until enough is known.
///
/// # Errors
///
/// The first seed whose run broke a rule, or that there is no such figure.
pub fn run_until(
    plan: &Plan,
    enough: &Enough,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Vec<SeedRun>, EnoughError> {
    let mut runs = run(plan, progress)?;
    let known = |run: &SeedRun| run.figures.contains_key(enough.figure.as_str());
    if !runs.iter().any(known) {
        return Err(EnoughError::Figure(enough.figure.clone()));
    }
    loop {
        if let Some(count) = enough.reached(&runs) {
            runs.truncate(count.max(plan.seeds.len()));
            return Ok(runs);
        }
        let (before, last) = (runs.len(), runs.last().map_or(0, |run| run.seed));
        let more = plan
            .workers
            .max(1)
            .min(enough.seeds_max.saturating_sub(before));
        if more == 0 {
            return Ok(runs);
        }
        let batch = Plan {
            seeds: (1..=more as u64)
                .map(|step| last.saturating_add(step))
                .collect(),
            ..plan.clone()
        };
        let shifted = |at: Progress| {
            progress(Progress {
                index: before + at.index,
                ..at
            });
        };
        runs.extend(run(&batch, &shifted)?);
    }
}

/// Runs every seed; the outcomes in the order of the seeds.
///
/// # Errors
///
/// The first seed, in their order, whose run broke a rule.
pub fn run(plan: &Plan, progress: &(dyn Fn(Progress) + Sync)) -> Result<Vec<SeedRun>, RunError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(seed) = plan.seeds.get(index).copied() else {
                return done;
            };
            done.push((index, run_seed(plan, index, seed, progress)));
        }
    };
    let workers = plan.workers.clamp(1, plan.seeds.len().max(1));
    let mut all: Vec<(usize, Result<SeedRun, RunError>)> = thread::scope(|scope| {
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for other in others {
            all.extend(other.join().expect("a worker's panic is this run's panic"));
        }
        all
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Runs one seed of a plan.
///
/// # Errors
///
/// If the run broke a rule, or failed an assertion.
pub fn run_one(
    plan: &Plan,
    seed: u64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<SeedRun, RunError> {
    run_seed(plan, 0, seed, progress)
}

fn run_seed(
    plan: &Plan,
    index: usize,
    seed: u64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<SeedRun, RunError> {
    // Nothing of the world outlives a panic, so nothing broken can be looked at.
    let guarded = panic::AssertUnwindSafe(|| run_world(plan, index, seed, progress));
    let outcome = panic::catch_unwind(guarded);
    outcome.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        Err(RunError {
            scenario: plan.scenario.name.clone(),
            variant: plan.scenario.variant.clone(),
            seed,
            source: Broken::Panicked(said.unwrap_or_default()),
        })
    })
}

fn run_world(
    plan: &Plan,
    index: usize,
    seed: u64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<SeedRun, RunError> {
    let mut world = World::new(&plan.scenario, seed, plan.check_every);
    let mut until = 0;
    loop {
        until += SLICE_MICROS;
        let more = world.run_until(until).map_err(|source| RunError {
            scenario: plan.scenario.name.clone(),
            variant: plan.scenario.variant.clone(),
            seed,
            source,
        })?;
        let (done, of) = world.progress();
        progress(Progress {
            index,
            done,
            of,
            events: world.events(),
        });
        if !more {
            break;
        }
    }
    let finished = world.finish();
    Ok(SeedRun {
        seed,
        figures: figures(&finished.tally),
        events: finished.digest.events(),
        digest: finished.digest.value(),
        blocks: finished.digest.blocks().to_vec(),
        tally: finished.tally,
    })
}
