//! The program under test: where it is, and running it to its end.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// Every account of every test has it; the networks live on loopback, for seconds.
pub const PASSWORD: &str = "a password for tests";
/// A command that takes longer than this hangs. Generous: two cores may be busy with other tests.
const COMMAND_WITHIN: Duration = Duration::from_secs(90);

/// What a command left.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its results.
    pub stdout: String,
    /// Its talk.
    pub stderr: String,
}

impl Ended {
    /// The results as JSON.
    ///
    /// # Errors
    /// If they are none.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self:?}"))
    }

    /// Itself, if it ended well.
    ///
    /// # Errors
    /// If it did not.
    pub fn success(self) -> anyhow::Result<Self> {
        ensure!(self.code == Some(0), "the command failed: {self:?}");
        Ok(self)
    }
}

/// Runs `antiphon ARGUMENTS` to its end.
///
/// # Errors
/// If it cannot be started or does not end.
pub async fn antiphon<I, S>(arguments: I) -> anyhow::Result<Ended>
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    antiphon_with_password(arguments, PASSWORD).await
}

/// Like [`antiphon`], with another password in the environment.
///
/// # Errors
/// If it cannot be started or does not end.
pub async fn antiphon_with_password<I, S>(arguments: I, password: &str) -> anyhow::Result<Ended>
where
    I: IntoIterator<Item = S>,
    S: AsRef<std::ffi::OsStr>,
{
    let mut command = command()?;
    command.args(arguments).env("ANTIPHON_PASSWORD", password);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_WITHIN, command.output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = output.with_context(|| format!("{command:?} does not end"))??;
    Ok(Ended {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// A command of the program with none of the caller's own settings in its environment.
///
/// # Errors
/// If the program is not there and cannot be built.
pub fn command() -> anyhow::Result<Command> {
    let mut command = Command::new(path()?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ANTIPHON_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// The program beside the test's own; built first.
///
/// # Errors
/// If it cannot be built.
pub fn path() -> anyhow::Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| find().map_err(|error| format!("{error:#}")));
    match found {
        Ok(path) => Ok(path),
        Err(error) => anyhow::bail!("{error}"),
    }
}

/// Under cargo the program is brought up to date first, because cargo builds a package's program
/// for that package's own tests alone, and a stale one would be tested in silence.
fn find() -> anyhow::Result<PathBuf> {
    let folder = build_folder()?;
    let program = folder.join(format!("antiphon{}", std::env::consts::EXE_SUFFIX));
    let cargo = std::env::var_os("CARGO");
    if cargo.is_some() || !program.is_file() {
        let mut build = std::process::Command::new(cargo.unwrap_or_else(|| "cargo".into()));
        // The whole workspace's features, as `cargo test --workspace` has just built with.
        build.args([
            "build",
            "--locked",
            "--quiet",
            "--workspace",
            "--bin",
            "antiphon",
        ]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        // What cargo tells this test about its own package would make build scripts that look at
        // it run again, and everything behind them compile again, on every run.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                build.env_remove(&name);
            }
        }
        let built = build.status().context("cannot run cargo")?;
        ensure!(built.success(), "cargo could not build antiphon");
    }
    ensure!(program.is_file(), "{} is not there", program.display());
    Ok(program)
}

/// `target/PROFILE`, where this test's own program is in `deps/`.
fn build_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own file")?;
    let folder = own.parent().and_then(Path::parent);
    Ok(folder
        .context("tests run from target/PROFILE/deps")?
        .to_owned())
}

/// `target/tmp`, where tests may leave what the next run can use again.
///
/// # Errors
/// If it cannot be made.
pub fn target_tmp() -> anyhow::Result<PathBuf> {
    let folder = build_folder()?;
    let tmp = folder.parent().context("target has a parent")?.join("tmp");
    std::fs::create_dir_all(&tmp)?;
    Ok(tmp)
}
