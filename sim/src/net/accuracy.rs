//! How exact the allocators are: random nets whose flows come and go, against the exact solution of
//! the whole net.
//!
//! A library function, so that the tests and the benchmark judge by the same nets.

use serde_json::{Value, json};

use crate::engine::random::Draws;
use crate::net::allocate::{Allocator, Demand, fill, is_max_min};
use crate::net::fluid::{FlowId, LinkId, Network};
use crate::net::path;
use crate::net::route::Route;

/// Changes of one net.
const STEPS: u64 = 80;

/// A net is judged after every so many changes.
const JUDGE_EVERY: u64 = 10;

/// Rates below this, in bytes a second, are not judged by their relative error.
const RATE_MIN: f64 = 1.0;

/// A random net as the simulator has them: flows from up-links to down-links, some of them over
/// links that several share.
#[derive(Debug)]
pub struct RandomNet {
    network: Network,
    flows: Vec<(FlowId, Demand)>,
    capacities: Vec<f64>,
    lines: u64,
    shared: u64,
}

impl RandomNet {
    /// Without flows, with 8 to 58 lines and `shared` links more.
    #[must_use]
    pub fn new(allocator: Allocator, draws: &mut Draws, shared: u64) -> Self {
        let mut network = Network::new(allocator);
        let lines = 4 + draws.below(26);
        // Medians of lines up, lines down and what is shared, bytes a second.
        let kinds = [(lines, 1e6), (lines, 5e6), (shared, 3e6)];
        let medians = kinds
            .into_iter()
            .flat_map(|(count, median)| (0..count).map(move |_| median));
        let capacities: Vec<f64> = medians
            .map(|median| draws.log_normal(median, 1.0))
            .collect();
        for capacity in &capacities {
            network.add_link(*capacity);
        }
        Self {
            network,
            flows: Vec::new(),
            capacities,
            lines,
            shared,
        }
    }

    /// A flow comes or goes.
    pub fn change(&mut self, now: u64, draws: &mut Draws) {
        if self.flows.len() > 40 || !self.flows.is_empty() && draws.chance(0.4) {
            let at = draws.below(self.flows.len() as u64) as usize;
            let (flow, _) = self.flows.remove(at);
            self.network.stop(now, flow);
            return;
        }
        let link = |at: u64| LinkId(at as u32);
        let from = link(draws.below(self.lines));
        let to = link(self.lines + draws.below(self.lines));
        let mut route = Route::direct(from, to);
        for _ in 0..draws.below(6).min(self.shared) {
            route = route.and(link(2 * self.lines + draws.below(self.shared)));
        }
        let cap = if draws.chance(0.5) {
            draws.log_normal(2e6, 1.0)
        } else {
            1e12
        };
        let background = draws.chance(0.2);
        let demand = Demand {
            route,
            cap,
            weight: path::weight(draws.below(300_000)),
            background,
        };
        let flow = self.network.start(now, demand);
        self.flows.push((flow, demand));
    }

    /// The exact rates, and whether they are max-min fair by definition.
    #[must_use]
    pub fn exact(&self) -> (Vec<f64>, bool) {
        let demands: Vec<Demand> = self.flows.iter().map(|(_, demand)| *demand).collect();
        let rates = fill(&self.capacities, &demands);
        let fair = is_max_min(&self.capacities, &demands, &rates);
        (rates, fair)
    }

    /// The allocator's rates.
    #[must_use]
    pub fn rates(&self) -> Vec<f64> {
        let rate = |(flow, _): &(FlowId, Demand)| self.network.rate(*flow);
        self.flows.iter().map(rate).collect()
    }

    /// Links that carry more than they can.
    #[must_use]
    pub fn overloaded(&self) -> usize {
        let links = self.capacities.iter().enumerate();
        links
            .filter(|(link, capacity)| {
                self.network.load(LinkId(*link as u32)) > *capacity * (1.0 + 1e-9)
            })
            .count()
    }
}

/// What came out over many nets.
#[derive(Clone, Copy, Debug)]
pub struct Accuracy {
    /// Nets.
    pub nets: u64,
    /// Rates compared.
    pub rates: usize,
    /// Times a link was over capacity; looked at after every change.
    pub overloaded: usize,
    /// Exact solutions that were not max-min fair by definition.
    pub unfair: usize,
    /// Relative errors of the rates: median, 99th percentile, largest.
    pub median: f64,
    /// See `median`.
    pub p99: f64,
    /// See `median`.
    pub worst: f64,
}

/// Judges an allocator on `nets` random nets of two-link flows.
#[must_use]
pub fn measure(allocator: Allocator, nets: u64) -> Accuracy {
    let (mut errors, mut overloaded, mut unfair) = (Vec::new(), 0, 0);
    for seed in 0..nets {
        let mut draws = Draws::of(seed, 0, 0);
        let mut net = RandomNet::new(allocator, &mut draws, 0);
        for step in 1..=STEPS {
            net.change(step * 1_000, &mut draws);
            overloaded += net.overloaded();
            if step % JUDGE_EVERY != 0 {
                continue;
            }
            let (exact, fair) = net.exact();
            unfair += usize::from(!fair);
            let pairs = net.rates().into_iter().zip(exact);
            let pairs = pairs.filter(|(_, exact)| *exact > RATE_MIN);
            errors.extend(pairs.map(|(rate, exact)| (rate - exact).abs() / exact));
        }
    }
    errors.sort_by(f64::total_cmp);
    let percentile = |percent: usize| {
        let at = errors.len().saturating_sub(1) * percent / 100;
        errors.get(at).copied().unwrap_or_default()
    };
    Accuracy {
        nets,
        rates: errors.len(),
        overloaded,
        unfair,
        median: percentile(50),
        p99: percentile(99),
        worst: percentile(100),
    }
}

/// All three allocators on the same nets, as one object.
#[must_use]
pub fn report(nets: u64) -> Value {
    let of = |allocator| {
        let accuracy = measure(allocator, nets);
        json!({
            "rates": accuracy.rates, "overloaded": accuracy.overloaded, "unfair": accuracy.unfair,
            "error_median": accuracy.median, "error_p99": accuracy.p99, "error_max": accuracy.worst,
        })
    };
    json!({
        "nets": nets,
        "share": of(Allocator::Share),
        "maxmin-local": of(Allocator::MaxMinLocal),
        "maxmin": of(Allocator::MaxMin),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxmin_is_exact_and_the_exact_solution_is_fair_by_definition() {
        let accuracy = measure(Allocator::MaxMin, 100);
        assert_eq!((accuracy.overloaded, accuracy.unfair), (0, 0));
        assert!(accuracy.worst < 1e-6, "{accuracy:?}");
    }

    #[test]
    fn maxmin_local_is_within_its_bounds_and_never_over_capacity() {
        let accuracy = measure(Allocator::MaxMinLocal, 400);
        assert_eq!(accuracy.overloaded, 0);
        assert!(
            accuracy.median <= 0.02 && accuracy.p99 <= 0.1,
            "{accuracy:?}"
        );
        assert!(accuracy.rates > 10_000, "{accuracy:?}");
    }

    #[test]
    fn share_is_never_over_capacity_though_far_off() {
        let accuracy = measure(Allocator::Share, 50);
        assert_eq!(accuracy.overloaded, 0);
        assert!(accuracy.median < 0.5, "{accuracy:?}");
    }

    #[test]
    fn links_that_several_share_are_never_over_capacity_and_exactly_divided() {
        for seed in 0..60 {
            for allocator in [Allocator::Share, Allocator::MaxMinLocal, Allocator::MaxMin] {
                let mut draws = Draws::of(seed, 1, 0);
                let mut net = RandomNet::new(allocator, &mut draws, 6);
                for step in 0..60 {
                    net.change(step * 1_000, &mut draws);
                    assert_eq!(net.overloaded(), 0);
                    let (exact, fair) = net.exact();
                    assert!(fair);
                    for (rate, exact) in net.rates().into_iter().zip(exact) {
                        let near = (rate - exact).abs() <= 1e-6 * exact.max(1.0);
                        assert!(near || allocator != Allocator::MaxMin, "{rate} {exact}");
                    }
                }
            }
        }
    }
}
