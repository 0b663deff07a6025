//! The tracker's side: lookups, announces, opened tracks, all answered by the product's registry.

use antiphon_protocol::ChunkIndex;
use antiphon_protocol::peer::Extent;
use antiphon_swarm::node::input::TrackerEvent;
use antiphon_swarm::registry::{Held, PeerProfile};
use antiphon_swarm::{Input, Instant, PeerKey, RenditionKey};

use crate::world::World;
use crate::world::happening::Deferred;

/// How long a request to a tracker that is gone takes to fail. The node's request timeout. Guess.
const TRACKER_PATIENCE: u64 = 5_000_000;

impl World {
    /// Time until a request that leaves now is served, the tracker's queue included.
    pub(super) fn reach_tracker(&mut self, node: u32) -> u64 {
        let arrives = self.now + self.rtt_tracker(node) / 2;
        let starts = arrives.max(self.tracker_free_at);
        self.tracker_free_at = starts + (1e6 / self.scenario.tracker.rate) as u64;
        starts - self.now
    }

    /// Asks the tracker to open a track: license and holders, if they are of use, come in one answer. The time until
    /// it is there; nothing if the tracker is gone.
    pub(super) fn open_track(&mut self, node: u32, track: u32) -> Option<u64> {
        let session = self.session(node)?;
        if self.faults.tracker_down {
            return None;
        }
        let delay = self.reach_tracker(node);
        self.tally.opened += 1;
        let limit = antiphon_swarm::limits::HOLDERS_PER_ANSWER_MAX as u8;
        // Who has all of it asks for the license only.
        let shelf = &self.seats[node as usize].shelf;
        let held = shelf.first_missing(track, ChunkIndex(0)).is_none();
        if self.config.peers && !held {
            let rendition = RenditionKey(track);
            self.defer(
                delay,
                Deferred::Lookup {
                    node,
                    session,
                    rendition,
                    limit,
                },
            );
        }
        Some(delay + self.rtt_tracker(node) / 2)
    }

    pub(super) fn look_up(&mut self, node: u32, session: u32, rendition: RenditionKey, limit: u8) {
        if self.session(node) != Some(session) {
            return;
        }
        if self.faults.tracker_down {
            return self.feed_after(
                TRACKER_PATIENCE,
                node,
                Input::Tracker(TrackerEvent::Unreachable),
            );
        }
        let now = Instant::from_micros(self.now);
        let overlay = self.overlay(node);
        let Some(registry) = self.registries.get_mut(overlay) else {
            return;
        };
        let picks = registry.lookup(now, PeerKey(node), rendition, limit.into());
        self.tally.note_lookup(self.now, picks.len());
        let holders = picks
            .into_iter()
            .map(|pick| (pick.peer, pick.held == Held::Full));
        let holders = holders.collect();
        let delay = self.rtt_tracker(node) / 2;
        self.feed_after(
            delay,
            node,
            Input::Tracker(TrackerEvent::Holders { rendition, holders }),
        );
    }

    pub(super) fn announce(
        &mut self,
        node: u32,
        session: u32,
        entries: Vec<(RenditionKey, Extent)>,
    ) {
        if self.session(node) != Some(session) {
            return;
        }
        if self.faults.tracker_down {
            return self.feed_after(
                TRACKER_PATIENCE,
                node,
                Input::Tracker(TrackerEvent::Unreachable),
            );
        }
        let now = Instant::from_micros(self.now);
        let overlay = self.overlay(node);
        let Some(registry) = self.registries.get_mut(overlay) else {
            return;
        };
        let known = !entries.is_empty() || registry.renew(now, PeerKey(node));
        let entries = entries.iter();
        let told: Vec<_> = entries
            .map(|(key, extent)| (*key, Held::of(extent)))
            .collect();
        registry.announce_all(now, PeerKey(node), &told);
        let again_after = registry.announce_interval();
        let delay = self.rtt_tracker(node) / 2;
        let told = Input::Tracker(TrackerEvent::Announced { again_after });
        self.feed_after(delay, node, told);
        if !known {
            self.feed_after(delay, node, Input::Tracker(TrackerEvent::AnnounceAll));
        }
    }

    /// Whose registry knows a node: each site's own, or the first for all.
    pub(super) fn overlay(&self, node: u32) -> usize {
        if self.sites_apart {
            self.person(node).overlay as usize
        } else {
            0
        }
    }

    pub(super) fn join_registry(&mut self, node: u32) {
        let now = Instant::from_micros(self.now);
        let person = self.person(node);
        // Who has no UDP tells no address, because nobody could dial it: the tracker then names it
        // to nobody.
        let nat = self.nats.get(person.nat as usize);
        let dialed = nat.is_none_or(|nat| nat.udp);
        let profile = PeerProfile {
            // Zero is unknown to the registry.
            region: person.region + 1,
            prefix: self.prefix(node),
            uploads: dialed && person.uploads && self.config.budget.uploads,
        };
        let overlay = self.overlay(node);
        if let Some(registry) = self.registries.get_mut(overlay) {
            registry.join(now, PeerKey(node), profile);
        }
    }

    pub(super) fn leave_registry(&mut self, node: u32) {
        let now = Instant::from_micros(self.now);
        let overlay = self.overlay(node);
        if let Some(registry) = self.registries.get_mut(overlay) {
            registry.leave(now, PeerKey(node));
        }
    }

    /// Lets the registries forget what expired.
    pub(super) fn tidy_registries(&mut self) {
        let now = Instant::from_micros(self.now);
        for registry in &mut self.registries {
            if registry.poll_timeout().is_some_and(|due| due <= now) {
                registry.handle_timeout(now);
            }
        }
    }
}
