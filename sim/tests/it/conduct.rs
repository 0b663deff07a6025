//! Worlds in which some do not behave, and worlds in which tracks come out.

use antiphon_sim::run::SeedRun;
use antiphon_sim::scenario::units::{Rate, Share, Time};
use antiphon_sim::scenario::{Behavior, Conduct, Release, Scenario};

use crate::worlds::{outcome, small};

fn with(kind: Conduct, share: f64, claims: u32) -> Scenario {
    let mut scenario = small("antiphon");
    scenario.behavior = vec![Behavior {
        kind,
        share: Share(share),
        chance: Share(1.0),
        claims,
        rate: Rate(32_000.0),
        prefixes: 2,
    }];
    scenario
}

fn one(scenario: Scenario) -> SeedRun {
    outcome(scenario, 1, 1).remove(0)
}

#[test]
fn polluters_are_punished_and_nobody_else_for_their_bytes() {
    let run = one(with(Conduct::Polluter, 0.2, 200));
    let harm = run.tally.harm;
    assert!(harm.corrupt_chunks > 10, "{harm:?}");
    assert_eq!(harm.penalties[0], harm.corrupt_chunks);
    assert_eq!(harm.false_penalties[0], 0);
    assert_eq!(harm.useful, 0, "nothing they send is held by anybody");
    assert!(run.tally.arrived_peers > 0);
}

#[test]
fn who_uploads_nothing_serves_nobody_whether_it_says_so_or_not() {
    for kind in [Conduct::Freerider, Conduct::Decliner, Conduct::Liar] {
        let run = one(with(kind, 1.0, 0));
        let asked = run.tally.harm.requests;
        assert_eq!(run.tally.arrived_peers, 0, "{kind:?}");
        assert_eq!(asked == 0, kind == Conduct::Freerider, "{kind:?}: {asked}");
        assert!(run.figures["share.server"] > 0.05, "{:?}", run.figures);
    }
}

#[test]
fn liars_lose_the_belief_of_others() {
    let run = one(with(Conduct::Liar, 0.3, 400));
    let [_, lied, _, _] = run.tally.harm.penalties;
    assert!(lied > 0, "{:?}", run.tally.harm);
}

#[test]
fn slow_and_stalling_sources_cost_time_but_no_play() {
    for kind in [Conduct::Slow, Conduct::Staller] {
        let run = one(with(kind, 0.3, 400));
        assert!(run.tally.harm.mistreated > 10, "{:?}", run.tally.harm);
        assert!(
            run.figures["stall_share"] < 0.02,
            "{kind:?} {:?}",
            run.figures
        );
        assert!(run.figures["refused_share"] < 0.01, "{:?}", run.figures);
    }
}

#[test]
fn attackers_reach_honest_nodes_and_play_nothing() {
    let honest = one(small("antiphon")).tally.plays;
    let run = one(with(Conduct::Eclipse, 0.3, 400));
    assert!(run.tally.harm.intrusions > 100, "{:?}", run.tally.harm);
    assert!(run.tally.harm.mistreated > 0 && run.tally.harm.sent == 0);
    assert!(run.tally.plays < honest, "{} of {honest}", run.tally.plays);
}

#[test]
fn the_same_people_live_in_a_world_with_and_without_misbehavior() {
    let honest = one(small("antiphon")).tally.plays as f64;
    let ratio = one(with(Conduct::Slow, 0.2, 0)).tally.plays as f64 / honest;
    assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
}

#[test]
fn a_release_is_heard_by_its_followers_first_from_the_origin_then_from_each_other() {
    let mut scenario = small("antiphon");
    scenario.release = vec![Release {
        at: Time(300.0),
        tracks: 3,
        followers: Share(0.5),
        within: Time(300.0),
    }];
    let run = one(scenario);
    let released = &run.tally.released;
    assert!((20..=200).contains(&released.plays), "{}", released.plays);
    let [server, peers, _] = released.heard;
    assert!(server > 0 && peers > 0, "{:?}", released.heard);
    assert!(run.figures["release.origin_peak_ratio"] > 0.0);
}
