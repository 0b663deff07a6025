//! `antiphon ingest`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use antiphon_origin::ingest::{IngestEvent, IngestOptions, IngestSummary, Outcome};
use antiphon_origin::library::Library;
use antiphon_protocol::Rung;
use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::IngestArgs;
use crate::output;

/// What came out, in short.
pub struct Short {
    /// Tracks in the library now because of this run: new ones and those already there.
    pub tracks: usize,
    /// Each refused file with its reason.
    pub refused: Vec<String>,
}

/// Ingests and prints the summary; an error at the end if a file was refused.
pub fn run(args: &IngestArgs) -> anyhow::Result<()> {
    let rungs: Vec<Rung> = args.rungs.iter().map(|rung| (*rung).into()).collect();
    let began = Instant::now();
    let summary = ingest_all(&args.library, &args.paths, args.jobs, &rungs)?;
    if args.json {
        output::json(&json(&summary, began.elapsed()))?;
    } else {
        output::result(&text(&summary, began.elapsed()))?;
    }
    match summary.refused.len() {
        0 => Ok(()),
        refused => bail!("{refused} files were refused; the reasons are above"),
    }
}

/// Ingests with a progress bar, for others than `antiphon ingest`.
pub fn ingest(
    library: &Path,
    paths: &[PathBuf],
    jobs: Option<usize>,
    rungs: &[Rung],
) -> anyhow::Result<Short> {
    let summary = ingest_all(library, paths, jobs, rungs)?;
    Ok(Short {
        tracks: summary.accepted.len() + summary.skipped.len(),
        refused: refusals(&summary),
    })
}

fn ingest_all(
    library: &Path,
    paths: &[PathBuf],
    jobs: Option<usize>,
    rungs: &[Rung],
) -> anyhow::Result<IngestSummary> {
    for path in paths {
        anyhow::ensure!(
            path.exists(),
            "there is no file or folder {}",
            path.display()
        );
    }
    let library = Library::open(library)
        .with_context(|| format!("cannot use the library {}", library.display()))?;
    let mut options = IngestOptions {
        jobs: jobs.unwrap_or(0),
        ..IngestOptions::default()
    };
    if !rungs.is_empty() {
        options.rungs = rungs.to_vec();
    }
    let progress = Progress::new();
    let summary =
        antiphon_origin::ingest::ingest(&library, paths, &options, |event| progress.show(&event));
    progress.bar.finish_and_clear();
    Ok(summary?)
}

struct Progress {
    bar: ProgressBar,
    began: Instant,
    latest: Mutex<String>,
}

impl Progress {
    /// On a terminal a bar, elsewhere nothing.
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(
            "{bar:30} {bytes}/{total_bytes}  {prefix}  {eta} left  {wide_msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            began: Instant::now(),
            latest: Mutex::new(String::new()),
        }
    }

    fn show(&self, event: &IngestEvent<'_>) {
        match event {
            IngestEvent::Discovered { bytes, .. } => self.bar.set_length(*bytes),
            IngestEvent::Started { path } => {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                self.bar.set_message(name.clone());
                *self
                    .latest
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = name;
            }
            IngestEvent::Progress {
                bytes_done, audio, ..
            } => {
                self.bar.set_position(*bytes_done);
                let passed = self.began.elapsed().as_secs_f64().max(0.001);
                self.bar
                    .set_prefix(format!("{:.0}x real time", audio.as_secs_f64() / passed));
            }
            IngestEvent::Finished {
                path,
                outcome: Outcome::Refused(refusal),
            } => {
                let line = format!("refused {}: {refusal}", path.display());
                self.bar.suspend(|| output::say(&line));
            }
            _ => {}
        }
    }
}

fn refusals(summary: &IngestSummary) -> Vec<String> {
    let each = summary.refused.iter();
    each.map(|(path, refusal)| format!("{}: {refusal}", path.display()))
        .collect()
}

fn text(summary: &IngestSummary, took: Duration) -> String {
    let mut lines = vec![format!(
        "{} tracks made, {} already there, {} refused; {:.0} s of music in {:.1} s ({:.0}x real time)",
        summary.accepted.len(),
        summary.skipped.len(),
        summary.refused.len(),
        summary.audio.as_secs_f64(),
        took.as_secs_f64(),
        summary.audio.as_secs_f64() / took.as_secs_f64().max(0.001),
    )];
    for (path, accepted) in &summary.accepted {
        for note in &accepted.notes {
            lines.push(format!("  {}: {note}", path.display()));
        }
    }
    lines.extend(
        refusals(summary)
            .iter()
            .map(|refusal| format!("  refused {refusal}")),
    );
    lines.join("\n")
}

fn json(summary: &IngestSummary, took: Duration) -> serde_json::Value {
    let accepted: Vec<_> = summary
        .accepted
        .iter()
        .map(|(path, accepted)| {
            serde_json::json!({
                "file": path, "track": accepted.track.to_string(), "title": accepted.title,
                "seconds": accepted.duration.as_secs_f64(), "notes": accepted.notes,
            })
        })
        .collect();
    let refused: Vec<_> = summary
        .refused
        .iter()
        .map(|(path, refusal)| serde_json::json!({ "file": path, "reason": refusal.to_string() }))
        .collect();
    serde_json::json!({
        "accepted": accepted, "already_there": summary.skipped.len(), "refused": refused,
        "audio_s": summary.audio.as_secs_f64(), "wall_s": took.as_secs_f64(),
        "times_real_time": summary.audio.as_secs_f64() / took.as_secs_f64().max(0.001),
    })
}
