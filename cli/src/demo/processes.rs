//! The demo's processes: each part of the network is its own `antiphon`, as in real life.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Every account of the demo has it; the tracker lives as long as the demo, on loopback.
const DEMO_PASSWORD: &str = "antiphon-demo";
/// How long a part may take to say that it is ready. Generous: a busy machine with two cores
/// starts ten processes at once.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// One running part.
pub struct Part {
    name: String,
    child: Child,
    /// What it said when it was ready.
    pub ready: serde_json::Value,
}

impl Part {
    /// Starts `antiphon ARGUMENTS` and waits until it is ready. Its log goes to `logs/NAME.log`.
    pub async fn start(name: &str, arguments: &[String], logs: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        Self::start_program(&program, name, arguments, logs).await
    }

    async fn start_program(
        program: &Path,
        name: &str,
        arguments: &[String],
        logs: &Path,
    ) -> anyhow::Result<Self> {
        let log_path = logs.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&log_path);
        let log = log.with_context(|| format!("cannot write {}", log_path.display()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("ANTIPHON_PASSWORD", DEMO_PASSWORD)
            .arg("--json")
            // The part ends when this pipe does, so that none outlives the demo.
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = child.stdout.take().context("the part's output is a pipe")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(READY_WITHIN, lines.next_line()).await;
        let Ok(Ok(Some(line))) = line else {
            bail!("{name} did not start: {}", last_lines(&log_path));
        };
        let ready = serde_json::from_str(&line)
            .with_context(|| format!("{name} said {line:?} instead of being ready"))?;
        // Keep the pipe drained, so that the part never blocks on it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            name: name.to_owned(),
            child,
            ready,
        })
    }

    /// A text of the ready line.
    pub fn said(&self, key: &str) -> anyhow::Result<&str> {
        let text = self.ready.get(key).and_then(|value| value.as_str());
        text.with_context(|| format!("{} did not say its {key}", self.name))
    }

    /// Ends it at once, as `kill -9` does.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child
            .kill()
            .await
            .with_context(|| format!("cannot end {}", self.name))
    }

    /// Lets it end in good order, then makes sure.
    pub async fn end(mut self) {
        drop(self.child.stdin.take());
        if tokio::time::timeout(Duration::from_secs(5), self.child.wait())
            .await
            .is_err()
        {
            let _ = self.child.kill().await;
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }
}

fn last_lines(path: &PathBuf) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let tail: Vec<&str> = text.lines().rev().take(5).collect();
    if tail.is_empty() {
        return format!("it wrote nothing to {}", path.display());
    }
    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
}
