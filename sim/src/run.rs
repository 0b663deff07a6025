//! Runs: a scenario with several seeds on several workers.
//!
//! Parallel runs, never a parallel run: what a seed gives does not depend on the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::measure::summary::{Figures, figures};
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
#[error(
    "seed {seed} of {scenario} ({variant}): {source}; replay it with: antiphon sim replay {scenario} --variant {variant} --seed {seed}"
)]
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

fn run_seed(
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
