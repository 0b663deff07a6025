//! Everything needed to repeat a run and to see whether the repetition is the same.

use serde::{Deserialize, Serialize};

use crate::engine::digest::BLOCK_EVENTS;
use crate::report::Outcome;
use crate::run::SeedRun;
use crate::scenario::{ReadError, Scenario};

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file: 1.
    pub schema: u32,
    /// Version of the simulator and of the core it drives.
    pub version: String,
    /// The whole scenario with every default.
    pub scenario: String,
    /// Seed by seed.
    pub seeds: Vec<SeedManifest>,
    /// The command that repeats it.
    pub replay: String,
    /// Small rate increases the allocator left out.
    pub suppressed_updates: u64,
}

/// What one seed gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedManifest {
    /// The seed.
    pub seed: u64,
    /// Its events.
    pub events: u64,
    /// Its digest.
    pub digest: String,
    /// The digest after each 2^20 events.
    pub blocks: Vec<String>,
}

/// A repetition that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "seed {seed} differs: {events} events then, {events_now} now; the first difference is between events {from} and {to}"
)]
pub struct Difference {
    /// Which seed.
    pub seed: u64,
    /// Events of the first run.
    pub events: u64,
    /// Events of the repetition.
    pub events_now: u64,
    /// First event of the block that differs.
    pub from: u64,
    /// Last event of it.
    pub to: u64,
}

/// Why a manifest could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no manifest.
    #[error("this is no manifest of a run: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Its scenario does not read.
    #[error("the manifest's scenario: {0}")]
    Scenario(#[from] ReadError),
}

impl Manifest {
    /// The manifest of a run.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        let scenario = &outcome.scenario;
        Self {
            schema: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: scenario.write(),
            seeds: outcome.runs.iter().map(SeedManifest::of).collect(),
            replay: "antiphon sim verify <this folder>".to_owned(),
            suppressed_updates: outcome
                .runs
                .iter()
                .map(|run| run.tally.allocation.suppressed)
                .sum(),
        }
    }

    /// As text.
    #[must_use]
    pub fn write(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a manifest has only strings and numbers") + "\n"
    }

    /// From text, with the scenario it names.
    ///
    /// # Errors
    ///
    /// If it is none, or its scenario does not read.
    pub fn read(text: &str) -> Result<(Self, Scenario), ManifestError> {
        let manifest: Self = serde_json::from_str(text)?;
        let scenario = Scenario::read(&manifest.scenario)?;
        Ok((manifest, scenario))
    }

    /// Compares a repetition.
    ///
    /// # Errors
    ///
    /// The first seed that differs, and where.
    pub fn compare(&self, runs: &[SeedRun]) -> Result<(), Difference> {
        for (then, now) in self.seeds.iter().zip(runs.iter().map(SeedManifest::of)) {
            if *then == now {
                continue;
            }
            let same = then
                .blocks
                .iter()
                .zip(&now.blocks)
                .take_while(|(a, b)| a == b)
                .count() as u64;
            return Err(Difference {
                seed: then.seed,
                events: then.events,
                events_now: now.events,
                from: same * BLOCK_EVENTS,
                to: ((same + 1) * BLOCK_EVENTS).min(then.events.max(now.events)),
            });
        }
        Ok(())
    }
}

impl SeedManifest {
    fn of(run: &SeedRun) -> Self {
        let hex = |digest: &u128| format!("{digest:032x}");
        Self {
            seed: run.seed,
            events: run.events,
            digest: hex(&run.digest),
            blocks: run.blocks.iter().map(hex).collect(),
        }
    }
}
