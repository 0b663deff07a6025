//! Plays that go well.

use antiphon_swarm::node::input::{Command, TrackerEvent};
use antiphon_swarm::{Duration, Input, NodeConfig};

use crate::pair::{World, song};

#[test]
fn a_play_without_holders_streams_from_the_origin_and_does_not_run_far_ahead() {
    let mut world = World::new();
    let track = world.publish(1, song(240));
    let listener = world.near();
    world.play(listener, track);
    world.run(Duration::from_secs(10));
    assert!(world.start_latency(listener, 0) <= Duration::from_millis(30));
    let ahead = world.origin_bytes(listener) as i64 - 10 * 20_000;
    assert!(
        (10 * 20_000..=45 * 20_000).contains(&ahead),
        "{ahead} bytes ahead"
    );
    world.run(Duration::from_secs(260));
    assert!(world.nodes[listener].plays[0].ended);
    assert_eq!(world.stalls(), 0);
    assert!(world.nodes[listener].core.is_complete(track));
    assert_eq!(world.nodes[listener].core.stats().wasted_bytes, 0);
}

#[test]
fn a_play_goes_on_as_well_when_its_player_says_no_more_than_where_it_began() {
    let run = |reports: bool, held: bool| {
        let mut world = World::new();
        world.reports = reports;
        let track = world.publish(1, song(240));
        let holder = world.node(NodeConfig::antiphon(), Duration::from_millis(20), 60_000);
        let listener = world.near();
        if held {
            world.give(holder, track);
        }
        world.play(listener, track);
        world.run(Duration::from_secs(250));
        assert!(world.nodes[listener].plays[0].ended);
        assert!(world.nodes[listener].core.is_complete(track));
        assert_eq!(world.stalls(), 0, "reports {reports}, held {held}");
        world.origin_bytes(listener)
    };
    assert_eq!(run(true, false), run(false, false));
    assert_eq!(run(true, true), run(false, true));
}

/// Somebody who plays a song of four minutes beside a connected near holder.
fn near_a_holder() -> (World, usize) {
    let mut world = World::new();
    let track = world.publish(1, song(240));
    let (holder, listener) = (world.near(), world.near());
    world.give(holder, track);
    world.connect(listener, holder);
    world.play(listener, track);
    (world, listener)
}

#[test]
fn a_connected_near_holder_serves_the_whole_play() {
    let (mut world, listener) = near_a_holder();
    world.run(Duration::from_secs(250));
    assert!(world.nodes[listener].plays[0].ended);
    assert_eq!(world.stalls(), 0);
    assert!(world.start_latency(listener, 0) <= Duration::from_millis(30));
    assert_eq!(world.origin_bytes(listener), 0);
}

#[test]
fn a_play_that_goes_on_is_fetched_in_few_requests() {
    let (mut world, listener) = near_a_holder();
    world.run(Duration::from_secs(25));
    let early = world.nodes[listener].core.stats().requests;
    world.run(Duration::from_secs(225));
    assert!(world.nodes[listener].plays[0].ended);
    assert_eq!(world.stalls(), 0);
    // The head, what is left of its unit, two units; then four at a time, which are 52 s of it.
    assert!(early <= 4, "{early} requests in 25 s");
    let late = world.nodes[listener].core.stats().requests - early;
    assert!(late <= 4, "{late} requests after {early}");
}

#[test]
fn holders_that_come_with_the_track_are_dialed_before_the_origin_is_asked() {
    let mut world = World::new();
    let track = world.publish(1, song(240));
    let (holder, listener) = (world.near(), world.near());
    world.give(holder, track);
    world.play(listener, track);
    world.run(Duration::from_secs(250));
    assert!(world.nodes[listener].plays[0].ended);
    assert_eq!(
        world.origin_bytes(listener),
        0,
        "{:?}",
        world.nodes[listener].bytes
    );
    assert!(world.start_latency(listener, 0) <= Duration::from_millis(30));
}

#[test]
fn far_holders_are_spared_the_head_but_serve_the_rest() {
    let mut world = World::new();
    let track = world.publish(1, song(240));
    let holder = world.node(NodeConfig::antiphon(), Duration::from_millis(60), 2_500_000);
    let listener = world.near();
    world.give(holder, track);
    world.play(listener, track);
    world.run(Duration::from_secs(250));
    assert!(world.nodes[listener].plays[0].ended);
    assert_eq!(world.stalls(), 0);
    // The wait for the dial, then the origin's round trip.
    assert!(world.start_latency(listener, 0) <= Duration::from_millis(65));
    let share = world.origin_bytes(listener) * 100 / (240 * 20_000);
    assert!(share <= 3, "{share} % from the origin");
}

#[test]
fn eight_listeners_take_at_most_three_percent_from_the_origin() {
    let mut world = World::new();
    let tracks: Vec<_> = (0..6).map(|key| world.publish(key, song(120))).collect();
    let listeners: Vec<_> = (0..8).map(|_| world.near()).collect();
    // One after the other, two seconds apart, each in another order; the first play of each
    // track has no other holder.
    let mut first_copies = 0;
    for round in 0..tracks.len() {
        for (at, listener) in listeners.iter().enumerate() {
            let track = tracks[(at + round) % tracks.len()];
            let fresh = !world.nodes.iter().any(|node| node.core.is_complete(track));
            let before = world.origin_bytes(*listener);
            world.play(*listener, track);
            world.run(Duration::from_secs(2));
            if fresh {
                first_copies += world.origin_bytes(*listener) - before;
            }
        }
        world.run(Duration::from_secs(125));
    }
    let origin: u64 = listeners.iter().map(|at| world.origin_bytes(*at)).sum();
    let peers: u64 = listeners.iter().map(|at| world.peer_bytes(*at)).sum();
    let song_bytes = 120 * 20_000;
    let unavoidable = tracks.len() as u64 * song_bytes;
    let avoidable = origin.saturating_sub(unavoidable);
    assert!(first_copies <= origin);
    assert!(
        avoidable * 100 <= 3 * (peers + avoidable),
        "{avoidable} avoidable bytes of {origin} from the origin, {peers} from peers"
    );
    assert_eq!(world.stalls(), 0);
    let mut latencies: Vec<Duration> = Vec::new();
    for listener in listeners {
        let plays = world.nodes[listener].plays.len();
        latencies.extend((0..plays).map(|play| world.start_latency(listener, play)));
    }
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    assert!(at(50) <= Duration::from_millis(30), "median {:?}", at(50));
    assert!(at(95) <= Duration::from_millis(100), "95th {:?}", at(95));
}

#[test]
fn the_next_track_is_ready_before_it_is_played() {
    let mut world = World::new();
    let (first, second) = (world.publish(1, song(60)), world.publish(2, song(60)));
    let (holder, listener) = (world.near(), world.near());
    world.give(holder, first);
    world.give(holder, second);
    world.play(listener, first);
    world.expect(listener, second, 800);
    world.run(Duration::from_secs(62));
    world.play(listener, second);
    assert_eq!(world.start_latency(listener, 1), Duration::ZERO);
    world.run(Duration::from_secs(62));
    assert_eq!(world.stalls(), 0);
    assert_eq!(world.origin_bytes(listener), 0);
}

#[test]
fn a_next_head_nobody_holds_comes_from_the_origin_in_the_last_ten_seconds() {
    let mut world = World::new();
    let (first, second) = (world.publish(1, song(60)), world.publish(2, song(60)));
    let (holder, listener) = (world.near(), world.near());
    world.give(holder, first);
    world.play(listener, first);
    world.expect(listener, second, 800);
    world.run(Duration::from_secs(45));
    assert_eq!(world.origin_bytes(listener), 0);
    world.run(Duration::from_secs(17));
    assert_eq!(world.origin_bytes(listener), 65_536);
    world.play(listener, second);
    assert_eq!(world.start_latency(listener, 1), Duration::ZERO);
}

#[test]
fn a_next_track_that_somebody_has_by_now_does_not_come_from_the_origin() {
    let mut world = World::new();
    let (first, second) = (world.publish(1, song(60)), world.publish(2, song(60)));
    let (holder, other, listener) = (world.near(), world.near(), world.near());
    world.give(holder, first);
    world.play(listener, first);
    world.expect(listener, second, 800);
    // The tracker is asked at once, after 5, 15 and 35 s, and knows nobody yet.
    world.run(Duration::from_secs(40));
    world.give(other, second);
    world.run(Duration::from_secs(22));
    world.play(listener, second);
    world.run(Duration::from_secs(62));
    assert_eq!(world.origin_bytes(listener), 0);
    assert_eq!(world.start_latency(listener, 1), Duration::ZERO);
}

#[test]
fn a_next_track_without_any_data_is_looked_up_again_when_its_turn_comes() {
    let mut world = World::new();
    let (first, second) = (world.publish(1, song(60)), world.publish(2, song(60)));
    let (other, listener) = (world.near(), world.near());
    world.play(listener, first);
    world.expect(listener, second, 800);
    world.run(Duration::from_secs(25));
    world.give(other, second);
    // A skip: the license is there, so no holders come with it.
    let before = world.origin_bytes(listener);
    world.play_without_holders(listener, second);
    world.run(Duration::from_secs(62));
    let taken = world.origin_bytes(listener) - before;
    assert!(taken <= 65_536, "{taken} bytes, more than a head");
    assert_eq!(world.stalls(), 0);
}

#[test]
fn nobody_told_just_before_the_play_is_not_waited_for_again() {
    let mut world = World::new();
    let track = world.publish(1, song(60));
    let listener = world.near();
    let near = TrackerEvent::Rtt(Duration::from_millis(1));
    world.input(listener, Input::Tracker(near));
    world.introduce(listener, track);
    let told = TrackerEvent::Holders {
        rendition: track,
        holders: Vec::new(),
    };
    world.input(listener, Input::Tracker(told));
    world.play_without_holders(listener, track);
    world.run(Duration::from_secs(5));
    let latency = world.start_latency(listener, 0);
    assert!(latency <= Duration::from_millis(25), "{latency:?}");
}

#[test]
fn a_holder_is_asked_for_spans_and_not_for_each_chunk_played() {
    let mut world = World::new();
    // At this rate a unit of an extent is 27 s, more than the window holds at first.
    let mut slow = song(144);
    slow.bit_rate = antiphon_protocol::BitRate(96_000);
    let track = world.publish(1, slow);
    let (holder, listener) = (world.near(), world.near());
    world.give(holder, track);
    world.connect(listener, holder);
    world.play(listener, track);
    // While the window is small.
    world.run(Duration::from_secs(30));
    let requests = u64::from(world.nodes[listener].core.stats().requests);
    let each = world.peer_bytes(listener) / requests;
    assert!(each >= 60_000, "{requests} requests of {each} bytes");
}

#[test]
fn a_seed_pins_tracks_and_gets_its_first_copy_from_the_origin() {
    let mut world = World::new();
    let tracks: Vec<_> = (0..5).map(|key| world.publish(key, song(200))).collect();
    let seed = world.near();
    for track in &tracks {
        world.introduce(seed, *track);
        world.command(seed, Command::Pin { rendition: *track });
    }
    world.run(Duration::from_secs(60));
    assert!(
        tracks
            .iter()
            .all(|track| world.nodes[seed].core.is_complete(*track))
    );
    let listener = world.near();
    world.play(listener, tracks[3]);
    world.run(Duration::from_secs(210));
    assert_eq!(
        world.origin_bytes(listener),
        0,
        "the seed had announced itself"
    );
}

#[test]
fn listeners_of_one_new_track_help_each_other_while_they_still_fetch_it() {
    let mut world = World::new();
    let track = world.publish(1, song(240));
    let listeners: Vec<_> = (0..6).map(|_| world.near()).collect();
    for listener in &listeners {
        world.play(*listener, track);
        world.run(Duration::from_secs(15));
    }
    world.run(Duration::from_secs(300));
    assert_eq!(world.stalls(), 0);
    let origin: u64 = listeners.iter().map(|at| world.origin_bytes(*at)).sum();
    let share = origin * 100 / (6 * 240 * 20_000);
    assert!(
        share <= 35,
        "{share} % from the origin, one of six copies must be"
    );
}

#[test]
fn requests_to_the_origin_are_few_and_large() {
    let mut world = World::new();
    let track = world.publish(1, song(240));
    let listener = world.near();
    world.play(listener, track);
    world.run(Duration::from_secs(260));
    // The published design's mean server request was 440 kB.
    let requests = u64::from(world.nodes[listener].core.stats().requests);
    assert!(240 * 20_000 / requests >= 200_000, "{requests} requests");
}

#[test]
fn a_jump_is_heard_soon_and_drops_what_lies_behind() {
    let mut world = World::new();
    let track = world.publish(1, song(600));
    let slow = world.node(NodeConfig::antiphon(), Duration::from_millis(1), 60_000);
    let listener = world.near();
    world.give(slow, track);
    world.play(listener, track);
    world.run(Duration::from_secs(20));
    world.seek(listener, 500);
    world.run(Duration::from_secs(20));
    assert!(world.start_latency(listener, 1) <= Duration::from_millis(60));
    world.run(Duration::from_secs(200));
    assert!(world.nodes[listener].plays[1].ended);
    assert_eq!(world.stalls(), 0);
}

#[test]
fn pinning_many_tracks_keeps_every_table_small() {
    let mut world = World::new();
    let seed = world.near();
    for key in 0..60 {
        let track = world.publish(key, song(5));
        world.introduce(seed, track);
        world.command(seed, Command::Pin { rendition: track });
    }
    world.run(Duration::from_secs(60));
    assert_eq!(world.nodes[seed].core.snapshot().renditions, 60);
    assert!((0..60).all(|key| {
        world.nodes[seed]
            .core
            .is_complete(antiphon_swarm::RenditionKey(key))
    }));
}
