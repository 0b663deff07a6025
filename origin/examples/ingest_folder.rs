//! Ingests folders into a library and says how fast: `ingest_folder LIBRARY FOLDER..`
//!
//! The smallest program around `antiphon_origin::ingest`.

use std::path::PathBuf;
use std::time::Instant;

use antiphon_origin::ingest::{IngestEvent, IngestOptions, Outcome, ingest};
use antiphon_origin::library::Library;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let dir = paths
        .next()
        .ok_or("usage: ingest_folder LIBRARY FOLDER..")?;
    let paths: Vec<_> = paths.collect();
    let library = Library::open(dir)?;
    let start = Instant::now();
    let summary = ingest(&library, &paths, &IngestOptions::default(), |event| {
        let IngestEvent::Finished { path, outcome } = event else {
            return;
        };
        let path = path.display();
        match outcome {
            Outcome::Accepted(made) => {
                let (title, rungs) = (&made.title, &made.rungs);
                println!("{path}: {title:?} {rungs:?} {:?}", made.notes);
            }
            Outcome::Refused(refusal) => println!("{path}: refused: {refusal}"),
            Outcome::Skipped(track) => println!("{path}: already there as {track}"),
            _ => {}
        }
    })?;
    let (seconds, audio) = (start.elapsed().as_secs_f64(), summary.audio.as_secs_f64());
    println!(
        "{} accepted, {} skipped, {} refused, {} ignored; {audio:.0} s of music in {seconds:.1} s: {:.1} times real time",
        summary.accepted.len(),
        summary.skipped.len(),
        summary.refused.len(),
        summary.ignored,
        audio / seconds,
    );
    Ok(())
}
