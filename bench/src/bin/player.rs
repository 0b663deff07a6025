//! What listening costs: ingest as a multiple of real time, memory of a node idle and playing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use antiphon_bench::network::{Listener, Network};
use antiphon_bench::process::own_cpu_seconds;
use antiphon_bench::report::{Report, Target};
use antiphon_bench::statistics::median;
use antiphon_bench::wav;
use antiphon_origin::ingest::{IngestOptions, ingest};
use antiphon_origin::library::Library;
use anyhow::{Context, ensure};
use serde_json::json;

/// Ten minutes in all, one piece for each core of the reference machine.
const PIECES: u32 = 2;
const PIECE: Duration = Duration::from_secs(300);
/// Long enough for everything that starts to have settled.
const IDLE: Duration = Duration::from_secs(10);
/// Long enough for the whole track to have been fetched and the decoder to be in its stride.
const PLAYING: Duration = Duration::from_secs(20);
const SAMPLES: u32 = 20;

fn main() -> anyhow::Result<()> {
    let mut report = Report::new("player");
    let folder = tempfile::tempdir()?;
    let library = folder.path().join("library");
    measure_ingest(&mut report, folder.path(), &library)?;
    let program = program();
    if program.exists() {
        measure_memory(&mut report, &program, &library, folder.path())?;
    } else {
        eprintln!(
            "memory is not measured: there is no {}; run `make build` first",
            program.display()
        );
    }
    report.finish()
}

fn program() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/antiphon");
    std::env::var_os("ANTIPHON_PROGRAM").map_or_else(|| default.into(), PathBuf::from)
}

fn measure_ingest(report: &mut Report, folder: &Path, library: &Path) -> anyhow::Result<()> {
    let music = folder.join("music");
    std::fs::create_dir(&music)?;
    for piece in 0..PIECES {
        wav::write(&music.join(format!("piece {piece}.wav")), PIECE, piece)?;
    }
    let library = Library::open(library)?;
    let (start, cpu) = (Instant::now(), own_cpu_seconds()?);
    let summary = ingest(&library, &[music], &IngestOptions::default(), |_| {})?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), own_cpu_seconds()? - cpu);
    ensure!(
        summary.accepted.len() == PIECES as usize,
        "refused: {:?}",
        summary.refused
    );
    let music_seconds = PIECE.as_secs_f64() * f64::from(PIECES);
    report.note(
        "ingest, three rungs, all cores",
        music_seconds / seconds,
        "x real time",
    );
    report.note(
        "ingest, three rungs, per core",
        music_seconds / cpu,
        "x real time",
    );
    Ok(())
}

fn measure_memory(
    report: &mut Report,
    program: &Path,
    library: &Path,
    folder: &Path,
) -> anyhow::Result<()> {
    let network = Network::start(program, library, folder)?;
    let listener = network.listener("listener")?;
    std::thread::sleep(IDLE);
    let idle = listener.process.resident_mib()?;
    report.check("node, idle", idle, "MiB resident", Target::AtMost(60.0));

    let catalog = listener.ask("GET", "/v1/catalog", "")?;
    let tracks = catalog.get("tracks").unwrap_or(&catalog);
    let track = tracks.get(0).and_then(|track| track["track"].as_str());
    let track = track.with_context(|| format!("no track in {catalog}"))?;
    listener.ask(
        "POST",
        "/v1/play",
        &json!({ "tracks": [track] }).to_string(),
    )?;
    let cpu = listener.process.cpu_seconds()?;
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        std::thread::sleep(PLAYING / SAMPLES);
        samples.push(listener.process.resident_mib()?);
    }
    let cpu = listener.process.cpu_seconds()? - cpu;
    plays(&listener)?;
    let playing = median(&samples).context("no samples")?;
    let most = samples.iter().copied().fold(0.0, f64::max);
    report.check(
        "node, playing",
        playing,
        "MiB resident",
        Target::AtMost(90.0),
    );
    report.note("node, playing, most", most, "MiB resident");
    report.note(
        "node, playing",
        cpu / PLAYING.as_secs_f64() * 100.0,
        "% of a core",
    );
    Ok(())
}

/// A silent failure would look like a node with little memory.
fn plays(listener: &Listener) -> anyhow::Result<()> {
    let status = listener.ask("GET", "/v1/status", "")?;
    let position = status["playing"]["position_ms"].as_u64().unwrap_or(0);
    let expected = PLAYING.as_millis() as u64 / 2;
    ensure!(position >= expected, "the node does not play: {status}");
    Ok(())
}
