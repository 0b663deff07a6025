//! What must hold of any small world.

use std::sync::Arc;

use antiphon_sim::run::{Plan, SeedRun, run};
use antiphon_sim::scenario::units::{Share, Time};
use antiphon_sim::scenario::{Scenario, built_in};

/// `hello` with fewer people and less time, and the core's rules checked often.
pub(crate) fn small(variant: &str) -> Scenario {
    let text = built_in("hello").expect("built in").1;
    let mut scenario = Scenario::read(text).expect("legal");
    scenario.population.users = 60;
    scenario.catalog.tracks = 400;
    scenario.duration = Time(900.0);
    scenario.settle = Time(120.0);
    scenario.variant = variant.to_owned();
    scenario
}

pub(crate) fn outcome(scenario: Scenario, seeds: u32, workers: usize) -> Vec<SeedRun> {
    let mut plan = Plan::new(Arc::new(scenario), Some(seeds));
    plan.workers = workers;
    plan.check_every = 16;
    run(&plan, &|_| {}).expect("no rule is broken")
}

#[test]
fn every_heard_byte_has_one_source() {
    let runs = outcome(small("antiphon"), 1, 1);
    let figures = &runs[0].figures;
    let sum = figures["share.server"] + figures["share.peers"] + figures["share.cache"];
    assert!((sum - 1.0).abs() < 1e-9);
    assert!(runs[0].tally.plays > 100, "{}", runs[0].tally.plays);
    assert!(
        figures["share.peers"] > figures["share.server"],
        "{figures:?}"
    );
    assert!(
        figures["start_ms.p50"] > 10.0 && figures["start_ms.p50"] < 100.0,
        "{figures:?}"
    );
}

#[test]
fn without_peers_everything_that_is_not_cached_comes_from_the_origin() {
    let runs = outcome(small("origin-only"), 1, 1);
    let tally = &runs[0].tally;
    assert_eq!((tally.peers, tally.arrived_peers, tally.dials), (0, 0, 0));
    assert!(tally.server > 0);
}

#[test]
fn variants_share_the_same_people_and_nearly_the_same_plays() {
    let plays = |variant| outcome(small(variant), 1, 1)[0].tally.plays as f64;
    let ratio = plays("antiphon") / plays("origin-only");
    assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
}

#[test]
fn bytes_uploaded_are_bytes_that_left_for_peers() {
    let mut scenario = small("antiphon");
    // What is under way when counting begins would have arrived without having left.
    scenario.settle = Time(0.0);
    for run in outcome(scenario, 8, 2) {
        let tally = &run.tally;
        let uploaded: u64 = tally.nodes.iter().map(|node| node.uploaded).sum();
        let got = tally.arrived_peers;
        assert!(uploaded >= got, "{uploaded} left, {got} arrived");
        assert!(
            uploaded as f64 <= got as f64 * 1.25,
            "{uploaded} left, {got} arrived"
        );
    }
}

#[test]
fn every_variant_plays_a_small_world_without_stalls() {
    for variant in antiphon_sim::variant::NAMES {
        let run = &outcome(small(variant), 1, 1)[0];
        assert!(run.tally.plays > 100, "{variant}: {}", run.tally.plays);
        assert_eq!(run.tally.stalled_plays, 0, "{variant}");
    }
}

#[test]
fn who_goes_on_to_a_track_whose_license_is_on_its_way_waits_for_it() {
    let mut scenario = small("antiphon");
    // Each play is left after 5 s at most, and the license for the next comes after 8.
    (scenario.tracker.rtt, scenario.tracker.lease) = (Time(8.0), Time(0.0));
    scenario.listening.skip_5s = Share(1.0);
    scenario.listening.random = Share(0.0);
    let run = &outcome(scenario, 1, 1)[0];
    assert!(run.tally.plays > 100, "{}", run.tally.plays);
    let start_ms = |rank| run.figures[rank];
    assert!(start_ms("start_ms.p50") > 2_900.0, "{:?}", run.figures);
    // Nobody asks for it again.
    assert!(start_ms("start_ms.p99") < 9_500.0, "{:?}", run.figures);
}
