//! Who lives in the world: where, on which line, behind what, with which device.

use antiphon_protocol::{BitRate, ByteCount};

use crate::engine::random::Draws;
use crate::measure::tally::NodeRow;
use crate::net::fluid::{LinkId, Network};
use crate::net::reach::NatClass;
use crate::scenario::Scenario;
use crate::world::conduct;
use crate::world::places::Places;
use crate::world::{Chance, World};

/// One user and the node on their device. What never changes, but for the counters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    pub(super) region: u8,
    pub(super) nat: u8,
    pub(super) access: u8,
    pub(super) device: u8,
    pub(super) overlay: u8,
    /// Number of the behavior; [`conduct::HONEST`] if there is none.
    pub(super) conduct: u8,
    pub(super) uploads: bool,
    pub(super) up: LinkId,
    pub(super) down: LinkId,
    /// Round trip the access line adds, microseconds.
    pub(super) height: u32,
    pub(super) upload: BitRate,
    pub(super) disk: ByteCount,
    /// Times online so far; also the number of the present session.
    pub(super) sessions: u32,
    /// Plays so far.
    pub(super) plays: u32,
    /// Listening stretches so far.
    pub(super) stretches: u32,
}

impl Person {
    /// The node's row of the tables, with nothing counted yet.
    pub(super) fn row(&self) -> NodeRow {
        NodeRow {
            access: self.access,
            nat: self.nat,
            willing: self.uploads,
            ..NodeRow::default()
        }
    }
}

/// The NAT classes, punch chances by number.
pub(super) fn nats(scenario: &Scenario) -> Vec<NatClass> {
    let chance = |punch: &std::collections::BTreeMap<String, crate::scenario::units::Share>| {
        let names = scenario.nat.iter().map(|nat| &nat.name);
        names
            .map(|name| punch.get(name).map_or(0.0, |share| share.0))
            .collect()
    };
    let classes = scenario.nat.iter().map(|nat| NatClass {
        name: nat.name.clone(),
        inbound: nat.inbound,
        udp: !nat.udp_blocked,
        tcp: !nat.web_only,
        punch: chance(&nat.punch),
    });
    classes.collect()
}

/// Everybody, and their lines.
pub(super) fn people(scenario: &Scenario, seed: u64, network: &mut Network) -> Vec<Person> {
    let mut people: Vec<Person> = Vec::with_capacity(scenario.population.users as usize);
    for user in 0..scenario.population.users {
        let line = Line::of(scenario, seed, Places::head_of(scenario, user));
        // Who moves in with somebody uses the line that is there.
        let head = people.get(Places::head_of(scenario, user) as usize);
        let links = head.map(|head| (head.up, head.down));
        let links =
            links.unwrap_or_else(|| (network.add_link(line.up), network.add_link(line.down)));
        people.push(person(scenario, seed, user, &line, links));
    }
    people
}

/// A line, and what comes with it.
#[derive(Clone, Copy, Debug)]
struct Line {
    region: usize,
    access: usize,
    nat: usize,
    /// Bytes a second.
    up: f64,
    down: f64,
    /// Seconds.
    height: f64,
}

impl Line {
    /// That of the first person of a home.
    fn of(scenario: &Scenario, seed: u64, user: u32) -> Self {
        let mut draws = Draws::of(seed, Chance::Person as u64, u64::from(user));
        let region = draws.weighted(scenario.region.iter().map(|region| region.share.0));
        let at = draws.weighted(scenario.access.iter().map(|access| access.share.0));
        let nat = draws.weighted(scenario.nat.iter().map(|nat| nat.share.0));
        draws.next();
        let access = &scenario.access[at];
        // One factor for both directions: fast lines are fast both ways.
        let factor = draws.log_normal(1.0, access.sigma);
        let height = draws.log_normal(access.height.0, access.height_sigma);
        Self {
            region,
            access: at,
            nat,
            up: access.up.bytes() * factor,
            down: access.down.bytes() * factor,
            height: height.min(2.0),
        }
    }
}

fn person(
    scenario: &Scenario,
    seed: u64,
    user: u32,
    line: &Line,
    (up, down): (LinkId, LinkId),
) -> Person {
    let mut draws = Draws::of(seed, Chance::Person as u64, u64::from(user));
    // The first three and the two behind the device are the line's.
    (0..3).for_each(|_| _ = draws.next());
    let device_at = draws.weighted(scenario.device.iter().map(|device| device.share.0));
    draws.normal();
    draws.normal();
    let device = &scenario.device[device_at];
    let disk = draws
        .log_normal(device.cache.0, device.cache_sigma)
        .min(device.cache_max.0);
    let overlay = draws.below(u64::from(scenario.tracker.overlays));
    let conduct = conduct::draw(scenario, seed, user);
    let willing = conduct::uploads(scenario, conduct);
    let upload = (line.up * 8.0 * device.upload.0).min(f64::from(u32::MAX));
    let (access, nat) = (&scenario.access[line.access], &scenario.nat[line.nat]);
    Person {
        region: line.region as u8,
        nat: line.nat as u8,
        access: line.access as u8,
        device: device_at as u8,
        overlay: overlay as u8,
        conduct,
        uploads: willing && !access.metered && upload >= 1.0 && !nat.web_only,
        up,
        down,
        height: (line.height * 1e6) as u32,
        upload: BitRate(upload as u32),
        disk: ByteCount(disk as u64),
        sessions: 0,
        plays: 0,
        stretches: 0,
    }
}

impl World {
    pub(super) fn person(&self, user: u32) -> &Person {
        &self.seats[user as usize].person
    }

    /// Round trip between two nodes.
    pub(super) fn rtt(&self, a: u32, b: u32) -> u64 {
        if let Some(rtt) = self.rtt_at_home(a, b) {
            return rtt;
        }
        let (a, b) = (self.person(a), self.person(b));
        let network = &self.scenario.network;
        let base = if a.region == b.region {
            network.within
        } else {
            network.between
        };
        base.micros() + u64::from(a.height) + u64::from(b.height)
    }

    /// Round trip between a node and the tracker.
    pub(super) fn rtt_tracker(&self, node: u32) -> u64 {
        self.scenario.tracker.rtt.micros() + u64::from(self.person(node).height)
    }

    /// Round trip between a node and the origin.
    pub(super) fn rtt_origin(&self, node: u32) -> u64 {
        self.scenario.origin.rtt.micros() + u64::from(self.person(node).height)
    }

    /// The hour of somebody's day, 0 to 23, `ahead` microseconds from now.
    pub(super) fn hour(&self, user: u32, ahead: u64) -> usize {
        let region = self.scenario.region.get(self.person(user).region as usize);
        let offset = region.map_or(0, |region| i64::from(region.hours_ahead));
        // Measuring starts at the hour the scenario names.
        let since = (self.now + ahead) as i64 - self.settle as i64;
        let hours = since.div_euclid(3_600_000_000) + i64::from(self.scenario.start_hour) + offset;
        hours.rem_euclid(24) as usize
    }
}
