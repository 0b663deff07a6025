//! The continuity invariant under random faults: while the origin (one way at least) can deliver,
//! no play that has 5 s buffered stalls, whatever peers and tracker do.

use antiphon_swarm::{Duration, NodeConfig};
use proptest::prelude::*;

use crate::pair::{Manner, Route, World, song};

#[derive(Clone, Debug)]
struct Fault {
    at_millis: u64,
    what: u8,
    whom: usize,
}

fn fault() -> impl Strategy<Value = Fault> {
    (0_u64..120_000, 0_u8..8, 0_usize..6).prop_map(|(at_millis, what, whom)| Fault {
        at_millis,
        what,
        whom,
    })
}

fn strike(world: &mut World, fault: &Fault) {
    match fault.what {
        0 => world.nodes[fault.whom].manner = Manner::Silent,
        1 => world.nodes[fault.whom].manner = Manner::Liar,
        2 => world.nodes[fault.whom].manner = Manner::Corrupt,
        3 => world.kill(fault.whom),
        4 => world.tracker_up = !world.tracker_up,
        5 => (world.quic, world.http) = (Route::Silent, Route::Up),
        6 => (world.quic, world.http) = (Route::Up, Route::Refusing),
        _ => world.nodes[fault.whom].uplink.bytes_per_second /= 20,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_fault_of_peers_or_tracker_or_one_way_to_the_origin_is_heard(
        mut faults in proptest::collection::vec(fault(), 0..8),
        latencies in proptest::collection::vec(1_u64..80, 6),
        rates in proptest::collection::vec(5_000_u64..3_000_000, 6),
    ) {
        faults.sort_by_key(|fault| fault.at_millis);
        let mut world = World::new();
        let track = world.publish(1, song(120));
        for (latency, rate) in latencies.iter().zip(&rates) {
            let latency = Duration::from_millis(*latency);
            let node = world.node(NodeConfig::antiphon(), latency, *rate);
            world.give(node, track);
        }
        let listener = world.near();
        // Some peers are bad from the start.
        let (before, during): (Vec<_>, Vec<_>) =
            faults.iter().partition(|fault| fault.at_millis < 40_000);
        before.iter().for_each(|fault| strike(&mut world, fault));
        world.play(listener, track);
        let start = world.now;
        for fault in during {
            world.run_until(start + Duration::from_millis(fault.at_millis));
            strike(&mut world, fault);
        }
        world.run_until(start + Duration::from_secs(140));
        let play = world.nodes[listener].plays[0];
        let latency = world.start_latency(listener, 0);
        prop_assert!(latency <= Duration::from_secs(1), "start took {latency:?}");
        prop_assert_eq!(play.stalls, 0);
        prop_assert!(play.ended);
        let wasted = world.nodes[listener].core.stats().wasted_bytes;
        prop_assert!(wasted < 120 * 20_000 / 2, "{wasted} bytes came twice");
    }
}
