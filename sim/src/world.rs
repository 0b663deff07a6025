//! A world: people, nodes, links, a tracker and an origin in virtual time.
//!
//! Every decision of a node is made by its [`antiphon_swarm::NodeCore`], every answer of the
//! tracker by [`antiphon_swarm::SwarmRegistry`]; this module carries out what they ask for. Music
//! bytes are never moved: spans carry lengths.

mod ahead;
mod catalog;
mod conduct;
mod connections;
mod deliver;
mod drive;
mod faults;
mod happening;
mod listener;
mod online;
mod people;
mod placement;
mod places;
mod player;
mod popularity;
mod progress;
mod releases;
mod seat;
mod services;
mod sessions;
mod shelf;
mod stall;
mod transfers;
mod wakes;
mod warm;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_swarm::registry::RegistryConfig;
use antiphon_swarm::{NodeConfig, Output, SwarmRegistry};

use crate::engine::digest::Digest;
use crate::engine::queue::{EventQueue, STRETCH_BITS};
use crate::engine::random::Draws;
use crate::measure::tally::Tally;
use crate::net::allocate::Allocator;
use crate::net::fluid::{FlowId, LinkId, Network};
use crate::net::reach::NatClass;
use crate::scenario::Scenario;
use crate::variant::PlayerModel;
pub(crate) use player::Ending;

use catalog::Music;
use happening::{Deferred, Happening};
use people::Person;
use seat::Seat;
use transfers::Transfers;

/// Domains of chance; see [`Draws`].
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
enum Chance {
    Person = 1,
    Core,
    Registry,
    Track,
    Warm,
    Session,
    Play,
    Pair,
    Loss,
    Origin,
    Stretch,
    Fault,
    Conduct,
    Release,
    Freeze,
    Demand,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The core broke a rule of its own.
    #[error("node {node} at {seconds} s: {violation}")]
    Core {
        /// Which node.
        node: u32,
        /// When.
        seconds: f64,
        /// Which rule.
        violation: antiphon_swarm::invariants::Violation,
    },
    /// An assertion failed.
    #[error("the program stopped itself: {0}")]
    Panicked(String),
}

/// Everything.
#[derive(Debug)]
pub struct World {
    scenario: Arc<Scenario>,
    seed: u64,
    config: Arc<NodeConfig>,
    registry_config: RegistryConfig,
    player_model: PlayerModel,
    /// The chance that a packet of a chunk is lost.
    chunk_loss: f64,
    punches: bool,
    sites_apart: bool,
    /// The core's rules are checked after every so many inputs.
    check_every: u64,
    now: u64,
    settle: u64,
    end: u64,
    queue: EventQueue<Happening>,
    deferred: Vec<Option<Deferred>>,
    deferred_free: Vec<u32>,
    digest: Digest,
    music: Music,
    nats: Vec<NatClass>,
    /// Who behaves alike, by the number of the behavior.
    accomplices: Vec<Vec<u32>>,
    seats: Vec<Seat>,
    network: Network,
    places: places::Places,
    origin_link: LinkId,
    transfers: Transfers,
    registries: Vec<SwarmRegistry>,
    tracker_free_at: u64,
    faults: faults::State,
    tally: Tally,
    inputs: u64,
    /// How often the rules were due to be checked.
    checked: u64,
    /// The node that was told something and has not decided yet what follows.
    told: Option<u32>,
    broken: Option<Broken>,
    /// One listener whose play is written down; nothing in a run.
    watch: Option<Box<watch::Watch>>,
    marks: warm::Marks,
    scratch_outputs: VecDeque<Output>,
    scratch_flows: Vec<FlowId>,
    glimpses: ahead::Glimpses,
}

impl World {
    /// A world at its start, with warm caches.
    ///
    /// # Panics
    ///
    /// Never for a checked scenario.
    #[must_use]
    pub fn new(scenario: &Arc<Scenario>, seed: u64, check_every: u64) -> Self {
        let mut variant =
            crate::variant::variant(&scenario.variant).expect("the scenario was checked");
        variant.registry.entries_max = scenario.tracker.copies_max as usize;
        let mut network = Network::new(allocator(&scenario.network.allocator));
        let origin_link = network.add_link(scenario.origin.egress.bytes());
        let nats = people::nats(scenario);
        let people = people::people(scenario, seed, &mut network);
        let places = places::Places::new(scenario, &mut network);
        let music = Music::new(scenario, seed);
        let registries = (0..scenario.tracker.overlays)
            .map(|overlay| {
                let mut draws = Draws::of(seed, Chance::Registry as u64, u64::from(overlay));
                SwarmRegistry::new(variant.registry, draws.bytes())
            })
            .collect();
        let settle = scenario.settle.micros();
        let mut world = Self {
            seed,
            config: Arc::new(variant.node),
            registry_config: variant.registry,
            player_model: variant.player,
            chunk_loss: progress::chunk_loss(scenario.network.loss.0),
            punches: variant.punches && scenario.network.punching,
            sites_apart: variant.sites_apart,
            check_every: check_every.max(1),
            now: 0,
            settle,
            end: settle + scenario.duration.micros(),
            queue: EventQueue::new(),
            deferred: Vec::new(),
            deferred_free: Vec::new(),
            digest: Digest::default(),
            music,
            nats,
            tally: Tally::new(scenario, people.iter().map(Person::row).collect()),
            accomplices: conduct::accomplices(scenario, &people),
            seats: people.into_iter().map(Seat::new).collect(),
            network,
            places,
            origin_link,
            transfers: Transfers::default(),
            registries,
            tracker_free_at: 0,
            faults: faults::State::default(),
            inputs: 0,
            checked: 0,
            told: None,
            broken: None,
            watch: None,
            marks: warm::Marks::default(),
            scratch_outputs: VecDeque::new(),
            scratch_flows: Vec::new(),
            glimpses: ahead::Glimpses::new(),
            scenario: Arc::clone(scenario),
        };
        world.remember_demand();
        world.plan_first_sessions();
        world.plan_faults();
        world.plan_releases();
        world.plan_sample();
        world
    }

    /// Runs until `until` microseconds after the start, or the end. False when it is over.
    ///
    /// # Errors
    ///
    /// When a core broke a rule of its own.
    pub fn run_until(&mut self, until: u64) -> Result<bool, Broken> {
        let until = until.min(self.end);
        while let Some((at, happening)) = self.queue.pop(until) {
            if at >> STRETCH_BITS != self.now >> STRETCH_BITS {
                self.look_ahead();
            }
            self.now = at;
            self.happen(happening);
            if let Some(broken) = self.broken.take() {
                return Err(broken);
            }
        }
        self.now = until;
        Ok(until < self.end)
    }

    /// Ends the run: what still plays is counted as far as it was heard.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        for user in 0..self.seats.len() as u32 {
            self.end_play(user, Ending::Cut);
            self.close_node(user);
        }
        self.tally.allocation = self.network.stats();
        Finished {
            tally: self.tally,
            digest: self.digest,
        }
    }

    /// The run is over for whatever still plays.
    pub(crate) fn cut_plays(&mut self) {
        for user in 0..self.seats.len() as u32 {
            self.end_play(user, Ending::Cut);
        }
    }

    /// Simulated microseconds gone, and of how many.
    #[must_use]
    pub const fn progress(&self) -> (u64, u64) {
        (self.now, self.end)
    }

    /// Events so far.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.digest.events()
    }

    fn draws(&self, chance: Chance, entity: u64) -> Draws {
        Draws::of(self.seed, chance as u64, entity)
    }
}

/// What is left of a world.
#[derive(Debug)]
pub struct Finished {
    /// What was counted.
    pub tally: Tally,
    /// What happened.
    pub digest: Digest,
}

fn allocator(name: &str) -> Allocator {
    match name {
        "share" => Allocator::Share,
        "maxmin" => Allocator::MaxMin,
        _ => Allocator::MaxMinLocal,
    }
}
