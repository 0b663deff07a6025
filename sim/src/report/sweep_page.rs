//! What a sweep came to: a row a cell, and how each axis moves each figure.

use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};

use crate::measure::summary::{Estimate, estimate};
use crate::report::page::{Page, table};
use crate::report::table::quoted;
use crate::report::words::{escape, estimate as written, value};
use crate::scenario::Scenario;

/// Figures of the tables on the page; the CSV has all.
const SHOWN: [&str; 7] = [
    "share.server",
    "share.peers",
    "start_ms.p50",
    "start_ms.p90",
    "stall_share",
    "overhead_share",
    "skip_waste_share",
];

/// A cell all of whose seeds were run.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number.
    pub cell: usize,
    /// The value of each axis.
    pub point: Vec<String>,
    /// Seed by seed: every figure.
    pub seeds: Vec<BTreeMap<String, f64>>,
}

/// What is known of a sweep.
#[derive(Clone, Debug)]
pub struct SweepTable {
    /// What is varied.
    pub scenario: Scenario,
    /// Keys of the axes.
    pub axes: Vec<String>,
    /// Cells there are.
    pub cells: usize,
    /// Those that are complete.
    pub rows: Vec<Row>,
    /// What broke a rule, in words with the command to replay it: never a data point.
    pub broken: Vec<String>,
}

impl Row {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.seeds
            .iter()
            .flat_map(|seed| seed.keys().map(String::as_str))
    }

    /// The mean of a figure over the cell's seeds.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<Estimate> {
        let values: Vec<f64> = self
            .seeds
            .iter()
            .filter_map(|seed| seed.get(name).copied())
            .collect();
        (!values.is_empty()).then(|| estimate(&values))
    }
}

impl SweepTable {
    /// One line a cell, with every figure that any of them has.
    #[must_use]
    pub fn csv(&self) -> String {
        let names: BTreeSet<&str> = self.rows.iter().flat_map(Row::names).collect();
        let mut text = "cell".to_owned();
        for axis in &self.axes {
            let _ = write!(text, ",{}", quoted(axis));
        }
        text.push_str(",seeds");
        for name in &names {
            let _ = write!(text, ",{name},{name}_half_width_95");
        }
        text.push('\n');
        for row in &self.rows {
            let _ = write!(text, "{}", row.cell);
            for value in &row.point {
                let _ = write!(text, ",{}", quoted(value));
            }
            let _ = write!(text, ",{}", row.seeds.len());
            for name in &names {
                let figure = row.figure(name);
                let mean = figure.map(|figure| figure.mean.to_string());
                let half = figure.and_then(|figure| figure.half_width);
                let half = half.map(|half| half.to_string());
                let _ = write!(
                    text,
                    ",{},{}",
                    mean.unwrap_or_default(),
                    half.unwrap_or_default()
                );
            }
            text.push('\n');
        }
        text
    }

    /// The most important figures as text for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut lines = vec![self.heads()];
        for row in &self.rows {
            let figures = SHOWN.iter().map(|name| {
                let figure = row.figure(name);
                figure.map_or_else(String::new, |figure| value(name, figure.mean))
            });
            let mut line = row.point.clone();
            line.extend(figures);
            lines.push(line);
        }
        let columns = self.axes.len() + SHOWN.len();
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                let cells = lines.iter().filter_map(|line| line.get(at));
                cells
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let lines = lines.into_iter().map(|line| {
            let cells = line.into_iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:>width$}"))
                .collect();
            cells.join("  ")
        });
        let lines: Vec<String> = lines.collect();
        lines.join("\n")
    }

    fn heads(&self) -> Vec<String> {
        let names = SHOWN.iter().map(|name| (*name).to_owned());
        self.axes.iter().cloned().chain(names).collect()
    }

    /// As a page.
    #[must_use]
    pub fn page(&self) -> String {
        let seeds = self
            .rows
            .iter()
            .map(|row| row.seeds.len())
            .min()
            .unwrap_or_default();
        let facts = format!(
            "{} of {} cells, {seeds} seed{} each",
            self.rows.len(),
            self.cells,
            if seeds == 1 { "" } else { "s" }
        );
        let part = format!("sweep over {}", self.axes.join(" and "));
        let mut page = Page::new(&self.scenario.name, &part, &self.scenario.describe, &facts);
        if seeds == 1 {
            page.warn("One seed a cell: nothing is known about how far these figures would move with another. Use <code>--seeds 10</code>.");
        }
        if self.rows.len() < self.cells {
            page.warn("Not all cells are there. The command that made this folder goes on where it stopped.");
        }
        for broken in &self.broken {
            page.warn(&format!("Not a data point: {}", escape(broken)));
        }
        page.section("Sensitivity", &self.sensitivity());
        page.section("Cells", &self.cells_table());
        page.section("What this rests on", "<p>The effect of a value is the mean over all cells that have it, whatever their other values. All figures of all cells are in <code>sweep.csv</code>; each seed's own in <code>cells/</code>. What the model leaves out is said in the report of a single run.</p>");
        page.finish()
    }

    /// For each axis: the mean of each figure at each of its values.
    fn sensitivity(&self) -> String {
        let mut text = String::new();
        for (at, axis) in self.axes.iter().enumerate() {
            let mut values: Vec<&str> = Vec::new();
            for row in &self.rows {
                if let Some(value) = row.point.get(at).filter(|v| !values.contains(&v.as_str())) {
                    values.push(value);
                }
            }
            let _ = write!(text, "<h3><code>{}</code></h3>", escape(axis));
            let rows: Vec<Vec<String>> = values
                .iter()
                .map(|value| {
                    let with: Vec<&Row> = self
                        .rows
                        .iter()
                        .filter(|row| row.point.get(at).is_some_and(|v| v == value))
                        .collect();
                    self.effect(value, &with)
                })
                .collect();
            text.push_str(&table(&heads(&[axis]), &rows));
        }
        text
    }

    fn effect(&self, at: &str, with: &[&Row]) -> Vec<String> {
        let mut cells = vec![escape(at)];
        for name in SHOWN {
            let means: Vec<f64> = with
                .iter()
                .filter_map(|row| row.figure(name))
                .map(|f| f.mean)
                .collect();
            let all: Vec<f64> = self
                .rows
                .iter()
                .filter_map(|row| row.figure(name))
                .map(|f| f.mean)
                .collect();
            cells.push(if means.is_empty() {
                String::new()
            } else {
                bar(
                    value(name, estimate(&means).mean),
                    estimate(&means).mean,
                    &all,
                )
            });
        }
        cells
    }

    fn cells_table(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let mut cells: Vec<String> = row.point.iter().map(|value| escape(value)).collect();
            cells.extend(SHOWN.iter().map(|name| self.cell(name, row)));
            cells
        });
        let rows: Vec<Vec<String>> = rows.collect();
        let axes: Vec<&str> = self.axes.iter().map(String::as_str).collect();
        table(&heads(&axes), &rows)
    }

    /// A figure of a cell, marked if it misses the scenario's target.
    fn cell(&self, name: &str, row: &Row) -> String {
        let Some(figure) = row.figure(name) else {
            return String::new();
        };
        let text = written(name, &figure);
        let mut targets = self
            .scenario
            .targets
            .iter()
            .filter(|target| target.figure == name);
        let missed = targets.any(|target| figure.mean < target.min || figure.mean > target.max);
        if missed {
            format!("<span class=\"missed\">{text}</span>")
        } else {
            text
        }
    }
}

fn heads<'a>(axes: &[&'a str]) -> Vec<&'a str> {
    const NUMBERS: [&str; SHOWN.len()] = [
        "#share.server",
        "#share.peers",
        "#start_ms.p50",
        "#start_ms.p90",
        "#stall_share",
        "#overhead_share",
        "#skip_waste_share",
    ];
    axes.iter().copied().chain(NUMBERS).collect()
}

/// A number over a bar as long as it is of the largest.
fn bar(text: String, mean: f64, all: &[f64]) -> String {
    let largest = all.iter().copied().fold(0.0, f64::max);
    let width = if largest > 0.0 {
        90.0 * mean / largest
    } else {
        0.0
    };
    format!(
        "{text}<br><svg viewBox=\"0 0 90 6\" style=\"width:90px;display:inline-block\" role=\"img\" aria-label=\"{text}\"><rect class=\"f first\" x=\"{:.1}\" y=\"1\" width=\"{width:.1}\" height=\"4\"/></svg>",
        90.0 - width
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::built_in;

    fn swept() -> SweepTable {
        let scenario = Scenario::read(built_in("hello").expect("built in").1).expect("legal");
        let seed = |share: f64| BTreeMap::from([("share.server".to_owned(), share)]);
        let row = |cell, users: &str, variant: &str, share: f64| Row {
            cell,
            point: vec![users.to_owned(), variant.to_owned()],
            seeds: vec![seed(share), seed(share + 0.02)],
        };
        SweepTable {
            scenario,
            axes: vec!["population.users".to_owned(), "variant".to_owned()],
            cells: 5,
            rows: vec![
                row(0, "10", "antiphon", 0.1),
                row(1, "20", "antiphon", 0.2),
                row(2, "10", "origin-only", 0.7),
                row(3, "20", "origin-only", 0.8),
            ],
            broken: vec!["cell 4: <bad>".to_owned()],
        }
    }

    #[test]
    fn a_sweep_is_a_line_a_cell_with_intervals() {
        let csv = swept().csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(
            lines[0],
            "cell,population.users,variant,seeds,share.server,share.server_half_width_95"
        );
        assert!(
            lines[3].starts_with("2,10,origin-only,2,0.71,0.127"),
            "{}",
            lines[3]
        );
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn the_effect_of_a_value_is_the_mean_over_the_other_axes() {
        let table = swept();
        let with: Vec<&Row> = table
            .rows
            .iter()
            .filter(|row| row.point[0] == "10")
            .collect();
        assert!(table.effect("10", &with)[1].starts_with("41.0 %"));
        let page = table.page();
        assert!(page.contains("Not all cells are there"));
        assert!(page.contains("cell 4: &lt;bad&gt;"));
    }
}
