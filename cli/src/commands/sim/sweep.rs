//! `antiphon sim sweep`: a queue of cells and seeds, one file for each that is done, written whole
//! or not at all; so what was interrupted goes on, and several machines may share a folder.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use antiphon_sim::report::{Row, SweepTable};
use antiphon_sim::run::{Plan, RunError, SeedRun, run_one};
use antiphon_sim::scenario::Scenario;
use antiphon_sim::sweep::{Axis, Cell, cells};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::folder::write_text;
use super::{replay_command, scenario};
use crate::args::SimSweepArgs;
use crate::exit::Misconfigured;
use crate::output;

/// One cell with one seed.
#[derive(Clone, Copy, Debug)]
struct Unit<'a> {
    cell: &'a Cell,
    seed: u64,
}

/// Runs what is missing, then writes the table of what is there.
pub(super) fn run_sweep(args: &SimSweepArgs) -> anyhow::Result<()> {
    let scenario = scenario::read(&args.scenario, None, &args.set)?;
    let refuse = |error: antiphon_sim::sweep::SweepError| Misconfigured::error(error.to_string());
    let axes: Result<Vec<Axis>, _> = args.axes.iter().map(|text| Axis::read(text)).collect();
    let axes = axes.map_err(refuse)?;
    let all = cells(&scenario, &axes).map_err(refuse)?;
    let (index, of) = shard(args.shard.as_deref())?;
    let seeds = Plan::new(Arc::new(scenario.clone()), args.seeds).seeds;
    let folder = Folder::open(args, &scenario)?;
    let units = all
        .iter()
        .flat_map(|cell| seeds.iter().map(move |seed| Unit { cell, seed: *seed }));
    let mine = units.enumerate().filter(|(number, _)| number % of == index);
    let todo: VecDeque<Unit<'_>> = mine
        .map(|(_, unit)| unit)
        .filter(|unit| !folder.done(unit).exists())
        .collect();
    output::say(&format!(
        "{} cells of {} seeds, {} runs to do here",
        all.len(),
        seeds.len(),
        todo.len()
    ));
    let run = |unit: &Unit<'_>| {
        let plan = Plan::new(Arc::new(unit.cell.scenario.clone()), Some(1));
        run_one(&plan, unit.seed, &|_| {})
    };
    let worked = Work::new(&folder, todo, args).on(args.jobs, &run);
    let table = folder.table(&scenario, &axes, &all, &seeds)?;
    // A full disk is the first thing to say; what was done is kept.
    worked?;
    write_text(&args.out.join("sweep.csv"), &table.csv())?;
    write_text(&args.out.join("report.html"), &table.page())?;
    tell(args, &table)
}

fn tell(args: &SimSweepArgs, table: &SweepTable) -> anyhow::Result<()> {
    if args.json {
        let rows = table.rows.iter().map(|row| {
            let point: BTreeMap<&String, &String> = table.axes.iter().zip(&row.point).collect();
            let names = row.seeds.iter().flat_map(|seed| seed.keys());
            let figures: BTreeMap<&String, _> =
                names.map(|name| (name, row.figure(name))).collect();
            json!({"cell": row.cell, "point": point, "figures": figures})
        });
        let rows: Vec<Value> = rows.collect();
        output::json(&json!({"cells": table.cells, "rows": rows, "broken": table.broken}))?;
    } else {
        output::result(&table.text())?;
        let report = args.out.join("report.html");
        output::say(&format!(
            "all figures: {}; report: {}",
            args.out.join("sweep.csv").display(),
            report.display()
        ));
    }
    match table.broken.as_slice() {
        [] => Ok(()),
        [first, ..] => bail!(
            "{} of the runs broke a rule and are no data points; the first: {first}",
            table.broken.len()
        ),
    }
}

/// The queue and what is common to those who work on it.
struct Work<'a> {
    folder: &'a Folder,
    args: &'a SimSweepArgs,
    queue: Mutex<VecDeque<Unit<'a>>>,
    of: usize,
    began: Instant,
    stop: AtomicBool,
}

type RunUnit<'a> = dyn Fn(&Unit<'_>) -> Result<SeedRun, RunError> + Sync + 'a;

impl<'a> Work<'a> {
    fn new(folder: &'a Folder, todo: VecDeque<Unit<'a>>, args: &'a SimSweepArgs) -> Self {
        Self {
            folder,
            args,
            of: todo.len(),
            queue: Mutex::new(todo),
            began: Instant::now(),
            stop: AtomicBool::new(false),
        }
    }

    /// Until the queue is empty or a result cannot be kept.
    fn on(&self, jobs: usize, run: &RunUnit<'_>) -> anyhow::Result<()> {
        let work = || {
            while let Some(unit) = self.next() {
                self.one(&unit, run(&unit)).inspect_err(|_| {
                    self.stop.store(true, Ordering::Relaxed);
                })?;
            }
            Ok(())
        };
        let outcomes: Vec<anyhow::Result<()>> = thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
            let ended = workers
                .into_iter()
                .map(|worker| worker.join().expect("a worker's panic is ours"));
            ended.collect()
        });
        outcomes.into_iter().collect()
    }

    fn next(&self) -> Option<Unit<'a>> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    }

    /// Keeps what came of a unit. A broken rule is kept as such: never as a data point.
    fn one(&self, unit: &Unit<'_>, outcome: Result<SeedRun, RunError>) -> anyhow::Result<()> {
        let point = point(unit.cell);
        let word = match outcome {
            Ok(run) => {
                self.folder.keep(unit, &run)?;
                format!("cell {} ({point}), seed {}", unit.cell.number, unit.seed)
            }
            Err(error) => {
                let settings: Vec<String> = unit
                    .cell
                    .point
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                let settings = [self.args.set.as_slice(), &settings].concat();
                let replay = replay_command(&self.args.scenario, None, &settings, unit.seed);
                let broken = format!(
                    "cell {}: {error}; replay it with: {replay}",
                    unit.cell.number
                );
                write_text(&self.folder.broken(unit), &broken)?;
                broken
            }
        };
        let left = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        let done = self.of - left.min(self.of);
        let spent = self.began.elapsed().as_secs_f64();
        let rest = spent / done.max(1) as f64 * left as f64;
        output::say(&format!("{word}; {left} of {} left, {rest:.0} s", self.of));
        Ok(())
    }
}

fn point(cell: &Cell) -> String {
    let point: Vec<String> = cell
        .point
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    point.join(" ")
}

fn shard(text: Option<&str>) -> anyhow::Result<(usize, usize)> {
    let Some(text) = text else { return Ok((0, 1)) };
    let parts = text
        .split_once('/')
        .and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parts.filter(|(i, n)| i < n).ok_or_else(|| {
        Misconfigured::error(format!(
            "--shard {text}: write it as 0/4, the first below the second"
        ))
    })
}

/// The folder of one sweep.
struct Folder {
    cells: PathBuf,
}

impl Folder {
    /// A folder belongs to one sweep: another one's cells would be taken for this one's.
    fn open(args: &SimSweepArgs, scenario: &Scenario) -> anyhow::Result<Self> {
        let cells = args.out.join("cells");
        fs::create_dir_all(&cells).with_context(|| format!("cannot make {}", cells.display()))?;
        let path = args.out.join("sweep.json");
        let ours = json!({"scenario": scenario.write(), "axes": args.axes, "seeds": args.seeds});
        let Ok(text) = fs::read_to_string(&path) else {
            write_text(&path, &format!("{ours:#}\n"))?;
            return Ok(Self { cells });
        };
        let theirs: Value = serde_json::from_str(&text)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if theirs != ours {
            let folder = args.out.display();
            return Err(Misconfigured::error(format!(
                "{folder} holds another sweep; name another folder"
            )));
        }
        Ok(Self { cells })
    }

    fn done(&self, unit: &Unit<'_>) -> PathBuf {
        let name = format!("{:05}-{}.json", unit.cell.number, unit.seed);
        self.cells.join(name)
    }

    fn broken(&self, unit: &Unit<'_>) -> PathBuf {
        self.done(unit).with_extension("broken")
    }

    /// The same bytes whenever it is run: nothing of what it cost.
    fn keep(&self, unit: &Unit<'_>, run: &SeedRun) -> anyhow::Result<()> {
        let kept = json!({
            "cell": unit.cell.number, "point": unit.cell.point, "seed": unit.seed,
            "events": run.events, "digest": format!("{:032x}", run.digest), "figures": run.figures,
        });
        write_text(&self.done(unit), &format!("{kept:#}\n"))?;
        // What broke with an older program may work with this one.
        let _ = fs::remove_file(self.broken(unit));
        Ok(())
    }

    /// What is known by now, also of other machines' shards.
    fn table(
        &self,
        scenario: &Scenario,
        axes: &[Axis],
        all: &[Cell],
        seeds: &[u64],
    ) -> anyhow::Result<SweepTable> {
        let mut rows = Vec::new();
        let mut broken = Vec::new();
        for cell in all {
            let units = seeds.iter().map(|seed| Unit { cell, seed: *seed });
            let mut kept = Vec::new();
            for unit in units {
                kept.extend(read_figures(&self.done(&unit))?);
                broken.extend(fs::read_to_string(self.broken(&unit)));
            }
            if kept.len() == seeds.len() {
                rows.push(Row {
                    cell: cell.number,
                    point: cell.point.iter().map(|(_, value)| value.clone()).collect(),
                    seeds: kept,
                });
            }
        }
        Ok(SweepTable {
            scenario: scenario.clone(),
            axes: axes.iter().map(|axis| axis.key.clone()).collect(),
            cells: all.len(),
            rows,
            broken,
        })
    }
}

/// The figures of a unit that is done.
fn read_figures(path: &Path) -> anyhow::Result<Option<BTreeMap<String, f64>>> {
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(None);
    };
    let wrong = || {
        format!(
            "{} is damaged; delete it, and it is run again",
            path.display()
        )
    };
    let mut object: Value = serde_json::from_str(&text).with_context(wrong)?;
    let figures = object
        .get_mut("figures")
        .map(Value::take)
        .with_context(wrong)?;
    serde_json::from_value(figures)
        .with_context(wrong)
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_sim::world::Broken;

    fn sweep(out: &Path) -> SimSweepArgs {
        SimSweepArgs {
            scenario: "hello".to_owned(),
            axes: vec!["population.users=10,20".to_owned()],
            seeds: Some(2),
            jobs: 2,
            shard: None,
            out: out.to_owned(),
            set: vec!["duration=60s".to_owned(), "settle=0s".to_owned()],
            json: false,
        }
    }

    #[test]
    fn a_run_that_breaks_a_rule_is_told_with_its_replay_and_is_no_data_point() {
        let out = tempfile::tempdir().expect("a folder");
        let args = sweep(out.path());
        let scenario = scenario::read("hello", None, &args.set).expect("legal");
        let axes = [Axis::read(&args.axes[0]).expect("an axis")];
        let all = cells(&scenario, &axes).expect("legal");
        let folder = Folder::open(&args, &scenario).expect("a folder");
        let seeds = [1, 2];
        let units = || {
            all.iter()
                .flat_map(|cell| seeds.map(|seed| Unit { cell, seed }))
        };
        let run = |unit: &Unit<'_>| {
            if unit.cell.number == 1 && unit.seed == 2 {
                return Err(RunError {
                    scenario: "hello".to_owned(),
                    variant: "antiphon".to_owned(),
                    seed: 2,
                    source: Broken::Panicked("a table has no end".to_owned()),
                });
            }
            let plan = Plan::new(Arc::new(unit.cell.scenario.clone()), Some(1));
            run_one(&plan, unit.seed, &|_| {})
        };
        let work = Work::new(&folder, units().collect(), &args);
        work.on(2, &run).expect("everything is kept");
        let table = folder
            .table(&scenario, &axes, &all, &seeds)
            .expect("readable");
        assert_eq!((table.rows.len(), table.cells), (1, 2));
        assert_eq!(
            table.broken,
            [
                "cell 1: seed 2 of hello (antiphon): the program stopped itself: a table has no end; replay it with: antiphon sim replay hello --seed 2 --set duration=60s --set settle=0s --set population.users=20"
            ]
        );
    }

    #[test]
    fn work_stops_when_a_result_cannot_be_kept_and_loses_none_that_was() {
        let out = tempfile::tempdir().expect("a folder");
        let args = sweep(out.path());
        let scenario = scenario::read("hello", None, &args.set).expect("legal");
        let axes = [Axis::read(&args.axes[0]).expect("an axis")];
        let all = cells(&scenario, &axes).expect("legal");
        let folder = Folder::open(&args, &scenario).expect("a folder");
        let units = || {
            all.iter()
                .flat_map(|cell| [1, 2].map(|seed| Unit { cell, seed }))
        };
        let run = |unit: &Unit<'_>| {
            if unit.cell.number == 0 && unit.seed == 2 {
                // Nothing can be put where a folder is: as little as on a full disk.
                fs::create_dir(folder.done(unit)).expect("made");
            }
            let plan = Plan::new(Arc::new(unit.cell.scenario.clone()), Some(1));
            run_one(&plan, unit.seed, &|_| {})
        };
        let work = Work::new(&folder, units().collect(), &args);
        let error = work.on(1, &run).expect_err("a result cannot be kept");
        assert!(error.to_string().contains("cannot write"), "{error:#}");
        let files = fs::read_dir(out.path().join("cells")).expect("readable");
        let whole = files.filter(|file| file.as_ref().is_ok_and(|file| file.path().is_file()));
        assert_eq!(whole.count(), 1, "the first, and nothing half-written");
    }
}
