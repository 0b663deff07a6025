//! Copies kept for others: what the tracker offers, as its registry chooses.

use antiphon_swarm::node::input::{Command, TrackerEvent};
use antiphon_swarm::registry::Held;
use antiphon_swarm::{Input, Instant, PeerKey, RenditionKey};

use crate::world::happening::Deferred;
use crate::world::{Chance, World};

/// Days of asks that the tracker remembers when a run begins. Guess.
const DAYS_REMEMBERED: f64 = 7.0;

/// Times one user asks the tracker a day: a fifth of some forty plays, because the others are cached.
/// Guess; in the product only what few hold is counted, so this is rather too much.
const ASKS_A_DAY: f64 = 8.0;

/// Asks drawn at most: enough to fill the tracker's table.
const REMEMBERED_MAX: f64 = 2e6;

/// Bytes of a signed manifest: three renditions with an entry of 3 bytes a second to seek by.
const MANIFEST_BYTES: u64 = 2_500;

impl World {
    /// What the tracker knows of the days before the run: how often each track was asked for.
    pub(super) fn remember_demand(&mut self) {
        if self.config.placement.share_permille == 0 || !self.config.peers {
            return;
        }
        let users = f64::from(self.scenario.population.users);
        let asked = (users * ASKS_A_DAY * DAYS_REMEMBERED).min(REMEMBERED_MAX) as u64;
        let mut draws = self.draws(Chance::Demand, 0);
        let mut asks = vec![0_u16; self.music.tracks() as usize];
        for _ in 0..asked {
            let track = self.music.draw(&mut draws);
            if let Some(asks) = asks.get_mut(track as usize) {
                *asks = asks.saturating_add(1);
            }
        }
        for registry in &mut self.registries {
            for (track, asks) in asks.iter().enumerate() {
                registry.expect_asks(RenditionKey(track as u32), *asks);
            }
        }
    }

    pub(super) fn ask_placement(&mut self, node: u32, limit: u8) {
        let Some(session) = self.session(node) else {
            return;
        };
        let delay = self.reach_tracker(node);
        let ask = Deferred::Placement {
            node,
            session,
            limit,
        };
        self.defer(delay, ask);
    }

    /// The tracker answers what to keep. The number of tracks.
    pub(super) fn place(&mut self, node: u32, session: u32, limit: u8) -> u64 {
        if self.session(node) != Some(session) || self.faults.tracker_down {
            return 0;
        }
        let now = Instant::from_micros(self.now);
        let overlay = self.overlay(node);
        let Some(registry) = self.registries.get_mut(overlay) else {
            return 0;
        };
        let offered = registry.offer(now, PeerKey(node), limit.into());
        let most = antiphon_swarm::limits::HOLDERS_PER_ANSWER_MAX;
        let with_holders = offered.into_iter().map(|rendition| {
            let picks = registry.holders(now, PeerKey(node), rendition, most);
            let holders = picks.iter().map(|p| (p.peer, p.held == Held::Full));
            (rendition, holders.collect::<Vec<_>>())
        });
        let with_holders: Vec<_> = with_holders.collect();
        let placed = with_holders.len() as u64;
        let delay = self.rtt_tracker(node) / 2;
        for (rendition, holders) in with_holders {
            self.tally
                .note_placement(self.now, MANIFEST_BYTES, holders.len());
            let spec = self.music.spec(rendition.0);
            let introduce = Command::Introduce { rendition, spec };
            self.feed_after(delay, node, Input::Command(introduce));
            let told = TrackerEvent::Holders { rendition, holders };
            self.feed_after(delay, node, Input::Tracker(told));
            let place = Command::Place { rendition };
            self.feed_after(delay, node, Input::Command(place));
        }
        placed
    }
}
