//! How links are divided among flows: progressive filling to weighted max-min fairness.
//!
//! Foreground flows fill first; background ones take what is left, as a scavenging congestion
//! control does. The three allocators of [`Allocator`] differ in how far the filling reaches.

use crate::net::route::Route;

/// How far one change reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocator {
    /// Each flow gets the smallest of its parts of its links by weight. Cheap; never above max-min.
    Share,
    /// Max-min among the flows within two links of the change; others keep their rates, and
    /// increases under 1 % are not carried out.
    MaxMinLocal,
    /// Exact max-min of the whole connected component.
    MaxMin,
}

/// A flow as the filling sees it.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// Its links, numbered by their place in the list of capacities.
    pub route: Route,
    /// What it can use at most, bytes a second.
    pub cap: f64,
    /// Its part of a full link against that of the others there; above zero.
    pub weight: f64,
    /// Whether it yields to all others.
    pub background: bool,
}

impl Demand {
    fn links(&self) -> impl Iterator<Item = usize> + '_ {
        self.route.links().iter().map(|link| link.0 as usize)
    }
}

/// Max-min fair rates of `flows` over links of these capacities. Exact up to rounding.
#[must_use]
pub fn fill(capacities: &[f64], flows: &[Demand]) -> Vec<f64> {
    let mut left = capacities.to_vec();
    let mut rates = vec![0.0; flows.len()];
    for background in [false, true] {
        fill_class(&mut left, flows, background, &mut rates);
    }
    rates
}

fn fill_class(left: &mut [f64], flows: &[Demand], background: bool, rates: &mut [f64]) {
    let mut open: Vec<usize> = (0..flows.len())
        .filter(|at| flows[*at].background == background)
        .collect();
    let mut users = vec![0.0; left.len()];
    for at in &open {
        for link in flows[*at].links() {
            users[link] += flows[*at].weight;
        }
    }
    while !open.is_empty() {
        // Rates for each unit of weight. Only links with open flows are looked at.
        let part = |link: usize| left[link].max(0.0) / users[link];
        let of = |at: usize| {
            let cap = flows[at].cap / flows[at].weight;
            flows[at].links().map(part).fold(cap, f64::min)
        };
        let level = open.iter().map(|at| of(*at)).fold(f64::INFINITY, f64::min);
        // All flows at the level are settled in this round: those of a full link together.
        let settled: Vec<usize> = open
            .iter()
            .copied()
            .filter(|at| of(*at) <= level * (1.0 + 1e-12))
            .collect();
        open.retain(|at| !settled.contains(at));
        for at in settled {
            let rate = level * flows[at].weight;
            rates[at] = rate;
            for link in flows[at].links() {
                left[link] -= rate;
                users[link] -= flows[at].weight;
            }
        }
    }
}

/// The definition of max-min fairness: nobody over capacity, and each flow is held by its own cap or
/// by a full link on which no flow of its class gets more for its weight.
#[must_use]
pub fn is_max_min(capacities: &[f64], flows: &[Demand], rates: &[f64]) -> bool {
    let mut loads = vec![0.0; capacities.len()];
    for (flow, rate) in flows.iter().zip(rates) {
        for link in flow.links() {
            loads[link] += rate;
        }
    }
    let within = |(load, capacity): (&f64, &f64)| *load <= capacity * (1.0 + 1e-9);
    let held_by = |flow: &Demand, rate: f64, link: usize| {
        let full = loads[link] >= capacities[link] * (1.0 - 1e-9);
        let mut others = flows.iter().zip(rates).filter(|(other, _)| {
            other.background == flow.background && other.links().any(|theirs| theirs == link)
        });
        let level = rate / flow.weight;
        full && others.all(|(other, rate)| rate / other.weight <= level * (1.0 + 1e-9))
    };
    let settled = |(flow, rate): (&Demand, &f64)| {
        let at_cap = *rate >= flow.cap * (1.0 - 1e-9);
        at_cap || flow.links().any(|link| held_by(flow, *rate, link))
    };
    loads.iter().zip(capacities).all(within) && flows.iter().zip(rates).all(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::random::Draws;
    use crate::net::fluid::LinkId;

    #[test]
    fn rates_are_max_min_fair_on_random_nets() {
        for seed in 0..2_000 {
            let mut draws = Draws::of(seed, 0, 0);
            let links = 2 + draws.below(58) as usize;
            let capacities: Vec<f64> = (0..links).map(|_| 1.0 + 99.0 * draws.unit()).collect();
            let flows: Vec<Demand> = (0..1 + draws.below(40))
                .map(|_| {
                    let link = |draws: &mut Draws| LinkId(draws.below(links as u64) as u32);
                    let mut route = Route::direct(link(&mut draws), link(&mut draws));
                    for _ in 0..draws.below(6) {
                        route = route.and(link(&mut draws));
                    }
                    let cap = if draws.chance(0.3) {
                        30.0 * draws.unit()
                    } else {
                        f64::INFINITY
                    };
                    let background = draws.chance(0.3);
                    Demand {
                        route,
                        cap,
                        weight: 0.05 + draws.unit(),
                        background,
                    }
                })
                .collect();
            assert!(is_max_min(&capacities, &flows, &fill(&capacities, &flows)));
        }
    }

    #[test]
    fn background_flows_get_what_is_left() {
        let flow = |cap, background| Demand {
            route: Route::direct(LinkId(0), LinkId(1)),
            cap,
            weight: 1.0,
            background,
        };
        let rates = fill(
            &[10.0, 100.0],
            &[flow(4.0, false), flow(f64::INFINITY, true)],
        );
        assert_eq!(rates, [4.0, 6.0]);
        let rates = fill(
            &[10.0, 100.0],
            &[flow(f64::INFINITY, false), flow(5.0, true)],
        );
        assert_eq!(rates, [10.0, 0.0]);
    }
}
