//! A second process of the same program, its talk with the first, and what it costs.
//!
//! Child and parent exchange lines: JSON from the child, words to it. A child whose standard input
//! closes ends, so none outlives its parent.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// Lines of a child that nobody has heard yet; a child that says more waits.
const LINES_MAX: usize = 16;

/// A running child; ended when dropped.
#[derive(Debug)]
pub struct Second {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// The child's folder for temporary files: it is ended in the middle of whatever it does, so
    /// it cannot clean up itself, and what it leaves is as large as what it stored.
    _temporary: TempDir,
}

impl Second {
    /// Starts this very program with other arguments.
    ///
    /// # Errors
    /// If it does not start.
    pub fn of_this_program(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        Self::start(command)
    }

    /// Starts a program.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let temporary = tempfile::tempdir()?;
        let mut child = command
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let stdin = child.stdin.take().context("the child has no input")?;
        let stdout = child.stdout.take().context("the child has no output")?;
        let (sender, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            stdin,
            lines,
            _temporary: temporary,
        })
    }

    /// The child's next line.
    ///
    /// # Errors
    /// If none comes within `patience`, or it is not what is expected.
    pub fn hear<T: DeserializeOwned>(&self, patience: Duration) -> anyhow::Result<T> {
        let line = self
            .lines
            .recv_timeout(patience)
            .map_err(|error| anyhow!("the second process said nothing: {error}"))?;
        serde_json::from_str(&line).with_context(|| format!("the second process said {line:?}"))
    }

    /// Says a word to the child.
    ///
    /// # Errors
    /// If it is gone.
    pub fn say(&mut self, word: &str) -> anyhow::Result<()> {
        writeln!(self.stdin, "{word}")?;
        Ok(self.stdin.flush()?)
    }

    /// User and system time of all its threads so far.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        cpu_seconds(&self.child.id().to_string())
    }

    /// Resident memory, in MiB.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
            .context("the system does not tell a process's memory")?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What every process of a measurement runs on: the same for every engine.
///
/// # Errors
/// If the system gives no threads.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One of the engines makes an HTTP client of ours want a process-wide provider. Only the
    // first call can succeed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// CPU seconds of this process so far.
///
/// # Errors
/// If the system does not tell.
pub fn own_cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds("self")
}

fn cpu_seconds(process: &str) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name, in parentheses, may hold anything; fields are counted after it.
    let (_, fields) = stat.rsplit_once(')').context("no such process")?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// Fixed by Linux for everything it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// In a child: says something to the parent.
///
/// # Errors
/// If the parent is gone.
pub fn report(what: &impl Serialize) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(what)?)?;
    Ok(stdout.flush()?)
}

/// In a child: waits for a word of the parent.
///
/// # Errors
/// If the parent is gone or says something else.
pub async fn wait_for(word: &'static str) -> anyhow::Result<()> {
    let heard = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    match heard.await??.trim() {
        heard if heard == word => Ok(()),
        heard => bail!("expected {word:?} from the first process, not {heard:?}"),
    }
}

/// In a child: waits until the parent needs it no more.
pub async fn wait_for_end() {
    // Whatever ends the input ends the child.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await;
}
