//! Where people live: who shares a home, a concentrator or a way between regions with whom.
//!
//! Homes are made of consecutive people, concentrators of consecutive homes.

use antiphon_swarm::node::output::Source;

use crate::net::fluid::{LinkId, Network};
use crate::net::route::Route;
use crate::scenario::Scenario;
use crate::world::World;

/// Round trip within a home: two hops over Wi-Fi. Guess.
const AT_HOME: u64 = 4_000;

/// The links that several share.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// People a home; zero if everybody lives alone.
    people: u32,
    /// Homes a concentrator.
    homes: u32,
    /// By home.
    wifi: Vec<LinkId>,
    /// By concentrator, up and down.
    last_mile: Vec<(LinkId, LinkId)>,
    /// By region from and region to.
    between: Vec<LinkId>,
    regions: usize,
}

impl Places {
    pub(super) fn new(scenario: &Scenario, network: &mut Network) -> Self {
        let shared = scenario.network.shared;
        let users = scenario.population.users;
        let mut places = Self {
            regions: scenario.region.len(),
            ..Self::default()
        };
        if let Some(household) = shared.household {
            places.people = household.people;
            let homes = users.div_ceil(household.people.max(1));
            let wifi = (0..homes).map(|_| network.add_link(household.wifi.bytes()));
            places.wifi = wifi.collect();
        }
        if let Some(last_mile) = shared.last_mile {
            places.homes = last_mile.homes;
            let homes = users.div_ceil(places.people.max(1));
            let groups = homes.div_ceil(last_mile.homes.max(1));
            let mut link = |rate: crate::scenario::units::Rate| network.add_link(rate.bytes());
            let pairs = (0..groups).map(|_| (link(last_mile.up), link(last_mile.down)));
            places.last_mile = pairs.collect();
        }
        if let Some(rate) = shared.inter_region {
            let pairs = places.regions * places.regions;
            let between = (0..pairs).map(|_| network.add_link(rate.bytes()));
            places.between = between.collect();
        }
        places
    }

    /// The first of those somebody lives with.
    pub(super) const fn head_of(scenario: &Scenario, user: u32) -> u32 {
        match scenario.network.shared.household {
            Some(household) if household.people > 1 => user - user % household.people,
            _ => user,
        }
    }

    const fn home(&self, user: u32) -> u32 {
        match self.people {
            0 => user,
            people => user / people,
        }
    }

    fn wifi(&self, user: u32) -> Option<LinkId> {
        self.wifi.get(self.home(user) as usize).copied()
    }

    fn last_mile(&self, user: u32) -> Option<(LinkId, LinkId)> {
        let group = self.home(user).checked_div(self.homes)?;
        self.last_mile.get(group as usize).copied()
    }

    fn between(&self, from: u8, to: u8) -> Option<LinkId> {
        let at = usize::from(from) * self.regions + usize::from(to);
        self.between.get(at).filter(|_| from != to).copied()
    }
}

fn with(route: Route, link: Option<LinkId>) -> Route {
    link.map_or(route, |link| route.and(link))
}

impl World {
    /// Whether two live together, and not everybody alone.
    fn is_at_home(&self, a: u32, b: u32) -> bool {
        self.places.people > 1 && self.places.home(a) == self.places.home(b)
    }

    /// The round trip if both are at one home.
    pub(super) fn rtt_at_home(&self, a: u32, b: u32) -> Option<u64> {
        self.is_at_home(a, b).then_some(AT_HOME)
    }

    /// What a span from `source` to `to` crosses.
    pub(super) fn route(&self, source: Source, to: u32) -> Route {
        let receiver = self.person(to);
        let route = match source {
            Source::Peer(peer) if self.is_at_home(peer.0, to) => {
                let wifi = self.places.wifi(to);
                return wifi.map_or_else(|| Route::over(receiver.down), Route::over);
            }
            Source::Peer(peer) => {
                let sender = self.person(peer.0);
                let route = Route::direct(sender.up, receiver.down);
                let route = with(route, self.places.wifi(peer.0));
                let route = with(route, self.places.last_mile(peer.0).map(|(up, _)| up));
                with(route, self.places.between(sender.region, receiver.region))
            }
            Source::Origin(_) => Route::direct(self.origin_link, receiver.down),
        };
        let route = with(route, self.places.wifi(to));
        with(route, self.places.last_mile(to).map(|(_, down)| down))
    }
}
