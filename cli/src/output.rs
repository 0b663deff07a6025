//! Everything that is printed: results on stdout, talk on stderr. Nothing else prints.

use std::io::{self, Write as _};

use serde::Serialize;

/// A result for a person.
pub fn result(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A result for a program: one JSON object on one line.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Talk.
pub fn say(text: &str) {
    // Nobody listens any more: nothing to be done about it.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Talk that replaces itself: no new line.
pub fn say_in_place(text: &str) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "{text}");
    let _ = err.flush();
}
