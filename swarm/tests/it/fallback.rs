//! Plays while something fails: slow, silent, lying, corrupt and vanishing peers, origin and
//! tracker outages. As long as one source class can deliver, no play that has 5 s buffered stalls.

use antiphon_swarm::node::output::{Event, Offense};
use antiphon_swarm::{Duration, NodeConfig, PeerKey};

use crate::pair::{Manner, Route, World, song};

const SECOND: Duration = Duration::from_secs(1);

/// A listener and `holders` near ones of one song, not yet connected.
fn world(holders: usize) -> (World, usize, antiphon_swarm::RenditionKey) {
    let mut world = World::new();
    let track = world.publish(1, song(180));
    for _ in 0..holders {
        let holder = world.near();
        world.give(holder, track);
    }
    let listener = world.near();
    (world, listener, track)
}

fn played_without_stall(world: &World, listener: usize) {
    let play = world.nodes[listener].plays[0];
    assert_eq!(play.stalls, 0);
    assert!(play.ended, "the song was not played to its end");
}

#[test]
fn a_silent_peer_costs_a_start_at_most_fifty_milliseconds() {
    let (mut world, listener, track) = world(1);
    world.nodes[0].manner = Manner::Silent;
    world.play(listener, track);
    world.run(SECOND.saturating_mul(200));
    played_without_stall(&world, listener);
    let latency = world.start_latency(listener, 0);
    assert!(latency <= Duration::from_millis(80), "{latency:?}");
}

#[test]
fn a_liar_is_not_believed_twice() {
    let (mut world, listener, track) = world(2);
    world.nodes[0].manner = Manner::Liar;
    world.play(listener, track);
    world.run(SECOND.saturating_mul(200));
    played_without_stall(&world, listener);
    assert!(world.start_latency(listener, 0) <= Duration::from_millis(80));
    assert!(world.nodes[listener].core.stats().declines <= 4);
    let share = world.origin_bytes(listener) * 100 / (180 * 20_000);
    assert!(
        share <= 5,
        "{share} % from the origin though an honest holder is there"
    );
}

#[test]
fn a_peer_that_never_has_room_is_asked_ever_more_seldom() {
    let (mut world, listener, track) = world(1);
    world.nodes[0].manner = Manner::Busy;
    world.play(listener, track);
    world.run(SECOND.saturating_mul(200));
    played_without_stall(&world, listener);
    let declines = world.nodes[listener].core.stats().declines;
    assert!(
        declines <= 30,
        "asked {declines} times for three minutes of music"
    );
}

#[test]
fn a_corrupt_peer_is_quarantined_after_its_first_span() {
    let (mut world, listener, track) = world(2);
    world.nodes[0].manner = Manner::Corrupt;
    world.play(listener, track);
    world.run(SECOND.saturating_mul(200));
    played_without_stall(&world, listener);
    let (peer, offense) = (PeerKey(0), Offense::Corrupt);
    let penalty = Event::Penalized { peer, offense };
    let strikes = world.nodes[listener]
        .events
        .iter()
        .filter(|e| **e == penalty)
        .count();
    assert_eq!(strikes, 1);
    assert!(
        !world.nodes[listener]
            .core
            .snapshot()
            .neighbors
            .iter()
            .any(|n| n.peer == peer)
    );
}

#[test]
fn slow_peers_never_make_a_play_stall() {
    for rate in [500, 2_000, 10_000, 18_000] {
        let mut world = World::new();
        let track = world.publish(1, song(180));
        for _ in 0..3 {
            let slow = world.node(NodeConfig::antiphon(), Duration::from_millis(5), rate);
            world.give(slow, track);
        }
        let listener = world.near();
        world.play(listener, track);
        world.run(SECOND.saturating_mul(200));
        played_without_stall(&world, listener);
        let wasted = world.nodes[listener].core.stats().wasted_bytes;
        assert!(
            wasted * 100 <= 10 * 180 * 20_000,
            "{wasted} bytes twice at {rate} B/s"
        );
    }
}

#[test]
fn all_peers_may_vanish_at_any_moment() {
    for moment in [1, 50, 200, 1_000, 3_000, 10_000, 30_000] {
        let (mut world, listener, track) = world(4);
        world.play(listener, track);
        world.run(Duration::from_millis(moment));
        for holder in 0..4 {
            world.kill(holder);
        }
        world.run(SECOND.saturating_mul(200));
        played_without_stall(&world, listener);
    }
}

#[test]
fn holders_carry_a_play_through_an_origin_outage() {
    for outage in [Route::Refusing, Route::Silent] {
        let (mut world, listener, track) = world(3);
        (world.quic, world.http) = (outage, outage);
        world.play(listener, track);
        world.run(SECOND.saturating_mul(200));
        played_without_stall(&world, listener);
        assert!(world.start_latency(listener, 0) <= Duration::from_millis(100));
        assert_eq!(world.origin_bytes(listener), 0);
    }
}

#[test]
fn far_unknown_holders_start_a_play_within_two_seconds_while_the_origin_is_out() {
    for outage in [Route::Refusing, Route::Silent] {
        let mut world = World::new();
        let track = world.publish(1, song(60));
        (world.quic, world.http) = (outage, outage);
        for _ in 0..3 {
            let far = world.node(NodeConfig::antiphon(), Duration::from_millis(80), 2_500_000);
            world.give(far, track);
        }
        let listener = world.near();
        world.play(listener, track);
        world.run(SECOND.saturating_mul(70));
        assert!(world.start_latency(listener, 0) <= SECOND.saturating_mul(2));
        played_without_stall(&world, listener);
    }
}

#[test]
fn one_way_to_the_origin_is_enough() {
    for (quic, http) in [
        (Route::Refusing, Route::Up),
        (Route::Silent, Route::Up),
        (Route::Up, Route::Silent),
        (Route::Up, Route::Refusing),
    ] {
        let (mut world, listener, track) = world(0);
        (world.quic, world.http) = (quic, http);
        world.play(listener, track);
        world.run(SECOND.saturating_mul(200));
        let latency = world.start_latency(listener, 0);
        assert!(
            latency <= Duration::from_millis(330),
            "{quic:?} {http:?}: {latency:?}"
        );
        played_without_stall(&world, listener);
    }
}

#[test]
fn a_dead_way_to_an_origin_that_was_slow_before_starves_no_play() {
    for (quic, http) in [(Route::Silent, Route::Up), (Route::Up, Route::Silent)] {
        let (mut world, listener, first) = world(0);
        let second = world.publish(2, song(60));
        world.origin.latency = Duration::from_millis(1_500);
        world.play(listener, first);
        world.run(SECOND.saturating_mul(200));
        world.origin.latency = Duration::from_millis(10);
        (world.quic, world.http) = (quic, http);
        world.nodes[listener].events.clear();
        world.play(listener, second);
        world.run(SECOND.saturating_mul(70));
        let latency = world.start_latency(listener, 1);
        assert!(latency <= SECOND, "{quic:?} {http:?}: {latency:?}");
        let starved = |e: &Event| matches!(e, Event::Starved { .. });
        assert!(!world.nodes[listener].events.iter().any(starved));
        assert!(world.nodes[listener].plays[1].ended);
    }
}

#[test]
fn a_play_nobody_can_feed_says_so_within_two_seconds_and_goes_on_when_it_can() {
    for outage in [Route::Refusing, Route::Silent] {
        let (mut world, listener, track) = world(0);
        (world.quic, world.http) = (outage, outage);
        world.play(listener, track);
        world.run(SECOND.saturating_mul(2));
        let starved = |e: &&Event| matches!(e, Event::Starved { .. });
        let fed = |e: &&Event| matches!(e, Event::Fed { .. });
        assert_eq!(
            world.nodes[listener].events.iter().filter(starved).count(),
            1
        );
        world.run(SECOND.saturating_mul(600));
        assert_eq!(
            world.nodes[listener].events.iter().filter(starved).count(),
            1
        );
        assert_eq!(world.nodes[listener].events.iter().filter(fed).count(), 0);
        (world.quic, world.http) = (Route::Up, Route::Up);
        world.run(SECOND.saturating_mul(20));
        assert_eq!(world.nodes[listener].events.iter().filter(fed).count(), 1);
        assert!(world.nodes[listener].plays[0].started.is_some());
        world.run(SECOND.saturating_mul(200));
        assert!(world.nodes[listener].plays[0].ended);
    }
}

#[test]
fn an_origin_outage_in_mid_play_is_not_heard_while_peers_hold_the_rest() {
    for at in [2, 6, 12, 40] {
        let (mut world, listener, track) = world(0);
        let late = world.near();
        world.play(listener, track);
        world.run(SECOND.saturating_mul(at));
        world.give(late, track);
        world.connect(listener, late);
        world.run(SECOND);
        (world.quic, world.http) = (Route::Silent, Route::Silent);
        world.run(SECOND.saturating_mul(200));
        played_without_stall(&world, listener);
    }
}

#[test]
fn the_overlay_finds_holders_while_the_tracker_is_out() {
    let mut world = World::new();
    let (first, second) = (world.publish(1, song(60)), world.publish(2, song(60)));
    let (near, next, listener) = (world.near(), world.near(), world.near());
    world.give(next, second);
    world.give(near, first);
    world.connect(listener, near);
    world.connect(near, next);
    world.tracker_up = false;
    (world.quic, world.http) = (Route::Refusing, Route::Refusing);
    world.play(listener, second);
    world.run(SECOND.saturating_mul(70));
    played_without_stall(&world, listener);
    assert!(world.start_latency(listener, 0) <= SECOND.saturating_mul(2));
    assert_eq!(world.peer_bytes(listener), 60 * 20_000);
}

#[test]
fn a_tracker_outage_is_not_noticed_while_the_origin_is_there() {
    let (mut world, listener, track) = world(2);
    world.tracker_up = false;
    world.play(listener, track);
    world.run(SECOND.saturating_mul(200));
    played_without_stall(&world, listener);
    assert!(world.start_latency(listener, 0) <= Duration::from_millis(50));
}

#[test]
fn failing_dials_cost_the_head_only() {
    let (mut world, listener, track) = world(5);
    for holder in 0..4 {
        world.nodes[holder].manner = Manner::Offline;
    }
    world.play(listener, track);
    world.run(SECOND.saturating_mul(200));
    played_without_stall(&world, listener);
    let share = world.origin_bytes(listener) * 100 / (180 * 20_000);
    assert!(share <= 5, "{share} % from the origin");
}

#[test]
fn plays_that_stalled_go_on_within_five_seconds_of_healing() {
    let (mut world, listener, track) = world(1);
    world.play(listener, track);
    world.run(SECOND.saturating_mul(3));
    let (quic, http) = (world.quic, world.http);
    (world.quic, world.http) = (Route::Silent, Route::Silent);
    world.nodes[0].manner = Manner::Silent;
    world.run(SECOND.saturating_mul(250));
    (world.quic, world.http) = (quic, http);
    world.run(SECOND.saturating_mul(20));
    world.run(SECOND.saturating_mul(200));
    assert!(world.nodes[listener].plays[0].ended);
}

#[test]
fn a_crowd_that_promises_everything_and_sends_nothing_leaves_an_ordinary_stream() {
    for holders in [5, 12, 30, 50] {
        let (mut world, listener, track) = world(holders);
        for holder in 0..holders {
            world.nodes[holder].manner = Manner::Silent;
            world.connect(holder, listener);
        }
        world.play(listener, track);
        world.run(SECOND.saturating_mul(220));
        played_without_stall(&world, listener);
        let latency = world.start_latency(listener, 0);
        assert!(
            latency <= Duration::from_millis(200),
            "{holders}: {latency:?}"
        );
    }
}
