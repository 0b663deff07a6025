//! What a run leaves behind: one JSON object, tables, a manifest to repeat it with, and a page.
//!
//! Everything is made from what was counted, into whatever the caller writes to.

mod assumptions;
mod axis;
mod binned;
mod compare_page;
mod fairness;
mod faults;
mod headline;
mod latency;
mod manifest;
mod over_time;
mod page;
#[cfg(feature = "parquet")]
mod parquet;
mod reach;
mod run_page;
mod stalls;
mod svg;
mod sweep_page;
mod table;
mod tables;
mod words;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::measure::summary::{Estimate, Figures, estimates};
use crate::run::SeedRun;
use crate::scenario::Scenario;

pub use compare_page::Comparison;
pub use manifest::{Difference, Manifest, ManifestError};
pub use sweep_page::{Row, SweepTable};

/// A finished run with what it cost.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was run.
    pub scenario: Arc<Scenario>,
    /// Seed by seed.
    pub runs: Vec<SeedRun>,
    /// Seconds it took.
    pub wall_s: f64,
    /// Most memory the process had by then.
    pub max_rss_bytes: u64,
    /// Threads.
    pub workers: usize,
}

/// A target and whether it was met.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The figure's name.
    pub figure: String,
    /// Its mean; nothing if the run has no such figure.
    pub value: Option<f64>,
    /// Bounds.
    pub min: f64,
    /// See `min`.
    pub max: f64,
    /// Who says so.
    pub source: String,
}

impl Verdict {
    /// Whether the mean lies within the bounds.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.value
            .is_some_and(|value| value >= self.min && value <= self.max)
    }
}

impl Outcome {
    /// Means and intervals of all figures.
    #[must_use]
    pub fn estimates(&self) -> BTreeMap<&'static str, Estimate> {
        let figures: Vec<Figures> = self.runs.iter().map(|run| run.figures.clone()).collect();
        estimates(&figures)
    }

    /// Events of all seeds.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.runs.iter().map(|run| run.events).sum()
    }

    /// One digest of all seeds, in their order.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut all = crate::engine::digest::Digest::default();
        for run in &self.runs {
            all.note(run.seed, 0, run.digest as u64, (run.digest >> 64) as u64);
        }
        // Of a single seed it is that seed's own, so that it can be looked for.
        match self.runs.as_slice() {
            [one] => format!("{:032x}", one.digest),
            _ => format!("{:032x}", all.value()),
        }
    }

    /// The scenario's targets beside what came out.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let estimates = self.estimates();
        let targets = self.scenario.targets.iter();
        targets
            .map(|target| Verdict {
                figure: target.figure.clone(),
                value: estimates
                    .get(target.figure.as_str())
                    .map(|estimate| estimate.mean),
                min: target.min,
                max: target.max,
                source: target.source.clone(),
            })
            .collect()
    }

    /// The run as one object: means at the top, 95 % half-widths under `ci95` where there is more
    /// than one seed.
    #[must_use]
    pub fn json(&self) -> Value {
        let estimates = self.estimates();
        let mut object = Map::new();
        let mut intervals = Map::new();
        for (name, estimate) in &estimates {
            place(&mut object, name, json!(estimate.mean));
            if let Some(half) = estimate.half_width {
                place(&mut intervals, name, json!(half));
            }
        }
        let seeds: Vec<u64> = self.runs.iter().map(|run| run.seed).collect();
        let digests: Vec<String> = self
            .runs
            .iter()
            .map(|run| format!("{:032x}", run.digest))
            .collect();
        object.insert("scenario".to_owned(), json!(self.scenario.name));
        object.insert("variant".to_owned(), json!(self.scenario.variant));
        object.insert("users".to_owned(), json!(self.scenario.population.users));
        object.insert(
            "simulated_s".to_owned(),
            json!(self.scenario.settle.0 + self.scenario.duration.0),
        );
        object.insert("seeds".to_owned(), json!(seeds));
        object.insert("events".to_owned(), json!(self.events()));
        object.insert("wall_s".to_owned(), json!(self.wall_s));
        object.insert(
            "events_per_s".to_owned(),
            json!(self.events() as f64 / self.wall_s.max(1e-9)),
        );
        object.insert("max_rss_bytes".to_owned(), json!(self.max_rss_bytes));
        object.insert("workers".to_owned(), json!(self.workers));
        object.insert("digest".to_owned(), json!(self.digest()));
        object.insert("digests".to_owned(), json!(digests));
        if !intervals.is_empty() {
            object.insert("ci95".to_owned(), Value::Object(intervals));
        }
        Value::Object(object)
    }

    /// The names of the files of a run's folder, in the order they are to be written: a folder
    /// with a manifest is complete.
    #[must_use]
    pub fn files() -> Vec<String> {
        let mut names = vec!["summary.json".to_owned(), "summary.csv".to_owned()];
        let endings: &[&str] = if cfg!(feature = "parquet") {
            &["csv", "parquet"]
        } else {
            &["csv"]
        };
        for (table, _) in tables::TABLES {
            names.extend(endings.iter().map(|ending| format!("{table}.{ending}")));
        }
        names.extend(["report.html".to_owned(), "manifest.json".to_owned()]);
        names
    }

    /// Writes the file of this name.
    ///
    /// # Errors
    ///
    /// If `to` takes no more, or there is no such file.
    pub fn write(&self, name: &str, to: &mut (dyn Write + Send)) -> io::Result<()> {
        match name {
            "manifest.json" => to.write_all(Manifest::of(self).write().as_bytes()),
            "summary.json" => writeln!(to, "{:#}", self.json()),
            "summary.csv" => self.write_summary(to),
            "report.html" => to.write_all(run_page::page(self).as_bytes()),
            other => self.write_table(other, to),
        }
    }

    fn write_table(&self, name: &str, to: &mut (dyn Write + Send)) -> io::Result<()> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("no file {name}"));
        let (table, ending) = name.split_once('.').ok_or_else(unknown)?;
        let known = tables::TABLES.iter().find(|(known, _)| *known == table);
        let (_, make) = known.ok_or_else(unknown)?;
        let mut each = self.runs.iter().map(|run| make(&self.scenario, run));
        match ending {
            "csv" => each
                .by_ref()
                .enumerate()
                .try_for_each(|(at, table)| table.write_csv(at == 0, to)),
            #[cfg(feature = "parquet")]
            "parquet" => parquet::write(each, to),
            _ => Err(unknown()),
        }
    }

    fn write_summary(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "figure,mean,half_width_95,seeds")?;
        for (name, estimate) in self.estimates() {
            let half = estimate.half_width.map(|half| half.to_string());
            let half = half.unwrap_or_default();
            writeln!(to, "{name},{},{half},{}", estimate.mean, estimate.seeds)?;
        }
        Ok(())
    }
}

/// `a.b` becomes a member of an object `a`.
fn place(object: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            object.insert(name.to_owned(), value);
        }
        Some((group, member)) => {
            let group = object
                .entry(group)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(group) = group {
                group.insert(member.to_owned(), value);
            }
        }
    }
}
