//! The same seed and inputs give byte-equal outputs.

use antiphon_swarm::node::input::{Command, Expected};
use antiphon_swarm::{Duration, NodeConfig};

use crate::pair::{Manner, World, song};

fn trace() -> Vec<String> {
    let mut world = World::new();
    world.keep_log = true;
    let tracks: Vec<_> = (0..4).map(|key| world.publish(key, song(90))).collect();
    for at in 0..6_u64 {
        let latency = Duration::from_millis(at * 7);
        let node = world.node(NodeConfig::antiphon(), latency, 200_000 * (at + 1));
        if at < 3 {
            tracks.iter().for_each(|track| world.give(node, *track));
        }
    }
    world.nodes[1].manner = Manner::Corrupt;
    for (at, track) in tracks.iter().enumerate() {
        world.play(3 + at % 3, *track);
        let next = tracks[(at + 1) % tracks.len()];
        world.introduce(3 + at % 3, next);
        let next = vec![Expected {
            rendition: next,
            chance_permille: 600,
        }];
        world.command(3 + at % 3, Command::Expect { next });
        world.run(Duration::from_secs(20));
    }
    world.kill(2);
    world.run(Duration::from_secs(60));
    world.log
}

#[test]
fn two_runs_with_one_seed_are_equal_to_the_byte() {
    let (first, second) = (trace(), trace());
    assert!(first.len() > 1_000, "{} lines are no test", first.len());
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(a, b);
    }
    assert_eq!(first.len(), second.len());
}
