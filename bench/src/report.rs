//! The table on the terminal and the rows in `report/AREA.json`.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

/// One measured figure.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    measure: String,
    value: f64,
    unit: &'static str,
    /// As people read it, for example `>= 0.9`.
    target: Option<String>,
    ok: Option<bool>,
    command: String,
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// More than this.
    Above(f64),
    /// This or less.
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::Above(bound) => value > bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {}", rounded(bound)),
            Self::Above(bound) => format!("> {}", rounded(bound)),
            Self::AtMost(bound) => format!("<= {}", rounded(bound)),
        }
    }
}

/// The figures of one area.
#[derive(Debug)]
pub struct Report {
    area: &'static str,
    rows: Vec<Row>,
}

impl Report {
    #[must_use]
    pub const fn new(area: &'static str) -> Self {
        Self {
            area,
            rows: Vec::new(),
        }
    }

    /// Adds a figure for information.
    pub fn note(&mut self, measure: impl Into<String>, value: f64, unit: &'static str) {
        self.push(measure.into(), value, unit, None);
    }

    /// Adds a figure that must meet a target.
    pub fn check(
        &mut self,
        measure: impl Into<String>,
        value: f64,
        unit: &'static str,
        target: Target,
    ) {
        self.push(measure.into(), value, unit, Some(target));
    }

    fn push(&mut self, measure: String, value: f64, unit: &'static str, target: Option<Target>) {
        self.rows.push(Row {
            measure,
            value: rounded(value),
            unit,
            target: target.map(Target::text),
            ok: target.map(|target| target.is_met(value)),
            command: format!("make bench-{}", self.area),
        });
    }

    /// Prints the table and writes the file into the folder `ANTIPHON_REPORT` names, by default
    /// the one of the root workspace.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finish(self) -> anyhow::Result<()> {
        let width = |column: fn(&Row) -> usize| self.rows.iter().map(column).max().unwrap_or(0);
        let measures = width(|row| row.measure.chars().count());
        let units = width(|row| row.unit.chars().count());
        println!();
        for row in &self.rows {
            let verdict = match row.ok {
                Some(true) => "ok",
                Some(false) => "MISSED",
                None => "",
            };
            let target = row.target.as_deref().unwrap_or("");
            println!(
                "{:<measures$}  {:>12}  {:<units$}  {:>10}  {verdict}",
                row.measure, row.value, row.unit, target
            );
        }
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/report");
        let folder =
            std::env::var_os("ANTIPHON_REPORT").map_or_else(|| default.into(), PathBuf::from);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let file = folder.join(format!("{}.json", self.area));
        std::fs::write(&file, serde_json::to_vec_pretty(&self.rows)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("\nwritten to {}", file.display());
        Ok(())
    }
}

/// Three digits after the point below ten, one below a thousand, none above.
fn rounded(value: f64) -> f64 {
    let factor = match value.abs() {
        size if size < 10.0 => 1_000.0,
        size if size < 1_000.0 => 10.0,
        _ => 1.0,
    };
    (value * factor).round() / factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_checked_before_rounding() {
        let mut report = Report::new("test");
        report.check("ratio", 0.899_99, "x", Target::AtLeast(0.9));
        assert_eq!(report.rows[0].ok, Some(false));
        assert_eq!(report.rows[0].value, 0.9);
    }
}
