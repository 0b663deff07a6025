//! `antiphon demo`: a whole network on this machine.
//!
//! Makes or takes music, ingests it, starts a tracker, an origin and some listeners as separate
//! processes on loopback, lets the listeners behave like people in real time, and shows what
//! happens. Nothing in it knows more of the network than a stranger's machine would: it talks to
//! the listeners through their local APIs.

pub mod composer;
mod crowd;
mod network;
mod person;
mod processes;
pub mod report;
mod screen;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::args::DemoArgs;
use crate::output;

use crowd::Crowd;
use network::Network;

/// How often the listeners are asked how they are.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Length of a headless demo when none is given.
const HEADLESS_SECONDS: u64 = 60;

/// Runs the demo.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let scratch;
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None => {
            scratch = tempfile::Builder::new()
                .prefix("antiphon-demo-")
                .tempdir()?;
            scratch.path().to_owned()
        }
    };
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let music = music(&args, &folder)?;
    let library = folder.join("library");
    ingest(&library, music).await?;
    output::say("starting a tracker, an origin and the listeners");
    let mut network = Network::start(&folder).await?;
    let outcome = listen(&args, &mut network).await;
    network.end().await;
    let report = outcome?;
    if args.json {
        output::json(&report)?;
    } else {
        output::result(&screen::summary(&report))?;
    }
    Ok(())
}

async fn listen(args: &DemoArgs, network: &mut Network) -> anyhow::Result<report::Report> {
    let mut crowd = Crowd::gather(network, args.listeners, args.seed).await?;
    let began = Instant::now();
    let seconds = args
        .seconds
        .or_else(|| args.headless.then_some(HEADLESS_SECONDS));
    let until = seconds.map(|seconds| began + Duration::from_secs(seconds));
    if args.headless {
        let mut look = tokio::time::interval(LOOK_EVERY);
        while until.is_none_or(|until| Instant::now() < until) {
            look.tick().await;
            crowd.look(network).await;
        }
    } else {
        screen::run(network, &mut crowd, began, until).await?;
    }
    crowd.look(network).await;
    Ok(crowd.report(began.elapsed().as_secs()))
}

/// The files to ingest: given ones, or pieces made here.
fn music(args: &DemoArgs, folder: &std::path::Path) -> anyhow::Result<Vec<PathBuf>> {
    if let Some(music) = &args.music {
        anyhow::ensure!(music.exists(), "there is no music at {}", music.display());
        return Ok(vec![music.clone()]);
    }
    output::say("composing a dozen pieces");
    composer::compose(&folder.join("music")).context("cannot write the pieces")
}

async fn ingest(library: &std::path::Path, music: Vec<PathBuf>) -> anyhow::Result<()> {
    let library = library.to_owned();
    let summary = tokio::task::spawn_blocking(move || {
        // Only the rung everybody plays, so that music begins soon.
        crate::commands::ingest::ingest(
            &library,
            &music,
            None,
            &[antiphon_protocol::Rung::Standard],
        )
    })
    .await??;
    for refused in &summary.refused {
        output::say(&format!("left out: {refused}"));
    }
    anyhow::ensure!(summary.tracks > 0, "no track came out of the music given");
    output::say(&format!("{} tracks are in the library", summary.tracks));
    Ok(())
}
