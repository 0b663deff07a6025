//! Which scenario is meant: a built-in one, a file, or the one of a run's folder.

use std::fs;
use std::path::Path;

use antiphon_sim::report::Manifest;
use antiphon_sim::scenario::{BUILT_IN, Scenario, built_in, nearest};
use antiphon_sim::{sweep, variant};
use anyhow::Context as _;

use crate::exit::Misconfigured;

/// Scenarios larger than this are not read: far more than a person writes.
const SCENARIO_BYTES_MAX: u64 = 1 << 20;

/// A built-in scenario by name, or a file; with another variant and single keys changed.
pub(super) fn read(
    name: &str,
    variant: Option<&str>,
    settings: &[String],
) -> anyhow::Result<Scenario> {
    let text = match built_in(name) {
        Some((_, text)) => (*text).to_owned(),
        None => read_file(name)?,
    };
    let scenario = Scenario::read(&text);
    let scenario = scenario.map_err(|error| Misconfigured::error(format!("{name}: {error}")))?;
    change(scenario, variant, settings)
}

fn change(
    scenario: Scenario,
    variant: Option<&str>,
    settings: &[String],
) -> anyhow::Result<Scenario> {
    let refuse = |error: sweep::SweepError| Misconfigured::error(error.to_string());
    let mut scenario = sweep::with(&scenario, settings).map_err(refuse)?;
    if let Some(variant) = variant {
        if !variant::NAMES.contains(&variant) {
            let meant = meant(variant, variant::NAMES.iter().copied());
            let known = variant::NAMES.join(", ");
            return Err(Misconfigured::error(format!(
                "there is no variant {variant}{meant}; known are {known}"
            )));
        }
        variant.clone_into(&mut scenario.variant);
    }
    Ok(scenario)
}

/// What `explain` is given: a folder of a run with its first seed, or a scenario.
pub(super) fn read_run(
    name: &str,
    variant: Option<&str>,
    settings: &[String],
) -> anyhow::Result<(Scenario, Option<u64>)> {
    let path = Path::new(name).join("manifest.json");
    if !path.exists() {
        return Ok((read(name, variant, settings)?, None));
    }
    let (manifest, scenario) = read_manifest(Path::new(name))?;
    let seed = manifest.seeds.first().map(|seed| seed.seed);
    Ok((change(scenario, variant, settings)?, seed))
}

/// The manifest of a run's folder.
pub(super) fn read_manifest(folder: &Path) -> anyhow::Result<(Manifest, Scenario)> {
    let path = folder.join("manifest.json");
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: is that a folder `antiphon sim run --out` has finished?",
            path.display()
        )
    })?;
    Ok(Manifest::read(&text)?)
}

fn read_file(name: &str) -> anyhow::Result<String> {
    let explain = || {
        let names = BUILT_IN.iter().map(|(name, _)| *name);
        let meant = meant(name, names);
        format!(
            "{name} is neither a built-in scenario nor a file that can be read{meant}; `antiphon sim list` shows the built-in ones"
        )
    };
    let length = fs::metadata(name).with_context(explain)?.len();
    if length > SCENARIO_BYTES_MAX {
        return Err(Misconfigured::error(format!(
            "{name} has {length} bytes, too many for a scenario"
        )));
    }
    fs::read_to_string(name).with_context(explain)
}

fn meant<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = nearest(unknown, known);
    near.map_or_else(String::new, |near| format!("; did you mean {near}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_answered_with_what_was_meant() {
        let said = |name: &str, variant| {
            let error = read(name, variant, &[]).expect_err("a typo");
            format!("{error:#}")
        };
        assert!(said("helo", None).contains("did you mean hello?"));
        assert!(said("today-desktpo", None).contains("did you mean today-desktop?"));
        assert!(said("hello", Some("antifon")).contains("did you mean antiphon?"));
        assert!(!said("/nowhere/at/all.toml", None).contains("did you mean"));
    }

    #[test]
    fn settings_are_taken_and_wrong_ones_refused() {
        let set = |text: &str| read("hello", None, &[text.to_owned()]);
        assert_eq!(
            set("population.users=7").expect("legal").population.users,
            7
        );
        assert!(set("population.users=0").is_err());
        assert!(set("catalog.songs=1").is_err());
    }
}
