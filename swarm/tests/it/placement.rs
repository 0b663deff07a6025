//! Copies that are kept for others.

use antiphon_protocol::ByteCount;
use antiphon_swarm::node::input::{Budget, Command, Keep};
use antiphon_swarm::{Duration, NodeConfig, RenditionKey};

use crate::pair::{World, song};

const HALF_AN_HOUR: Duration = Duration::from_secs(1_800);

#[test]
fn what_one_plays_and_one_holds_is_copied_from_them_to_a_third() {
    let mut world = World::new();
    let track = world.publish(1, song(60));
    let (holder, listener, idle) = (world.near(), world.near(), world.near());
    world.registry.expect_asks(track, 1);
    world.give(holder, track);
    world.play(listener, track);
    world.run(HALF_AN_HOUR);
    assert!(world.nodes[idle].core.is_complete(track));
    assert_eq!(world.origin_bytes(idle), 0);
}

#[test]
fn what_nobody_has_is_taken_from_the_origin_only_if_many_asked_for_it() {
    let mut world = World::new();
    let (few, many) = (world.publish(1, song(60)), world.publish(2, song(60)));
    world.registry.expect_asks(few, 15);
    world.registry.expect_asks(many, 16);
    let (one, two) = (world.near(), world.near());
    world.run(HALF_AN_HOUR);
    let holds = |node: usize, track| world.nodes[node].core.is_complete(track);
    assert!(holds(one, many) != holds(two, many), "one of them keeps it");
    assert!(!holds(one, few) && !holds(two, few));
    // By now it has a holder, so a second copy comes from there.
    let before = world.origin_bytes(one) + world.origin_bytes(two);
    // Whom nothing was offered asks more seldom.
    for _ in 0..6 {
        world.run(HALF_AN_HOUR);
    }
    assert!(world.nodes[one].core.is_complete(many) && world.nodes[two].core.is_complete(many));
    assert_eq!(world.origin_bytes(one) + world.origin_bytes(two), before);
}

#[test]
fn copies_for_others_take_their_share_of_the_disk_and_stay_when_the_cache_is_full() {
    let mut world = World::new();
    let node = world.near();
    let placed = world.publish(1, song(60));
    let too_much = world.publish(2, song(60));
    let budget = Budget {
        disk: ByteCount(40_000_000),
        ..NodeConfig::antiphon().budget
    };
    world.command(node, Command::Budget(budget));
    for track in [placed, too_much] {
        world.introduce(node, track);
        world.command(node, Command::Place { rendition: track });
    }
    world.run(Duration::from_secs(60));
    assert!(world.nodes[node].core.is_complete(placed));
    assert!(
        !world.nodes[node].core.is_complete(too_much),
        "2 MB are the share"
    );
    // Everything else is newer, and too much.
    for key in 10..60 {
        world.run(Duration::from_secs(10));
        let track = world.publish(key, song(60));
        world.give(node, track);
    }
    assert!(world.nodes[node].core.is_complete(placed));
    assert!(
        !world.nodes[node].core.is_complete(RenditionKey(10)),
        "gave way"
    );
}

#[test]
fn who_does_not_upload_keeps_nothing_for_others() {
    let mut world = World::new();
    let track = world.publish(1, song(60));
    world.registry.expect_asks(track, 9);
    let mut config = NodeConfig::antiphon();
    config.budget.uploads = false;
    let node = world.node(config, Duration::from_millis(1), 6_250_000);
    world.run(HALF_AN_HOUR);
    assert!(!world.nodes[node].core.is_complete(track));
}

#[test]
fn a_copy_that_others_use_is_kept_and_one_that_nobody_uses_becomes_ordinary() {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut world = World::new();
    let (used, unused) = (world.publish(1, song(60)), world.publish(2, song(60)));
    let node = world.near();
    for track in [used, unused] {
        world.introduce(node, track);
        world.command(node, Command::Place { rendition: track });
    }
    world.run(DAY.saturating_mul(5));
    assert_eq!(world.nodes[node].keeps[&used], Keep::Placed);
    let listener = world.near();
    world.play(listener, used);
    world.run(DAY.saturating_mul(4));
    assert!(world.peer_bytes(listener) > 0);
    assert_eq!(world.nodes[node].keeps[&used], Keep::Placed);
    assert_eq!(world.nodes[node].keeps[&unused], Keep::Cached);
    assert!(
        world.nodes[node].core.is_complete(unused),
        "until the room is needed"
    );
}
