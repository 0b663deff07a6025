//! A scenario along axes: every combination of values is a cell. Which cells there are, and their
//! scenarios; the caller runs and keeps them.

use toml::Value;

use crate::scenario::{ReadError, Scenario};

/// Cells of one sweep at most.
const CELLS_MAX: usize = 10_000;

/// One key of the scenario and the values it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The key, as `catalog.tracks` or `access.0.up`.
    pub key: String,
    /// Its values as TOML.
    pub values: Vec<Value>,
}

/// One combination.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Its place in the sweep; it stays the same whatever was run already.
    pub number: usize,
    /// Key and value, as text, of each axis.
    pub point: Vec<(String, String)>,
    /// What is run.
    pub scenario: Scenario,
}

/// Why a sweep cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// An axis is not `key=value,value`.
    #[error(
        "\"{0}\" is no axis; write it as catalog.tracks=1000,2000 or variant=antiphon,origin-only"
    )]
    Axis(String),
    /// More than one value where one is wanted.
    #[error("{0} is given several values; only a sweep takes more than one")]
    Several(String),
    /// The scenario has no such key.
    #[error("the scenario has no {0}; `antiphon sim new` prints every key")]
    Key(String),
    /// Too many cells.
    #[error("{0} cells are too many; at most {CELLS_MAX} are run")]
    Cells(usize),
    /// A cell's scenario is not one.
    #[error("at {point}: {source}")]
    Scenario {
        /// Which cell.
        point: String,
        /// What is wrong with it.
        source: ReadError,
    },
}

/// The scenario with single keys changed, each written as `key=value`.
///
/// # Errors
///
/// If one has several values or no such key, or the result is impossible.
pub fn with(scenario: &Scenario, settings: &[String]) -> Result<Scenario, SweepError> {
    let axes: Result<Vec<Axis>, SweepError> =
        settings.iter().map(|text| Axis::read(text)).collect();
    let axes = axes?;
    if let Some(several) = axes.iter().find(|axis| axis.values.len() > 1) {
        return Err(SweepError::Several(several.key.clone()));
    }
    Ok(cell(scenario, &axes, 0)?.scenario)
}

impl Axis {
    /// From `key=value,value`. Values are TOML where they can be, else strings.
    ///
    /// # Errors
    ///
    /// If it is not of that form.
    pub fn read(text: &str) -> Result<Self, SweepError> {
        let wrong = || SweepError::Axis(text.to_owned());
        let (key, values) = text.split_once('=').ok_or_else(wrong)?;
        let values: Vec<Value> = values
            .split(',')
            .map(|value| read_value(value.trim()))
            .collect();
        if key.trim().is_empty() || values.iter().any(|value| value.as_str() == Some("")) {
            return Err(wrong());
        }
        Ok(Self {
            key: key.trim().to_owned(),
            values,
        })
    }
}

fn read_value(text: &str) -> Value {
    let table: Option<toml::Table> = format!("value = {text}").parse().ok();
    let value = table.and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// All cells of a sweep, in order.
///
/// # Errors
///
/// If a key does not exist, a cell is impossible, or there are too many.
pub fn cells(scenario: &Scenario, axes: &[Axis]) -> Result<Vec<Cell>, SweepError> {
    let count = axes
        .iter()
        .try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
    let count = count.unwrap_or(usize::MAX);
    if count > CELLS_MAX {
        return Err(SweepError::Cells(count));
    }
    (0..count)
        .map(|number| cell(scenario, axes, number))
        .collect()
}

fn cell(scenario: &Scenario, axes: &[Axis], number: usize) -> Result<Cell, SweepError> {
    let mut tree = Value::try_from(scenario).expect("a scenario is TOML");
    let mut rest = number;
    let mut point = Vec::new();
    for axis in axes {
        let Some(value) = axis.values.get(rest % axis.values.len()) else {
            continue;
        };
        rest /= axis.values.len();
        let place = find(&mut tree, &axis.key).ok_or_else(|| SweepError::Key(axis.key.clone()))?;
        *place = value.clone();
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        point.push((axis.key.clone(), shown));
    }
    let text = toml::to_string(&tree).expect("it was TOML before");
    let scenario = Scenario::read(&text).map_err(|source| {
        let point: Vec<String> = point
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        SweepError::Scenario {
            point: point.join(" "),
            source,
        }
    })?;
    Ok(Cell {
        number,
        point,
        scenario,
    })
}

fn find<'a>(tree: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    key.split('.').try_fold(tree, |at, part| match at {
        Value::Table(table) => table.get_mut(part),
        Value::Array(list) => list.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::built_in;

    fn hello() -> Scenario {
        Scenario::read(built_in("hello").expect("built in").1).expect("legal")
    }

    #[test]
    fn a_sweep_is_every_combination_once() {
        let axes = ["population.users=10,20,30", "variant=antiphon,origin-only"];
        let axes: Vec<Axis> = axes
            .iter()
            .map(|text| Axis::read(text).expect("an axis"))
            .collect();
        let cells = cells(&hello(), &axes).expect("legal");
        let points: Vec<(u32, &str)> = cells
            .iter()
            .map(|cell| {
                (
                    cell.scenario.population.users,
                    cell.scenario.variant.as_str(),
                )
            })
            .collect();
        assert_eq!(points.len(), 6);
        assert!(points.contains(&(20, "origin-only")) && points.contains(&(30, "antiphon")));
        assert_eq!(cells[5].number, 5);
    }

    #[test]
    fn single_keys_can_be_changed() {
        let changed = with(&hello(), &["population.users=30".to_owned()]).expect("legal");
        assert_eq!(changed.population.users, 30);
        assert_eq!(changed.catalog, hello().catalog);
        assert!(with(&hello(), &["population.users=1,2".to_owned()]).is_err());
    }

    #[test]
    fn values_in_lists_and_with_units_can_be_swept() {
        let axes = [Axis::read("access.0.up=1Mbit,2Mbit").expect("an axis")];
        let cells = cells(&hello(), &axes).expect("legal");
        assert_eq!(cells[1].scenario.access[0].up.0, 2e6);
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        let refused = |text: &str| {
            let axis = Axis::read(text).expect("an axis");
            cells(&hello(), &[axis]).expect_err(text).to_string()
        };
        assert!(refused("catalog.songs=1").contains("catalog.songs"));
        assert!(refused("population.users=0").contains("population.users=0"));
        assert!(Axis::read("nonsense").is_err());
    }
}
