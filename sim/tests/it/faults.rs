//! Worlds in which something goes wrong.

use antiphon_sim::scenario::units::{Share, Time};
use antiphon_sim::scenario::{Fault, FaultKind, Scenario};

use crate::worlds::{outcome, small};

/// From the start of measuring to the end.
fn with(kind: FaultKind, variant: &str) -> Scenario {
    let mut scenario = small(variant);
    scenario.fault = vec![Fault {
        at: Time(0.0),
        lasts: Time(0.0),
        kind,
        share: Share(0.5),
    }];
    scenario
}

#[test]
fn without_an_origin_peers_carry_what_they_hold() {
    let with_peers = &outcome(with(FaultKind::OriginLost, "antiphon"), 1, 1)[0];
    let alone = &outcome(with(FaultKind::OriginLost, "origin-only"), 1, 1)[0];
    assert_eq!(with_peers.tally.arrived_origin, 0);
    assert_eq!(alone.tally.arrived_origin + alone.tally.peers, 0);
    assert!(with_peers.tally.peers > 0);
    let (refused, refused_alone) = (
        with_peers.figures["refused_share"],
        alone.figures["refused_share"],
    );
    assert!(refused_alone > 0.05, "{refused_alone}");
    assert!(
        refused < 0.5 * refused_alone,
        "{refused} against {refused_alone}"
    );
}

#[test]
fn a_refusing_origin_is_noticed_sooner_than_a_silent_one() {
    let p99 = |kind| outcome(with(kind, "antiphon"), 1, 1)[0].figures["start_ms.p99"];
    let (refuses, silent) = (p99(FaultKind::OriginRefuses), p99(FaultKind::OriginLost));
    assert!(refuses <= silent, "{refuses} ms against {silent} ms");
}

#[test]
fn a_starved_origin_makes_plays_stall_and_sends_no_more_than_it_can() {
    let mut scenario = with(FaultKind::OriginBrownout, "origin-only");
    scenario.fault[0].share = Share(0.000_1);
    let run = &outcome(scenario.clone(), 1, 1)[0];
    let most = scenario.origin.egress.bytes() * 0.000_1 * scenario.duration.0;
    let sent: u64 = run
        .tally
        .series
        .iter()
        .map(|minute| minute.origin_sent)
        .sum();
    // Spans that were under way before count when they end.
    assert!(sent as f64 <= 1.1 * most, "{sent} of {most}");
    assert!(run.figures["stall_share"] > 0.0, "{:?}", run.figures);
}

#[test]
fn without_the_tracker_only_what_is_licensed_plays() {
    let run = &outcome(with(FaultKind::TrackerRestart, "antiphon"), 1, 1)[0];
    assert!(run.figures["refused_share"] > 0.05, "{:?}", run.figures);
    assert!(run.figures["share.cache"] > 0.9, "{:?}", run.figures);
}

#[test]
fn a_mass_departure_empties_the_world_by_its_share() {
    let mut scenario = with(FaultKind::MassLeave, "antiphon");
    scenario.fault[0].at = Time(300.0);
    let run = &outcome(scenario, 1, 1)[0];
    let online = |minute: usize| run.tally.series[minute].online as f64;
    let left = online(6) / online(3);
    assert!((0.3..0.7).contains(&left), "{left} are left");
}
