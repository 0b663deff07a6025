//! The allocators on random nets that change, against the exact solution of the whole net.

use super::*;
use crate::engine::random::Draws;

/// A random star net as the simulator has them: flows from up-links to down-links, with a few
/// origins of large capacity.
struct Net {
    network: Network,
    ends: Vec<(FlowId, Route, f64, bool)>,
    capacities: Vec<f64>,
    ups: u64,
    /// Links behind the lines, which some flows cross too.
    shared: u64,
}

impl Net {
    fn new(allocator: Allocator, draws: &mut Draws) -> Self {
        Self::with_shared(allocator, draws, 0)
    }

    fn with_shared(allocator: Allocator, draws: &mut Draws, shared: u64) -> Self {
        let mut network = Network::new(allocator);
        let nodes = 4 + draws.below(26);
        let mut capacities = Vec::new();
        for _ in 0..nodes {
            capacities.push(draws.log_normal(1e6, 1.0));
        }
        for _ in 0..nodes {
            capacities.push(draws.log_normal(5e6, 1.0));
        }
        for _ in 0..shared {
            capacities.push(draws.log_normal(3e6, 1.0));
        }
        for capacity in &capacities {
            network.add_link(*capacity);
        }
        Self {
            network,
            ends: Vec::new(),
            capacities,
            ups: nodes,
            shared,
        }
    }

    fn change(&mut self, now: u64, draws: &mut Draws) {
        if self.ends.len() > 40 || !self.ends.is_empty() && draws.chance(0.4) {
            let at = draws.below(self.ends.len() as u64) as usize;
            let (flow, ..) = self.ends.remove(at);
            self.network.stop(now, flow);
        } else {
            let from = LinkId(draws.below(self.ups) as u32);
            let to = LinkId((self.ups + draws.below(self.ups)) as u32);
            let cap = if draws.chance(0.5) {
                draws.log_normal(2e6, 1.0)
            } else {
                1e12
            };
            let background = draws.chance(0.2);
            let mut route = Route::direct(from, to);
            for _ in 0..draws.below(6).min(self.shared) {
                let link = 2 * self.ups + draws.below(self.shared);
                route = route.and(LinkId(link as u32));
            }
            let flow = self.network.start(now, route, cap, background);
            self.ends.push((flow, route, cap, background));
        }
    }

    fn exact(&self) -> Vec<f64> {
        let demands = self.ends.iter().map(|(_, route, cap, background)| Demand {
            route: *route,
            cap: *cap,
            background: *background,
        });
        fill(&self.capacities, &demands.collect::<Vec<_>>())
    }

    fn rates(&self) -> Vec<f64> {
        self.ends
            .iter()
            .map(|(flow, ..)| self.network.rate(*flow))
            .collect()
    }

    fn assert_within_capacity(&self) {
        for (link, capacity) in self.capacities.iter().enumerate() {
            let load = self.network.load(LinkId(link as u32));
            assert!(
                load <= capacity * (1.0 + 1e-9),
                "{load} on a link of {capacity}"
            );
        }
    }
}

/// Relative errors of every rate after every change, in order of size.
fn errors(allocator: Allocator, nets: u64) -> Vec<f64> {
    let mut errors = Vec::new();
    for seed in 0..nets {
        let mut draws = Draws::of(seed, 0, 0);
        let mut net = Net::new(allocator, &mut draws);
        for step in 0..80 {
            net.change(step * 1_000, &mut draws);
            net.assert_within_capacity();
            for (rate, exact) in net.rates().into_iter().zip(net.exact()) {
                if exact > 1.0 {
                    errors.push((rate - exact).abs() / exact);
                }
            }
        }
    }
    errors.sort_by(f64::total_cmp);
    errors
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[test]
fn maxmin_is_exact_after_every_change() {
    let errors = errors(Allocator::MaxMin, 100);
    assert!(
        percentile(&errors, 100) < 1e-6,
        "{}",
        percentile(&errors, 100)
    );
}

#[test]
fn maxmin_local_is_within_its_bounds_and_never_over_capacity() {
    let errors = errors(Allocator::MaxMinLocal, 200);
    let (median, p99) = (percentile(&errors, 50), percentile(&errors, 99));
    assert!(median <= 0.02, "median {median}");
    assert!(p99 <= 0.1, "99th percentile {p99}");
}

#[test]
fn share_is_never_over_capacity_and_never_above_its_equal_part() {
    let errors = errors(Allocator::Share, 50);
    assert!(percentile(&errors, 50) < 0.5);
}

#[test]
fn bytes_are_conserved_while_rates_change() {
    let mut network = Network::new(Allocator::MaxMin);
    let (up, down) = (network.add_link(1_000.0), network.add_link(10_000.0));
    let first = network.start(0, Route::direct(up, down), 1e9, false);
    let second = network.start(1_000_000, Route::direct(up, down), 1e9, false);
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
        let flow = network.start(0, Route::direct(up, down), 1e9, false);
        assert_eq!(network.rate(flow), 1_000.0);
    }
}

#[test]
fn links_that_several_share_are_never_over_capacity_and_exactly_divided() {
    for seed in 0..60 {
        for allocator in [Allocator::Share, Allocator::MaxMinLocal, Allocator::MaxMin] {
            let mut draws = Draws::of(seed, 1, 0);
            let mut net = Net::with_shared(allocator, &mut draws, 6);
            for step in 0..60 {
                net.change(step * 1_000, &mut draws);
                net.assert_within_capacity();
                if allocator == Allocator::MaxMin {
                    for (rate, exact) in net.rates().into_iter().zip(net.exact()) {
                        assert!(
                            (rate - exact).abs() <= 1e-6 * exact.max(1.0),
                            "{rate} {exact}"
                        );
                    }
                }
            }
        }
    }
}
