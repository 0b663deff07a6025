//! `antiphon sim sweep`: one file a cell, written whole or not at all, so that what was
//! interrupted goes on and several machines may share a folder.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use antiphon_sim::run::Plan;
use antiphon_sim::sweep::{Axis, Cell, cells};
use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::{measured, read};
use crate::args::SimSweepArgs;
use crate::exit::Misconfigured;
use crate::output;

/// Runs what is missing, then writes the table of what is there.
pub(super) fn run_sweep(args: &SimSweepArgs) -> anyhow::Result<()> {
    let scenario = read(&args.scenario, None)?;
    let refuse = |error: antiphon_sim::sweep::SweepError| Misconfigured::error(error.to_string());
    let axes: Result<Vec<Axis>, _> = args.axes.iter().map(|text| Axis::read(text)).collect();
    let all = cells(&scenario, &axes.map_err(refuse)?).map_err(refuse)?;
    let folder = args.out.join("cells");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    guard(args, &scenario.write())?;
    let (index, of) = shard(args.shard.as_deref())?;
    let mine = all.iter().filter(|cell| cell.number % of == index);
    let todo: VecDeque<&Cell> = mine.filter(|cell| !path(&folder, cell).exists()).collect();
    output::say(&format!("{} cells, {} to run here", all.len(), todo.len()));
    let queue = Mutex::new(todo);
    let work = || -> anyhow::Result<()> {
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(cell) = next else { return Ok(()) };
            run_cell(&folder, cell, args.seeds)?;
        }
    };
    let outcomes: Vec<anyhow::Result<()>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..args.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let ended = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker's panic is ours"));
        ended.collect()
    });
    let table = table(&folder, &all)?;
    write_whole(&args.out.join("sweep.csv"), &table)?;
    outcomes.into_iter().collect::<anyhow::Result<()>>()?;
    output::result(table.trim_end())?;
    Ok(())
}

/// A folder belongs to one sweep: another one's cells would be taken for this one's.
fn guard(args: &SimSweepArgs, scenario: &str) -> anyhow::Result<()> {
    let path = args.out.join("sweep.json");
    let seeds = args.seeds;
    let ours = json!({"scenario": scenario, "axes": args.axes, "seeds": seeds});
    let Ok(text) = fs::read_to_string(&path) else {
        return write_whole(&path, &format!("{ours:#}\n"));
    };
    let theirs: Value =
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    if theirs != ours {
        let folder = args.out.display();
        return Err(Misconfigured::error(format!(
            "{folder} holds another sweep; name another folder"
        )));
    }
    Ok(())
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

fn path(folder: &Path, cell: &Cell) -> PathBuf {
    folder.join(format!("{:05}.json", cell.number))
}

fn run_cell(folder: &Path, cell: &Cell, seeds: Option<u32>) -> anyhow::Result<()> {
    let plan = Plan::new(Arc::new(cell.scenario.clone()), seeds);
    let outcome = measured(&plan, true)?;
    let mut object = outcome.json();
    if let Value::Object(object) = &mut object {
        // Neither belongs to the result: a cell gives the same bytes whenever it is run.
        for cost in ["wall_s", "events_per_s", "max_rss_bytes", "workers"] {
            object.remove(cost);
        }
        object.insert("point".to_owned(), json!(cell.point));
        object.insert("figures".to_owned(), json!(outcome.estimates()));
    }
    write_whole(&path(folder, cell), &format!("{object:#}\n"))?;
    let point: Vec<String> = cell
        .point
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    output::say(&format!(
        "cell {}: {} in {:.1} s",
        cell.number,
        point.join(" "),
        outcome.wall_s
    ));
    Ok(())
}

fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    fs::write(&part, text).with_context(|| format!("cannot write {}", part.display()))?;
    fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))
}

/// One line a cell that is done, with every figure that any of them has.
fn table(folder: &Path, all: &[Cell]) -> anyhow::Result<String> {
    let mut done: Vec<(&Cell, Map<String, Value>)> = Vec::new();
    for cell in all {
        let Ok(text) = fs::read_to_string(path(folder, cell)) else {
            continue;
        };
        let object: Value =
            serde_json::from_str(&text).with_context(|| format!("cell {}", cell.number))?;
        let figures = object.get("figures").and_then(Value::as_object);
        done.push((cell, figures.cloned().unwrap_or_default()));
    }
    let names = done.iter().flat_map(|(_, figures)| figures.keys().cloned());
    let names: BTreeSet<String> = names.collect();
    let mut head: Vec<String> = vec!["cell".to_owned()];
    let point = all.first().into_iter().flat_map(|cell| &cell.point);
    head.extend(point.map(|(key, _)| key.clone()));
    for name in &names {
        head.push(name.clone());
        head.push(format!("{name}_half_width_95"));
    }
    let mut lines = vec![head.join(",")];
    for (cell, figures) in done {
        let mut line = vec![cell.number.to_string()];
        line.extend(cell.point.iter().map(|(_, value)| value.clone()));
        for name in &names {
            let figure = |part: &str| figures.get(name)?.get(part).map(Value::to_string);
            line.push(figure("mean").unwrap_or_default());
            line.push(figure("half_width").unwrap_or_default());
        }
        lines.push(line.join(","));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}
