//! Single flows, by hand. How exact the rates are on random nets: [`crate::net::accuracy`].

use super::*;

fn endless(up: LinkId, down: LinkId) -> Demand {
    Demand {
        route: Route::direct(up, down),
        cap: 1e9,
        weight: 1.0,
        background: false,
    }
}

#[test]
fn a_full_link_is_shared_by_weight() {
    for allocator in [Allocator::Share, Allocator::MaxMinLocal, Allocator::MaxMin] {
        let mut network = Network::new(allocator);
        let (up, down) = (network.add_link(1_000.0), network.add_link(10_000.0));
        let far = network.start(0, endless(up, down));
        let near = Demand {
            weight: 3.0,
            ..endless(up, down)
        };
        let near = network.start(0, near);
        assert_eq!((network.rate(far), network.rate(near)), (250.0, 750.0));
    }
}

#[test]
fn bytes_are_conserved_while_rates_change() {
    let mut network = Network::new(Allocator::MaxMin);
    let (up, down) = (network.add_link(1_000.0), network.add_link(10_000.0));
    let first = network.start(0, endless(up, down));
    let second = network.start(1_000_000, endless(up, down));
    assert_eq!(network.time_of(1_000_000, first, 2_000), Some(3_000_000));
    assert_eq!(network.stop(3_000_000, second), 1_000);
    assert_eq!(network.time_of(3_000_000, first, 2_500), Some(3_500_000));
    assert_eq!(network.stop(3_500_000, first), 2_500);
}

#[test]
fn a_flow_between_equal_links_gets_their_capacity() {
    for allocator in [Allocator::Share, Allocator::MaxMinLocal, Allocator::MaxMin] {
        let mut network = Network::new(allocator);
        let (up, down) = (network.add_link(1_000.0), network.add_link(1_000.0));
        let flow = network.start(0, endless(up, down));
        assert_eq!(network.rate(flow), 1_000.0);
    }
}

#[test]
fn what_has_gone_is_known_at_any_time() {
    let mut network = Network::new(Allocator::MaxMin);
    let (up, down) = (network.add_link(1_000.0), network.add_link(10_000.0));
    let first = network.start(1_000_000, endless(up, down));
    let second = network.start(3_000_000, endless(up, down));
    let gone = |network: &Network, at| network.gone(5_000_000, first, 1_000_000, at);
    // Two seconds alone, then half of the line.
    let at = [1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000];
    assert_eq!(
        at.map(|at| gone(&network, at)),
        [0, 1_000, 2_000, 2_500, 3_000]
    );
    assert_eq!(gone(&network, 9_000_000), 3_000, "not more than by now");
    assert_eq!(gone(&network, 0), 0);
    assert_eq!(network.stop(5_000_000, second), 1_000);
    assert_eq!(network.stop(5_000_000, first), gone(&network, 5_000_000));
}
