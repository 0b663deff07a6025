//! Flows over links, as fluid: each flow has a rate until some flow on its links comes or goes.
//!
//! Not here: when bytes are heard of at the other end ([`crate::net::path`]), what they mean.

use antiphon_swarm::memory::{bring, bring_range};
use smallvec::SmallVec;

use crate::net::allocate::{Allocator, Demand, fill};
use crate::net::route::{ROUTE_LINKS_MAX, Route};

/// Increases below this part of the present rate are not carried out by
/// [`Allocator::MaxMinLocal`]: one change would else ripple through the whole network.
const RIPPLE: f64 = 0.01;

/// Flows of a link that are brought near: mostly all. Guess.
const BROUGHT_FLOWS: usize = 3;

/// One direction of one access line, the egress of an origin, or something several people share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// A flow; ids are used again after it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(pub u32);

#[derive(Clone, Debug)]
struct Flow {
    route: Route,
    /// Where it stands in the list of each of its links.
    places: [u32; ROUTE_LINKS_MAX],
    background: bool,
    cap: f64,
    weight: f64,
    rate: f64,
    /// Bytes gone, at `since`.
    done: f64,
    since: u64,
    live: bool,
}

#[derive(Clone, Debug)]
struct Link {
    capacity: f64,
    /// Mostly no more than have room here.
    flows: SmallVec<[FlowId; 4]>,
    /// What its flows could use if only their other ends and caps bound them; see [`fixed`].
    wanted: u128,
}

impl Link {
    /// A link that cannot be full holds nobody back and is left out of the allocation.
    fn is_slack(&self) -> bool {
        self.wanted <= fixed(self.capacity)
    }
}

/// A rate as a whole number, so that what a flow added to a sum can be taken away exactly when it
/// ends, whatever came and went in between.
fn fixed(rate: f64) -> u128 {
    const PARTS: f64 = (1_u64 << 40) as f64;
    // Endless is as good as more than all flows together ever have.
    (rate.min(1e18) * PARTS) as u128
}

/// What has to be looked at after a change: a flow that is new, and the links that are or were
/// full enough to hold somebody back.
#[derive(Debug)]
struct Change {
    flow: Option<FlowId>,
    links: Vec<LinkId>,
}

/// Counters of the allocation.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocationStats {
    /// Times rates were computed.
    pub rounds: u64,
    /// Flows looked at in them.
    pub flows: u64,
    /// Small increases that were not carried out.
    pub suppressed: u64,
}

/// All links and flows.
#[derive(Debug)]
pub struct Network {
    allocator: Allocator,
    links: Vec<Link>,
    flows: Vec<Flow>,
    free: Vec<FlowId>,
    /// Flows whose rate is new; the caller takes them and looks when they are done now.
    changed: Vec<FlowId>,
    stats: AllocationStats,
}

impl Network {
    /// No links.
    #[must_use]
    pub const fn new(allocator: Allocator) -> Self {
        Self {
            allocator,
            links: Vec::new(),
            flows: Vec::new(),
            free: Vec::new(),
            changed: Vec::new(),
            stats: AllocationStats {
                rounds: 0,
                flows: 0,
                suppressed: 0,
            },
        }
    }

    /// Adds a link of `capacity` bytes a second.
    pub fn add_link(&mut self, capacity: f64) -> LinkId {
        let id =
            LinkId(u32::try_from(self.links.len()).expect("worlds have fewer than 2^32 links"));
        self.links.push(Link {
            capacity,
            flows: SmallVec::new(),
            wanted: 0,
        });
        id
    }

    /// Bytes a second of a link.
    #[must_use]
    pub fn capacity(&self, link: LinkId) -> f64 {
        self.links[link.0 as usize].capacity
    }

    /// Changes a link's capacity; its flows' rates follow.
    pub fn set_capacity(&mut self, now: u64, link: LinkId, capacity: f64) {
        self.links[link.0 as usize].capacity = capacity;
        let flows = self.links[link.0 as usize].flows.clone();
        for flow in &flows {
            let route = self.flows[flow.0 as usize].route;
            for link in route.links() {
                self.recount(*link);
            }
        }
        self.recount(link);
        for flow in flows {
            let links = self.flows[flow.0 as usize].route.links().to_vec();
            let flow = Some(flow);
            self.allocate(now, &Change { flow, links });
        }
    }

    /// Brings near a link.
    pub(crate) fn bring_link(&self, link: LinkId) {
        bring(&self.links, link.0 as usize);
    }

    /// Brings near the flows of a link, which should be near already.
    pub(crate) fn bring_flows(&self, link: LinkId) {
        if let Some(link) = self.links.get(link.0 as usize) {
            bring_range(&link.flows, 0, 8);
        }
    }

    /// Brings near a flow.
    pub(crate) fn bring_flow(&self, flow: FlowId) {
        bring(&self.flows, flow.0 as usize);
    }

    /// Brings near what the flows of a link move, if which these are is near already.
    pub(crate) fn bring_rates(&self, link: LinkId) {
        if let Some(link) = self.links.get(link.0 as usize) {
            let some = link.flows.iter().take(BROUGHT_FLOWS);
            some.for_each(|flow| self.bring_flow(*flow));
        }
    }

    /// Starts a flow.
    pub fn start(&mut self, now: u64, demand: Demand) -> FlowId {
        let route = demand.route;
        let flow = Flow {
            route,
            places: [0; ROUTE_LINKS_MAX],
            background: demand.background,
            cap: demand.cap,
            weight: demand.weight,
            rate: 0.0,
            done: 0.0,
            since: now,
            live: true,
        };
        let id = if let Some(id) = self.free.pop() {
            self.flows[id.0 as usize] = flow;
            id
        } else {
            self.flows.push(flow);
            FlowId(u32::try_from(self.flows.len() - 1).expect("flows are bounded by requests"))
        };
        // Equal parts are parts of slack links, too.
        let counts_all = self.allocator == Allocator::Share;
        let mut tight = Vec::new();
        for (at, link) in route.links().iter().copied().enumerate() {
            let wanted = fixed(self.elsewhere(id, link));
            let line = &mut self.links[link.0 as usize];
            self.flows[id.0 as usize].places[at] = line.flows.len() as u32;
            line.flows.push(id);
            line.wanted += wanted;
            if counts_all || !line.is_slack() {
                tight.push(link);
            }
        }
        self.changed.push(id);
        let change = Change {
            flow: Some(id),
            links: tight,
        };
        self.allocate(now, &change);
        id
    }

    /// Ends a flow; the bytes that went.
    pub fn stop(&mut self, now: u64, id: FlowId) -> u64 {
        self.settle(now, id);
        let flow = &mut self.flows[id.0 as usize];
        assert!(flow.live, "a flow ends once");
        flow.live = false;
        flow.rate = 0.0;
        let (done, route, places) = (flow.done, flow.route, flow.places);
        // Equal parts are parts of slack links, too.
        let counts_all = self.allocator == Allocator::Share;
        let mut tight = Vec::new();
        for (at, link) in route.links().iter().copied().enumerate() {
            let wanted = fixed(self.elsewhere(id, link));
            let line = &mut self.links[link.0 as usize];
            if counts_all || !line.is_slack() {
                tight.push(link);
            }
            line.wanted -= wanted;
            let place = places[at] as usize;
            line.flows.swap_remove(place);
            if let Some(moved) = line.flows.get(place).copied() {
                self.moved_to(moved, link, place as u32);
            }
        }
        self.free.push(id);
        if !tight.is_empty() {
            let change = Change {
                flow: None,
                links: tight,
            };
            self.allocate(now, &change);
        }
        done as u64
    }

    fn moved_to(&mut self, id: FlowId, link: LinkId, place: u32) {
        let flow = &mut self.flows[id.0 as usize];
        if let Some(at) = flow.route.links().iter().position(|other| *other == link) {
            flow.places[at] = place;
        }
    }

    /// When `bytes` of the flow will have gone at its present rate; never, if that is nothing.
    #[must_use]
    pub fn time_of(&self, now: u64, id: FlowId, bytes: u64) -> Option<u64> {
        let flow = &self.flows[id.0 as usize];
        let left = bytes as f64 - flow.done;
        if left <= 0.0 {
            return Some(now);
        }
        if flow.rate <= 0.0 {
            return None;
        }
        let micros = left / flow.rate * 1e6;
        // Rounded up, so that at that time the bytes have gone.
        (micros < 1e15).then(|| (flow.since + libm::ceil(micros) as u64).max(now))
    }

    /// Bytes of a flow that began at `begun` that had gone at `at`. What it moved before its rate
    /// changed last is taken as even.
    #[must_use]
    pub fn gone(&self, now: u64, id: FlowId, begun: u64, at: u64) -> u64 {
        let flow = &self.flows[id.0 as usize];
        let at = at.min(now);
        if at >= flow.since {
            return (flow.done + flow.rate * (at - flow.since) as f64 / 1e6) as u64;
        }
        let part = at.saturating_sub(begun) as f64 / (flow.since - begun).max(1) as f64;
        (flow.done * part) as u64
    }

    /// Bytes a second the flow moves now.
    #[must_use]
    pub fn rate(&self, id: FlowId) -> f64 {
        self.flows[id.0 as usize].rate
    }

    /// Bytes a second a link moves now.
    #[must_use]
    pub fn load(&self, link: LinkId) -> f64 {
        let flows = self.links[link.0 as usize].flows.iter();
        flows.map(|flow| self.flows[flow.0 as usize].rate).sum()
    }

    /// Nobody uses a link for a while: gives its unused memory back.
    pub fn rest(&mut self, link: LinkId) {
        if let Some(link) = self.links.get_mut(link.0 as usize) {
            link.flows.shrink_to_fit();
        }
    }

    /// Takes the flows whose rate changed since the last call.
    pub fn take_changed(&mut self, into: &mut Vec<FlowId>) {
        into.clear();
        core::mem::swap(&mut self.changed, into);
        into.sort_unstable();
        into.dedup();
        into.retain(|id| self.flows[id.0 as usize].live);
    }

    /// What the allocation did so far.
    #[must_use]
    pub const fn stats(&self) -> AllocationStats {
        self.stats
    }

    fn settle(&mut self, now: u64, id: FlowId) {
        let flow = &mut self.flows[id.0 as usize];
        flow.done += flow.rate * (now - flow.since) as f64 / 1e6;
        flow.since = now;
    }

    fn set_rate(&mut self, now: u64, id: FlowId, rate: f64) {
        if self.flows[id.0 as usize].rate == rate {
            return;
        }
        self.settle(now, id);
        self.flows[id.0 as usize].rate = rate;
        self.changed.push(id);
    }

    /// What the flow could use if only its cap and its links other than this one bound it.
    fn elsewhere(&self, id: FlowId, link: LinkId) -> f64 {
        let flow = &self.flows[id.0 as usize];
        let others = flow.route.links().iter().filter(|other| **other != link);
        others
            .map(|other| self.capacity(*other))
            .fold(flow.cap, f64::min)
    }

    fn recount(&mut self, link: LinkId) {
        let flows = self.links[link.0 as usize].flows.iter();
        let wanted = flows.map(|id| fixed(self.elsewhere(*id, link))).sum();
        self.links[link.0 as usize].wanted = wanted;
    }

    fn allocate(&mut self, now: u64, change: &Change) {
        self.stats.rounds += 1;
        match self.allocator {
            Allocator::Share => self.share(now, change),
            Allocator::MaxMinLocal => {
                let set = self.reach(change, 2);
                self.fill_set(now, &set, RIPPLE);
            }
            Allocator::MaxMin => {
                let set = self.reach(change, usize::MAX);
                self.fill_set(now, &set, 0.0);
            }
        }
    }

    fn share(&mut self, now: u64, change: &Change) {
        let mut set: Vec<FlowId> = change.flow.into_iter().collect();
        for link in &change.links {
            set.extend(&self.links[link.0 as usize].flows);
        }
        set.sort_unstable();
        set.dedup();
        for id in set {
            let rate = self.share_of(id);
            self.stats.flows += 1;
            self.set_rate(now, id, rate);
        }
    }

    /// The smallest part by weight of the flow's links. Background flows divide what the foreground
    /// could leave at its own parts.
    fn share_of(&self, id: FlowId) -> f64 {
        let flow = &self.flows[id.0 as usize];
        let mut rate = flow.cap;
        for link in flow.route.links() {
            let link = &self.links[link.0 as usize];
            let of_class = |background: bool| -> f64 {
                let flows = link.flows.iter().map(|other| &self.flows[other.0 as usize]);
                let of_it = flows.filter(|other| other.background == background);
                of_it.map(|other| other.weight).sum()
            };
            let part = if !flow.background {
                link.capacity * flow.weight / of_class(false)
            } else if of_class(false) > 0.0 {
                0.0
            } else {
                link.capacity * flow.weight / of_class(true)
            };
            rate = rate.min(part);
        }
        rate
    }

    /// The flows within `hops` links of the change. Slack links connect nobody.
    fn reach(&self, change: &Change, hops: usize) -> Vec<FlowId> {
        let mut seen: Vec<LinkId> = Vec::new();
        let mut set: Vec<FlowId> = change.flow.into_iter().collect();
        let mut edge: Vec<LinkId> = change.links.clone();
        let mut hop = 0;
        while !edge.is_empty() && hop < hops {
            let mut next = Vec::new();
            for link in edge {
                // The links of the change itself may have been full until now.
                if seen.contains(&link) || hop > 0 && self.links[link.0 as usize].is_slack() {
                    continue;
                }
                seen.push(link);
                for flow in &self.links[link.0 as usize].flows {
                    if let Err(at) = set.binary_search(flow) {
                        set.insert(at, *flow);
                        let links = self.flows[flow.0 as usize].route;
                        let others = links.links().iter().filter(|other| **other != link);
                        next.extend(others.copied());
                    }
                }
            }
            edge = next;
            hop += 1;
        }
        set
    }

    /// Fills the flows of `set`, with all others' rates as they are.
    fn fill_set(&mut self, now: u64, set: &[FlowId], ripple: f64) {
        self.stats.flows += set.len() as u64;
        if let [id] = *set {
            let flow = &self.flows[id.0 as usize];
            let links = flow.route.links().iter();
            let left = links.map(|link| self.left_for(*link, set).min(self.capacity(*link)));
            let rate = left.fold(flow.cap, f64::min);
            return self.take_rate(now, id, rate, ripple);
        }
        let mut links: Vec<LinkId> = set
            .iter()
            .flat_map(|id| self.flows[id.0 as usize].route.links().iter().copied())
            .collect();
        links.sort_unstable();
        links.dedup();
        let capacities: Vec<f64> = links.iter().map(|link| self.left_for(*link, set)).collect();
        let demands: Vec<Demand> = set
            .iter()
            .map(|id| {
                let flow = &self.flows[id.0 as usize];
                let mut all = flow.route.links().iter().copied();
                let index = |link| LinkId(links.binary_search(&link).unwrap_or_default() as u32);
                let first = Route::over(index(all.next().unwrap_or(LinkId(0))));
                // A slack link is as good as endless here, but not for one flow alone.
                let capacities = flow.route.links().iter().map(|link| self.capacity(*link));
                Demand {
                    route: all.fold(first, |route, link| route.and(index(link))),
                    cap: capacities.fold(flow.cap, f64::min),
                    weight: flow.weight,
                    background: flow.background,
                }
            })
            .collect();
        let rates = fill(&capacities, &demands);
        for (id, rate) in set.iter().zip(rates) {
            self.take_rate(now, *id, rate, ripple);
        }
    }

    fn take_rate(&mut self, now: u64, id: FlowId, rate: f64, ripple: f64) {
        let before = self.flows[id.0 as usize].rate;
        if rate > before && rate - before < before * ripple {
            self.stats.suppressed += 1;
            return;
        }
        self.set_rate(now, id, rate);
    }

    /// What flows outside of `set` leave of a link.
    fn left_for(&self, link: LinkId, set: &[FlowId]) -> f64 {
        let link = &self.links[link.0 as usize];
        if link.is_slack() {
            return f64::INFINITY;
        }
        let outside = link
            .flows
            .iter()
            .filter(|id| set.binary_search(id).is_err());
        let taken: f64 = outside.map(|id| self.flows[id.0 as usize].rate).sum();
        (link.capacity - taken).max(0.0)
    }
}

#[cfg(test)]
mod tests;
