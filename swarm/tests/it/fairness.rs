//! Whom a holder serves, and at what cost to itself.

use antiphon_protocol::{BitRate, ByteCount};
use antiphon_swarm::node::input::{Budget, Command};
use antiphon_swarm::{Duration, NodeConfig};

use crate::pair::{World, song};

#[test]
fn every_one_of_ten_listeners_gets_something_of_a_busy_holder() {
    let mut world = World::new();
    let track = world.publish(1, song(300));
    let holder = world.node(
        NodeConfig::antiphon(),
        Duration::from_micros(500),
        1_500_000,
    );
    world.give(holder, track);
    let listeners: Vec<_> = (0..10).map(|_| world.near()).collect();
    for listener in &listeners {
        // They would serve each other otherwise.
        let budget = Budget {
            upload: BitRate(0),
            disk: ByteCount(1 << 30),
            uploads: false,
        };
        world.command(*listener, Command::Budget(budget));
        world.play(*listener, track);
    }
    world.run(Duration::from_secs(120));
    let mut got: Vec<u64> = listeners.iter().map(|at| world.peer_bytes(*at)).collect();
    got.sort_unstable();
    assert!(got[0] > 0, "{got:?}");
    assert!(got[9] <= 6 * got[4].max(1), "one takes most: {got:?}");
    assert_eq!(world.stalls(), 0);
}

#[test]
fn uploads_stay_within_the_budget() {
    let mut world = World::new();
    let tracks: Vec<_> = (0..6).map(|key| world.publish(key, song(300))).collect();
    let holder = world.near();
    let rate = BitRate(2_000_000);
    let budget = Budget {
        upload: rate,
        disk: ByteCount(1 << 30),
        uploads: true,
    };
    world.command(holder, Command::Budget(budget));
    for track in &tracks {
        world.give(holder, *track);
        let listener = world.near();
        world.play(listener, *track);
    }
    let before = world.nodes[holder].uploaded;
    world.run(Duration::from_secs(60));
    let sent = world.nodes[holder].uploaded - before;
    // The rate, and the burst of one largest span.
    assert!(sent <= 60 * 250_000 + (1 << 20), "{sent} bytes in 60 s");
    assert!(sent > 3_000_000, "only {sent} bytes were served");
    assert_eq!(world.stalls(), 0);
}

#[test]
fn who_does_not_upload_is_not_asked_and_serves_nobody() {
    let mut world = World::new();
    let track = world.publish(1, song(60));
    let (holder, listener) = (world.near(), world.near());
    let budget = Budget {
        upload: BitRate(0),
        disk: ByteCount(1 << 30),
        uploads: false,
    };
    world.command(holder, Command::Budget(budget));
    world.give(holder, track);
    world.connect(listener, holder);
    world.play(listener, track);
    world.run(Duration::from_secs(70));
    assert_eq!(world.nodes[holder].uploaded, 0);
    assert_eq!(world.stalls(), 0);
}

#[test]
fn the_cache_keeps_within_its_budget_and_drops_what_was_unused_longest() {
    let mut world = World::new();
    let tracks: Vec<_> = (0..4).map(|key| world.publish(key, song(60))).collect();
    let node = world.near();
    let disk = ByteCount(3 * 60 * 20_000);
    let budget = Budget {
        upload: BitRate(1_000_000),
        disk,
        uploads: true,
    };
    world.command(node, Command::Budget(budget));
    for track in &tracks {
        world.play(node, *track);
        world.run(Duration::from_secs(70));
    }
    let kept: Vec<bool> = tracks
        .iter()
        .map(|track| world.nodes[node].core.is_complete(*track))
        .collect();
    assert_eq!(kept, [false, true, true, true]);
    assert!(world.nodes[node].core.held_bytes() <= disk);
    world.run(Duration::from_secs(5));
    let picks = world
        .registry
        .lookup(world.now, antiphon_swarm::PeerKey(99), tracks[0], 9);
    assert!(picks.is_empty(), "the tracker was told");
}

#[test]
fn origin_only_uses_no_peer() {
    let mut world = World::new();
    let track = world.publish(1, song(60));
    let holder = world.near();
    world.give(holder, track);
    let config = NodeConfig::origin_only();
    let listener = world.node(config, Duration::from_micros(500), 6_250_000);
    world.play(listener, track);
    world.run(Duration::from_secs(70));
    assert_eq!(world.peer_bytes(listener), 0);
    assert!(world.nodes[listener].plays[0].ended && world.stalls() == 0);
    assert_eq!(world.nodes[listener].core.stats().dials, 0);
}

#[test]
fn the_published_policy_takes_its_heads_from_the_origin() {
    let mut world = World::new();
    let track = world.publish(1, song(180));
    let holder = world.near();
    world.give(holder, track);
    let config = NodeConfig::spotify_2010();
    let listener = world.node(config, Duration::from_micros(500), 6_250_000);
    world.play(listener, track);
    world.run(Duration::from_secs(200));
    let seconds = world.origin_bytes(listener) / 20_000;
    assert!((10..=25).contains(&seconds), "{seconds} s from the origin");
    assert!(world.nodes[listener].plays[0].ended && world.stalls() == 0);
}
