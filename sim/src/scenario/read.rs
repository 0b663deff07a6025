//! From text to a checked scenario, with errors that say where and what to do.

use crate::scenario::check::Impossible;
use crate::scenario::{SCHEMA, Scenario};

/// Why a scenario was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no TOML of this schema.
    #[error("{0}")]
    Syntax(String),
    /// It is of another version.
    #[error("schema = {0} is not known; this program reads schema = {SCHEMA}")]
    Schema(u32),
    /// It says what cannot be.
    #[error(transparent)]
    Impossible(#[from] Impossible),
}

impl Scenario {
    /// Reads and checks a scenario.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line.
    pub fn read(text: &str) -> Result<Self, ReadError> {
        let scenario: Self = toml::from_str(text).map_err(|error| {
            let message = error.to_string();
            let hint = suggestion(error.message());
            ReadError::Syntax(match hint {
                Some(hint) => format!("{}\nhelp: did you mean `{hint}`?", message.trim_end()),
                None => message.trim_end().to_owned(),
            })
        })?;
        if scenario.schema != SCHEMA {
            return Err(ReadError::Schema(scenario.schema));
        }
        scenario.check()?;
        Ok(scenario)
    }

    /// The scenario with every default, as text that reads to the same.
    #[must_use]
    pub fn write(&self) -> String {
        toml::to_string_pretty(self).expect("a scenario has only tables, strings and numbers")
    }
}

/// The known name nearest to the unknown one in an error of serde's.
fn suggestion(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    if !message.contains("unknown field") && !message.contains("unknown variant") {
        return None;
    }
    nearest(unknown, names)
}

/// The word that was probably meant; nothing if none is near.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |known: &&str| distance(unknown, known) <= unknown.len().div_ceil(3).max(2);
    known
        .filter(near)
        .min_by_key(|known| distance(unknown, known))
}

/// Edits from one word to another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{BUILT_IN, built_in};

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
        let text = built_in("hello").expect("built in").1;
        let wrong = text.replace("tracks =", "trakcs =");
        let error = Scenario::read(&wrong)
            .expect_err("an unknown key")
            .to_string();
        let line = wrong
            .lines()
            .position(|line| line.contains("trakcs"))
            .expect("there")
            + 1;
        assert!(error.contains(&format!("line {line}")), "{error}");
        assert!(error.contains("did you mean `tracks`?"), "{error}");
    }

    #[test]
    fn every_built_in_scenario_reads_and_survives_being_written() {
        for (name, text) in BUILT_IN {
            let scenario = Scenario::read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(&scenario.name, name);
            assert!(!scenario.describe.is_empty());
            let again = Scenario::read(&scenario.write()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_eq!(again.write(), scenario.write());
        }
    }

    #[test]
    fn another_schema_and_impossible_numbers_are_refused_with_the_limit() {
        let text = built_in("hello").expect("built in").1;
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Scenario::read(&text.replace(from, to))
                .expect_err(to)
                .to_string()
        };
        assert!(refused("schema = 1", "schema = 2").contains("schema = 1"));
        assert!(refused("users = 200", "users = 90000000").contains("2000000"));
        assert!(refused("listening = \"50%\"", "listening = \"150%\"").contains("100%"));
        assert!(refused("duration = \"1h\"", "duration = \"0s\"").contains("duration"));
        assert!(
            refused(
                "name = \"fiber\"\nshare = \"50%\"",
                "name = \"fiber\"\nshare = \"49%\""
            )
            .contains("99%")
        );
    }

    #[test]
    fn impossible_behavior_and_releases_are_refused_with_the_limit() {
        let text = built_in("hello").expect("built in").1;
        let refused = |more: &str| {
            let text = format!("{text}\n{more}");
            Scenario::read(&text).expect_err(more).to_string()
        };
        let half = "[[behavior]]\nkind = 'liar'\nshare = '60%'\n";
        assert!(refused(&half.repeat(2)).contains("120%"));
        let unknown = "[[behavior]]\nkind = 'poluter'\nshare = '1%'";
        assert!(refused(unknown).contains("did you mean `polluter`?"));
        let late = "[[release]]\nat = '2h'\ntracks = 3\nfollowers = '5%'\nwithin = '5m'";
        assert!(
            refused(late).contains("from 0us to 1h"),
            "{}",
            refused(late)
        );
        let many = "[[release]]\nat = '2m'\ntracks = 3000\nfollowers = '5%'\nwithin = '5m'";
        assert!(refused(many).contains("1000"));
    }
}
