//! Exit codes: 0 done, 1 failed, 2 usage (clap's own), 78 configuration; 10 to 12 from `sim fuzz`.

use std::process::ExitCode;

/// A failure that the configuration causes: exit code 78, as sysexits has it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(String);

impl Misconfigured {
    /// With a text that says what to change.
    pub fn error(text: String) -> anyhow::Error {
        Self(text).into()
    }
}

/// A promise that a simulation found broken, with a code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Broken {
    code: u8,
    text: String,
}

impl Broken {
    /// With the code to exit with.
    pub fn error(code: u8, text: String) -> anyhow::Error {
        Self { code, text }.into()
    }
}

/// The code for how `main` ended. A closed pipe on stdout is not an error: the reader had enough.
pub fn code(outcome: &anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    if error.is::<Misconfigured>() {
        return ExitCode::from(78);
    }
    if let Some(broken) = error.downcast_ref::<Broken>() {
        return ExitCode::from(broken.code);
    }
    let io = error.downcast_ref::<std::io::Error>();
    if io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}
