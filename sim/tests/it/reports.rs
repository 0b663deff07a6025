//! What a run leaves behind.

use std::sync::Arc;

use antiphon_sim::report::{Manifest, Outcome};
use antiphon_sim::run::{Plan, run};

use crate::worlds::{outcome, small};

fn finished(seeds: u32) -> Outcome {
    let scenario = small("antiphon");
    Outcome {
        scenario: Arc::new(scenario.clone()),
        runs: outcome(scenario, seeds, 1),
        wall_s: 1.0,
        max_rss_bytes: 1,
        workers: 1,
    }
}

#[test]
fn the_object_has_every_figure_and_intervals_only_with_several_seeds() {
    let one = finished(1).json();
    for path in [
        "/share/server",
        "/share/peers",
        "/share/cache",
        "/start_ms/p50",
        "/start_ms/p75",
        "/start_ms/p90",
        "/start_ms/p99",
        "/stall_share",
        "/overhead_share",
        "/skip_waste_share",
        "/events",
        "/wall_s",
        "/max_rss_bytes",
        "/digest",
        "/seeds",
    ] {
        assert!(one.pointer(path).is_some(), "{path} is missing in {one}");
    }
    assert!(one.pointer("/ci95").is_none());
    assert!(finished(2).json().pointer("/ci95/share/server").is_some());
}

#[test]
fn a_manifest_repeats_the_run_it_belongs_to_and_notices_another() {
    let first = finished(2);
    let (manifest, scenario) = Manifest::read(&Manifest::of(&first).write()).expect("a manifest");
    let mut plan = Plan::new(Arc::new(scenario), None);
    plan.seeds = manifest.seeds.iter().map(|seed| seed.seed).collect();
    let again = run(&plan, &|_| {}).expect("no rule is broken");
    manifest.compare(&again).expect("the same");
    let mut other = small("antiphon");
    other.catalog.tracks += 1;
    let difference = manifest
        .compare(&outcome(other, 2, 1))
        .expect_err("another world");
    assert_eq!(difference.seed, manifest.seeds[0].seed);
}

fn written(outcome: &Outcome, name: &str) -> Vec<u8> {
    let mut content = Vec::new();
    outcome.write(name, &mut content).expect("memory");
    content
}

fn text(outcome: &Outcome, name: &str) -> String {
    String::from_utf8(written(outcome, name)).expect("text")
}

#[test]
fn tables_have_as_many_fields_in_each_row_as_in_the_head() {
    let outcome = finished(2);
    for name in Outcome::files() {
        if name.ends_with(".csv") {
            let text = text(&outcome, &name);
            let fields: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
            assert!(fields.len() > 1, "{name} is empty");
            assert!(fields.iter().all(|count| *count == fields[0]), "{name}");
        }
    }
}

#[test]
fn the_manifest_is_the_last_file() {
    assert_eq!(
        Outcome::files().last().map(String::as_str),
        Some("manifest.json")
    );
}

#[test]
fn the_page_needs_nothing_from_anywhere_and_shows_everything() {
    let page = text(&finished(2), "report.html");
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for title in [
        "Figures and targets",
        "Where the music came from",
        "Playback latency",
        "Stalls",
        "What peers save the origin",
        "Who uploads",
        "Who connects to whom",
        "What this rests on",
        "Fitted inputs",
        "Warm-up",
        "antiphon sim verify",
    ] {
        assert!(page.contains(title), "{title} is missing");
    }
    assert!(!page.contains("One seed"));
    assert!(text(&finished(1), "report.html").contains("One seed"));
}

#[test]
fn a_writer_that_takes_no_more_is_an_error_of_its_kind() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 && !bytes.is_empty() {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            Ok(taken)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let outcome = finished(1);
    for name in Outcome::files() {
        let error = outcome.write(&name, &mut Full(100)).expect_err("full");
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{name}");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_what_the_csv_holds() {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    let outcome = finished(2);
    for table in ["series", "plays", "nodes", "tracks"] {
        let csv = text(&outcome, &format!("{table}.csv"));
        let mut lines = csv.lines();
        let head: Vec<&str> = lines.next().expect("a head").split(',').collect();
        let content = written(&outcome, &format!("{table}.parquet"));
        let reader = SerializedFileReader::new(bytes::Bytes::from(content)).expect("parquet");
        assert_eq!(reader.num_row_groups(), 2, "one a seed");
        let rows = reader.get_row_iter(None).expect("rows");
        let mut count = 0;
        for (row, line) in rows.zip(lines) {
            let row = row.expect("a row");
            let names: Vec<&String> = row.get_column_iter().map(|(name, _)| name).collect();
            assert_eq!(names, head);
            for ((_, field), cell) in row.get_column_iter().zip(line.split(',')) {
                assert_eq!(as_csv(field), cell, "{table}");
            }
            count += 1;
        }
        assert_eq!(count, csv.lines().count() - 1, "{table}");
    }
}

#[cfg(feature = "parquet")]
fn as_csv(field: &parquet::record::Field) -> String {
    use parquet::record::Field;
    match field {
        Field::Long(value) => value.to_string(),
        Field::Double(value) => value.to_string(),
        Field::Bool(value) => value.to_string(),
        Field::Str(value) => value.clone(),
        Field::Null => String::new(),
        other => panic!("an unexpected type: {other:?}"),
    }
}
