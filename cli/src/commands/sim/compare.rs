//! `antiphon sim compare`: two variants, the same seeds.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use antiphon_sim::report::Comparison;
use antiphon_sim::run::Plan;
use anyhow::{Context as _, bail};

use super::folder::{prepare, write_run, write_text};
use super::{measured, scenario, show};
use crate::args::SimCompareArgs;
use crate::exit::Misconfigured;
use crate::output;

pub(super) fn compare(args: &SimCompareArgs, quiet: bool) -> anyhow::Result<()> {
    let [first, second] = args.variants.as_slice() else {
        return Err(Misconfigured::error(
            "name two variants, as --variants origin-only,antiphon".to_owned(),
        ));
    };
    if first == second {
        return Err(Misconfigured::error(format!(
            "{first} is compared with itself; name two variants"
        )));
    }
    if let Some(folder) = &args.out {
        prepare_all(folder, [first, second])?;
    }
    let mut outcomes = Vec::new();
    for variant in [first, second] {
        let scenario = scenario::read(&args.scenario, Some(variant), &args.set)?;
        let mut plan = Plan::new(Arc::new(scenario), args.seeds);
        plan.workers = args.jobs;
        outcomes.push(measured(&plan, None, quiet, &args.set)?);
    }
    let [a, b] = outcomes.as_slice() else {
        bail!("two runs were made");
    };
    let comparison = Comparison {
        first: a,
        second: b,
    };
    if let Some(folder) = &args.out {
        for outcome in [a, b] {
            write_run(&folder.join(&outcome.scenario.variant), outcome)?;
        }
        write_text(&folder.join("compare.csv"), &comparison.csv())?;
        let json = format!("{:#}\n", comparison.json());
        write_text(&folder.join("compare.json"), &json)?;
        write_text(&folder.join("report.html"), &comparison.page())?;
    }
    if args.json {
        return output::json(&comparison.json());
    }
    output::result(&show::pairs(first, second, &comparison.pairs()))?;
    if let Some(folder) = &args.out {
        output::say(&format!("report: {}", folder.join("report.html").display()));
    }
    Ok(())
}

/// The folder holds one of each variant, and is otherwise empty.
fn prepare_all(folder: &Path, variants: [&String; 2]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let name = entry?.file_name();
        if !variants.iter().any(|variant| name == variant.as_str()) {
            return Err(Misconfigured::error(format!(
                "{} is not empty; name another folder",
                folder.display()
            )));
        }
    }
    variants
        .into_iter()
        .try_for_each(|variant| prepare(&folder.join(variant)))
}
