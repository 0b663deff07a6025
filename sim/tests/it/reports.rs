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

#[test]
fn tables_have_as_many_fields_in_each_row_as_in_the_head() {
    for (name, text) in finished(1).files() {
        if name.ends_with(".csv") {
            let fields: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
            assert!(fields.len() > 1, "{name} is empty");
            assert!(fields.iter().all(|count| *count == fields[0]), "{name}");
        }
    }
}

#[test]
fn the_page_needs_nothing_from_anywhere() {
    let files = finished(1).files();
    let (_, page) = files
        .iter()
        .find(|(name, _)| *name == "report.html")
        .expect("there");
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("NaN"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
}
