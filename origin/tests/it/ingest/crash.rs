//! A process that dies before any step of publishing: nothing half-made is visible, and the next
//! run completes the track and leaves nothing over.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_origin::ingest::{IngestEvent, IngestOptions, ingest};
use antiphon_origin::library::Library;

use super::sounds::{noise, vorbis};
use super::{Bench, only};

const LIBRARY: &str = "INGEST_TEST_LIBRARY";
const SOURCES: &str = "INGEST_TEST_SOURCES";
const STEP: &str = "INGEST_TEST_STEP";

/// Runs only as the child of the test below, and dies as `kill -9` would have it.
#[test]
fn the_half_that_dies() {
    let Ok(library) = std::env::var(LIBRARY) else {
        return;
    };
    let sources = PathBuf::from(std::env::var(SOURCES).unwrap());
    let last: usize = std::env::var(STEP).unwrap().parse().unwrap();
    let library = Library::open(library).unwrap();
    let steps = AtomicUsize::new(0);
    let result = ingest(&library, &[sources], &IngestOptions::default(), |event| {
        let is_step = matches!(event, IngestEvent::Storing { .. });
        if is_step && steps.fetch_add(1, Ordering::SeqCst) == last {
            std::process::abort();
        }
    });
    result.unwrap();
}

fn dies_at(bench: &Bench, step: usize) -> bool {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ingest::crash::the_half_that_dies"])
        .env(LIBRARY, bench.library.root())
        .env(SOURCES, bench.dir.path().join("in"))
        .env(STEP, step.to_string())
        .output()
        .unwrap();
    !output.status.success()
}

#[test]
fn a_crash_before_any_step_leaves_no_half_track_and_is_resumed() {
    let source = vorbis(&noise(30_000, 2), 0.4, &[("ALBUM", "A"), ("ARTIST", "B")]);
    let mut step = 0;
    loop {
        let bench = Bench::new();
        bench.source("a.ogg", &source);
        if !dies_at(&bench, step) {
            break;
        }
        let visible = bench.library.tracks().unwrap();
        for track in &visible {
            for rendition in &bench.manifest(*track).renditions {
                assert!(!bench.decrypted(*track, rendition).is_empty());
            }
        }
        let summary = bench.ingest();
        let (made, kept) = (summary.accepted.len(), summary.skipped.len());
        assert_eq!(
            (made, kept),
            (1 - visible.len(), visible.len()),
            "step {step}"
        );
        let track = bench.library.tracks().unwrap()[0];
        let manifest = bench.manifest(track);
        assert_eq!(manifest.version, 1, "step {step}");
        let due = 2 * manifest.renditions.len() + 1;
        assert_eq!(
            bench.objects().len(),
            due,
            "step {step}: {:?}",
            bench.objects()
        );
        // Key, public key, lock, release, loudness.
        assert_eq!(
            bench.private_files().len(),
            5,
            "{:?}",
            bench.private_files()
        );
        step += 1;
    }
    // Journal, two files of each of two renditions, loudness, manifest, release, end of journal.
    assert_eq!(step, 9);
}

#[test]
fn a_lost_release_or_object_is_made_again_under_a_later_version() {
    let bench = Bench::new();
    bench.source("a.ogg", &vorbis(&noise(30_000, 2), 0.4, &[]));
    let track = only(&bench.ingest()).track;
    std::fs::remove_file(bench.library.release_path(track)).unwrap();
    assert_eq!(only(&bench.ingest()).track, track);
    assert_eq!(bench.manifest(track).version, 2);
    let lost = bench.objects().into_iter().find(|name| {
        let content = bench.manifest(track).renditions[0].content;
        *name == format!("content/{content}.obao")
    });
    let lost = bench.library.root().join("objects").join(lost.unwrap());
    std::fs::remove_file(lost).unwrap();
    assert_eq!(only(&bench.ingest()).track, track);
    assert_eq!(bench.manifest(track).version, 3);
    std::fs::write(bench.library.release_path(track), b"damaged").unwrap();
    assert_eq!(only(&bench.ingest()).track, track);
    assert_eq!(bench.manifest(track).version, 4);
}

#[test]
fn the_private_half_of_a_library_is_private_and_keeps_its_key() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let releases = bench.library.releases_dir();
    assert_eq!(mode(releases.clone()), 0o700);
    assert_eq!(mode(releases.join("catalog.key")), 0o600);
    bench.fixture("tone.mp3");
    let track = only(&bench.ingest()).track;
    assert_eq!(mode(bench.library.release_path(track)), 0o600);
    let again = Library::open(bench.library.root()).unwrap();
    assert_eq!(again.catalog_public(), bench.library.catalog_public());
    std::fs::write(releases.join("catalog.key"), "none").unwrap();
    assert!(Library::open(bench.library.root()).is_err());
}
