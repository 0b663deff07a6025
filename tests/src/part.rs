//! One long-running process: started, ready, killed or ended.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::program::{self, PASSWORD};

/// How long a part may take to say that it is ready. Generous: two cores may be busy with other
/// tests.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a part may take to end in good order.
const END_WITHIN: Duration = Duration::from_secs(15);

/// A running process.
#[derive(Debug)]
pub struct Part {
    name: String,
    child: Child,
    log: PathBuf,
    ready: serde_json::Value,
}

impl Part {
    /// Starts `antiphon ARGUMENTS` and waits until it is ready. Its log goes to `logs/NAME.log`.
    ///
    /// # Errors
    /// If it is not ready in time; its last words are in the error.
    pub async fn start(name: &str, arguments: &[String], logs: &Path) -> anyhow::Result<Self> {
        let mut command = program::command()?;
        command.args(arguments);
        Self::start_command(name, command, logs).await
    }

    /// Like [`Part::start`], with a command that leads to the program in another way.
    ///
    /// # Errors
    /// As [`Part::start`].
    pub async fn start_command(
        name: &str,
        mut command: Command,
        logs: &Path,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(logs)?;
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let mut child = command
            .args(["--json", "--until-stdin-closes"])
            .env("ANTIPHON_PASSWORD", PASSWORD)
            .env("ANTIPHON_LOG", log_filter())
            .env("NO_COLOR", "1")
            // Closes when the test ends, however it ends; the part ends then too.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("the output is a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY_WITHIN, lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            let code = child.try_wait().ok().flatten();
            bail!("{name} did not start ({code:?}): {}", last_words(&log, 5));
        };
        let ready = serde_json::from_str(&line)
            .with_context(|| format!("{name} said {line:?} instead of being ready"))?;
        // Keeps the pipe drained, so that the part never blocks on it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            ready,
        })
    }

    /// A text of the line it said when it was ready.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn said(&self, key: &str) -> anyhow::Result<&str> {
        let text = self.ready.get(key).and_then(serde_json::Value::as_str);
        text.with_context(|| format!("{} did not say its {key}", self.name))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If it had ended by itself before: nothing here may do that.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.check_runs()?;
        self.child.kill().await?;
        Ok(())
    }

    /// Freezes it: its connections stay, but nothing is done any more.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub async fn freeze(&mut self) -> anyhow::Result<()> {
        self.signal("-STOP").await
    }

    /// Lets it go on after that.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub async fn thaw(&mut self) -> anyhow::Result<()> {
        self.signal("-CONT").await
    }

    async fn signal(&mut self, signal: &str) -> anyhow::Result<()> {
        self.check_runs()?;
        let id = self.child.id().context("it runs")?.to_string();
        let sent = Command::new("kill").args([signal, &id]).status().await?;
        ensure!(sent.success(), "{} takes no {signal}", self.name);
        Ok(())
    }

    /// Lets it end in good order.
    ///
    /// # Errors
    /// If it does not, or not well.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let ended = tokio::time::timeout(END_WITHIN, self.child.wait()).await;
        let ended = ended.with_context(|| format!("{} does not end", self.name))??;
        ensure!(ended.success(), "{} ended with {ended}", self.name);
        Ok(())
    }

    /// Fails if it has ended by itself.
    ///
    /// # Errors
    /// If it has; its last words are in the error.
    pub fn check_runs(&mut self) -> anyhow::Result<()> {
        if let Some(code) = self.child.try_wait()? {
            let words = last_words(&self.log, 10);
            bail!("{} ended by itself with {code}: {words}", self.name);
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, last_words(&self.log, 25));
        }
    }
}

/// `TEST_LOG` of the environment, for finding faults.
fn log_filter() -> String {
    let quiet = "info,libp2p=warn,quinn=warn,symphonia_format_ogg=warn";
    std::env::var("TEST_LOG").unwrap_or_else(|_| quiet.to_owned())
}

fn last_words(log: &Path, count: usize) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}
