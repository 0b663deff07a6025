//! A table of typed columns, written as CSV or Parquet: the same values either way.

use std::borrow::Cow;
use std::io::{self, Write};

/// The values of a column.
#[derive(Debug)]
pub(super) enum Values<'a> {
    Count(Vec<u64>),
    Number(Vec<f64>),
    /// Numbers of which some do not exist.
    Maybe(Vec<Option<f64>>),
    Flag(Vec<bool>),
    Word(Vec<Cow<'a, str>>),
}

/// A column.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub(super) name: &'static str,
    pub(super) values: Values<'a>,
}

/// Rows of one seed, by column.
#[derive(Debug)]
pub(super) struct Table<'a> {
    pub(super) rows: usize,
    pub(super) columns: Vec<Column<'a>>,
}

/// A table made of rows, column by column.
pub(super) struct Builder<'a, 'r, T> {
    rows: &'r [T],
    columns: Vec<Column<'a>>,
}

impl<'a, 'r, T> Builder<'a, 'r, T> {
    pub(super) const fn new(rows: &'r [T]) -> Self {
        Self {
            rows,
            columns: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, values: Values<'a>) -> Self {
        self.columns.push(Column { name, values });
        self
    }

    pub(super) fn count(self, name: &'static str, of: impl Fn(&'r T) -> u64) -> Self {
        let values = self.rows.iter().map(of).collect();
        self.with(name, Values::Count(values))
    }

    pub(super) fn number(self, name: &'static str, of: impl Fn(&'r T) -> f64) -> Self {
        let values = self.rows.iter().map(of).collect();
        self.with(name, Values::Number(values))
    }

    pub(super) fn maybe(self, name: &'static str, of: impl Fn(&'r T) -> Option<f64>) -> Self {
        let values = self.rows.iter().map(of).collect();
        self.with(name, Values::Maybe(values))
    }

    pub(super) fn flag(self, name: &'static str, of: impl Fn(&'r T) -> bool) -> Self {
        let values = self.rows.iter().map(of).collect();
        self.with(name, Values::Flag(values))
    }

    pub(super) fn word(self, name: &'static str, of: impl Fn(&'r T) -> Cow<'a, str>) -> Self {
        let values = self.rows.iter().map(of).collect();
        self.with(name, Values::Word(values))
    }

    pub(super) fn build(self) -> Table<'a> {
        Table {
            rows: self.rows.len(),
            columns: self.columns,
        }
    }
}

impl Table<'_> {
    /// One line a row; the head only if asked for.
    pub(super) fn write_csv(&self, head: bool, to: &mut dyn Write) -> io::Result<()> {
        if head {
            let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
            writeln!(to, "{}", names.join(","))?;
        }
        for row in 0..self.rows {
            for (at, column) in self.columns.iter().enumerate() {
                if at > 0 {
                    to.write_all(b",")?;
                }
                column.values.write(row, to)?;
            }
            to.write_all(b"\n")?;
        }
        Ok(())
    }
}

impl Values<'_> {
    /// Every column has as many values as the table has rows.
    fn write(&self, row: usize, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Count(values) => write!(to, "{}", values[row]),
            Self::Number(values) => write!(to, "{}", values[row]),
            Self::Maybe(values) => values[row].map_or(Ok(()), |value| write!(to, "{value}")),
            Self::Flag(values) => write!(to, "{}", values[row]),
            Self::Word(values) => to.write_all(quoted(&values[row]).as_bytes()),
        }
    }
}

/// A field as RFC 4180 wants it.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_line_a_row_and_fields_with_commas_are_quoted() {
        let rows = [(1, "a"), (2, "b, \"c\"")];
        let table = Builder::new(&rows)
            .count("n", |row| row.0)
            .word("name", |row| row.1.into())
            .maybe("half", |row| (row.0 > 1).then_some(0.5))
            .build();
        let mut text = Vec::new();
        table.write_csv(true, &mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text, "n,name,half\n1,a,\n2,\"b, \"\"c\"\"\",0.5\n");
    }
}
