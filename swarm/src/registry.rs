//! [`SwarmRegistry`]: the tracker's knowledge of who holds what. Soft state: everything expires,
//! nothing is written down, a restart fills it again from announces.
//!
//! An entry takes 16 bytes in its swarm and 4 with its peer; with slack and maps under 64
//! (measured in a test). Not here: who may ask, tickets, addresses.

mod crowding;
mod expiry;
mod paged;
mod places;
mod rarity;
mod selection;
#[cfg(test)]
mod tests;

use crate::key::{PeerKey, RenditionKey};
use crate::registry::paged::{Numbered, Paged};
use crate::registry::places::{entry_at, entry_mut, first_from, place_of};
use crate::rng::SeededRng;
use crate::time::{Duration, Instant};

/// What the registry may hold, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RegistryConfig {
    /// Entries (a peer holding a rendition) at most; beyond it the largest swarms give up theirs,
    /// a sixteenth of all at once.
    pub entries_max: usize,
    /// How long what a peer announced is believed after it last said anything.
    pub lifetime: Duration,
    /// What nodes are told as the time to say that it still holds; under half of `lifetime`.
    pub announce_interval: Duration,
    /// Holders remembered of one swarm. Beyond it a newcomer takes the place of one of little use:
    /// one that does not upload, one with a part only, one whose word is old.
    pub swarm_holders_max: usize,
    /// Complete copies online below which a rendition that is asked for counts as rare; zero offers
    /// none to keep.
    pub rare_holders: usize,
}

impl RegistryConfig {
    /// The tracker of the published design, which remembered 20 players of a track. It named 10 of
    /// them, which is also what this one names at most.
    #[must_use]
    pub fn spotify_2010() -> Self {
        Self {
            swarm_holders_max: 20,
            rare_holders: 0,
            ..Self::default()
        }
    }
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            // 64 bytes an entry make 256 MiB; a node of 1,270 tracks times 3,300 nodes. Guess.
            entries_max: 4 << 20,
            // Tracker trackers of BitTorrent use 30 min; nodes here also leave explicitly. Guess.
            lifetime: Duration::from_secs(45 * 60),
            announce_interval: Duration::from_secs(20 * 60),
            // Each is handed out to few before its place is taken by who announces next, and a lookup
            // looks at all of them. With 256 and with 1,024 `today-desktop` takes as much from the origin,
            // also with 20,000 users. A young world of 100,000 takes 1.148 % from the origin, with 64 1.170,
            // with 256 1.131 and 3 % more time.
            swarm_holders_max: 128,
            // One may be busy and one not be reachable. Guess.
            rare_holders: 3,
        }
    }
}

/// What the registry knows of a node that is online.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerProfile {
    /// Coarse place; zero is unknown.
    pub region: u8,
    /// The /24 or /48 it comes from, hashed: answers are spread over prefixes.
    pub prefix: u32,
    /// Whether it uploads at all; others are known but never returned.
    pub uploads: bool,
}

/// How much of a rendition a node said it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of it.
    Full,
    /// Some of it.
    Partial,
}

/// One answer of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Who.
    pub peer: PeerKey,
    /// How much of it.
    pub held: Held,
}

/// Renditions one peer is believed to hold: a full cache of the largest size. Guess. Beyond it
/// announces are ignored.
pub const PEER_RENDITIONS_MAX: usize = 65_536;

/// Peers that are joined at once. Beyond it the newcomer is not known. Guess.
pub const PEERS_MAX: usize = 4 << 20;

/// One peer holding one rendition.
#[derive(Clone, Copy, Debug)]
struct Entry {
    peer: PeerKey,
    /// Seconds since the start at which it was said.
    said: u32,
    /// The lookup that handed it out last; zero is none.
    handed: u32,
    region: u8,
    full: bool,
    uploads: bool,
    /// A fold of the prefix, enough to spread answers.
    prefix: u8,
}

/// A joined peer.
#[derive(Debug)]
struct Peer {
    profile: PeerProfile,
    /// What it holds, in order.
    renditions: Vec<RenditionKey>,
    /// Seconds since the start until which that is believed.
    until: u32,
    /// Whether something it announced was forgotten because it went silent.
    forgotten: bool,
}

/// Who holds what among the nodes online.
#[derive(Debug)]
pub struct SwarmRegistry {
    config: RegistryConfig,
    rng: SeededRng,
    /// In the order of [`place_of`], each, at most as many as a rank of them can tell apart.
    swarms: Paged<RenditionKey, Vec<Entry>>,
    peers: Paged<PeerKey, Peer>,
    len: usize,
    /// Swarms by the number of their holders.
    by_size: crowding::Sizes,
    lookups: u32,
    sweep: expiry::Sweep,
    rarity: rarity::Rarity,
}

impl SwarmRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new(config: RegistryConfig, seed: [u8; 32]) -> Self {
        Self {
            config,
            rng: SeededRng::new(seed),
            swarms: Paged::new(),
            peers: Paged::new(),
            len: 0,
            by_size: crowding::Sizes::default(),
            lookups: 0,
            sweep: expiry::Sweep::default(),
            rarity: rarity::Rarity::default(),
        }
    }

    /// What nodes are told as the time to announce again.
    #[must_use]
    pub const fn announce_interval(&self) -> Duration {
        self.config.announce_interval
    }

    /// A node came online, or its profile changed.
    pub fn join(&mut self, now: Instant, peer: PeerKey, profile: PeerProfile) {
        if let Some(known) = self.peers.get_mut(peer) {
            if known.profile == profile {
                return;
            }
            known.profile = profile;
            for rendition in &known.renditions {
                let entries = self.swarms.get_mut(*rendition);
                if let Some(entry) = entries.and_then(|entries| entry_mut(entries, peer)) {
                    entry.take_profile(profile);
                }
            }
        } else if self.peers.len() < PEERS_MAX {
            let until = expiry::to_seconds(now + self.config.lifetime);
            self.peers.get_or_insert(peer, || Peer {
                profile,
                renditions: Vec::new(),
                until,
                forgotten: false,
            });
        }
    }

    /// A node went offline: all its entries go.
    pub fn leave(&mut self, _now: Instant, peer: PeerKey) {
        let Some(gone) = self.peers.remove(peer) else {
            return;
        };
        for rendition in gone.renditions {
            self.drop_entry(rendition, peer);
        }
    }

    /// A joined node says that what it announced still holds. False if some of that was forgotten
    /// because it had been silent for too long: then it should announce everything.
    pub fn renew(&mut self, now: Instant, peer: PeerKey) -> bool {
        let Some(known) = self.peers.get_mut(peer) else {
            return false;
        };
        known.until = expiry::to_seconds(now + self.config.lifetime);
        !core::mem::take(&mut known.forgotten)
    }

    /// A joined node holds a rendition, or, with `None`, does not any more.
    pub fn announce(
        &mut self,
        now: Instant,
        peer: PeerKey,
        rendition: RenditionKey,
        held: Option<Held>,
    ) {
        let Some(known) = self.peers.get_mut(peer) else {
            return;
        };
        // Who tells of one change stands by the rest: it renews that only when nothing changes.
        let until = now + self.config.lifetime;
        known.until = expiry::to_seconds(until);
        let listed = known.renditions.binary_search(&rendition);
        let Some(held) = held else {
            if let Ok(at) = listed {
                known.renditions.remove(at);
                self.drop_entry(rendition, peer);
            }
            return;
        };
        let mut entry = Entry {
            peer,
            said: expiry::to_seconds(now),
            handed: 0,
            region: 0,
            full: held == Held::Full,
            uploads: false,
            prefix: 0,
        };
        entry.take_profile(known.profile);
        match listed {
            Ok(_) => {
                let entries = self.swarms.get_mut(rendition);
                if let Some(said) = entries.and_then(|entries| entry_mut(entries, peer)) {
                    let handed = said.handed;
                    *said = Entry { handed, ..entry };
                }
            }
            Err(_) if known.renditions.len() >= PEER_RENDITIONS_MAX => return,
            Err(at) => self.add(rendition, entry, at),
        }
        self.sweep.note(until);
    }

    /// [`SwarmRegistry::holders`] for somebody who wants to hear it: what is asked for and held by
    /// few is remembered for [`SwarmRegistry::offer`].
    pub fn lookup(
        &mut self,
        now: Instant,
        asker: PeerKey,
        rendition: RenditionKey,
        limit: usize,
    ) -> Vec<Pick> {
        let picks = self.holders(now, asker, rendition, limit);
        let full = picks.iter().filter(|pick| pick.held == Held::Full).count();
        if full < self.config.rare_holders.min(limit) {
            self.rarity.asked(rendition, asker);
        }
        picks
    }

    /// At most `limit` holders for `asker`, best first, never the asker itself.
    pub fn holders(
        &mut self,
        now: Instant,
        asker: PeerKey,
        rendition: RenditionKey,
        limit: usize,
    ) -> Vec<Pick> {
        let region = self.peers.get(asker).map_or(0, |peer| peer.profile.region);
        self.lookups = self.lookups.saturating_add(1);
        let Some(entries) = self.swarms.get_mut(rendition) else {
            return Vec::new();
        };
        let second = expiry::to_seconds(now);
        let peers = &self.peers;
        let believed = |peer| {
            let known: Option<&Peer> = peers.get(peer);
            known.is_some_and(|known| known.until > second)
        };
        let asking = selection::Asking {
            asker,
            region,
            lookup: self.lookups,
            salt: self.rng.next_u64(),
        };
        selection::select(entries, asking, limit, believed)
    }

    /// Entries known, some of which may have expired since the last sweep.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds what was not known; `listed_at` is its place in its peer's list.
    fn add(&mut self, rendition: RenditionKey, entry: Entry, listed_at: usize) {
        let most = self.config.swarm_holders_max.min(selection::PLACES_MAX);
        let entries = self.swarms.get_or_insert(rendition, Vec::new);
        let replaced = if entries.len() >= most {
            let Some(replaced) = crowding::replace(entries, entry) else {
                // Those known are all of more use.
                return;
            };
            Some(replaced)
        } else {
            let place = place_of(entry.peer);
            let at = first_from(entries, place);
            grow(entries);
            entries.insert(at, entry);
            self.len += 1;
            self.by_size.changed(entries.len() - 1, entries.len());
            None
        };
        if let Some(known) = self.peers.get_mut(entry.peer) {
            grow(&mut known.renditions);
            known.renditions.insert(listed_at, rendition);
        }
        if let Some(peer) = replaced {
            self.unlist(peer, rendition);
        }
        if self.len > self.config.entries_max {
            self.trim();
        }
    }

    fn drop_entry(&mut self, rendition: RenditionKey, peer: PeerKey) {
        let Some(entries) = self.swarms.get_mut(rendition) else {
            return;
        };
        if let Ok(at) = entry_at(entries, peer) {
            entries.remove(at);
            self.len -= 1;
            self.by_size.changed(entries.len() + 1, entries.len());
            shrink(entries);
        }
        if entries.is_empty() {
            self.swarms.remove(rendition);
        }
    }

    fn unlist(&mut self, peer: PeerKey, rendition: RenditionKey) {
        if let Some(peer) = self.peers.get_mut(peer)
            && let Ok(at) = peer.renditions.binary_search(&rendition)
        {
            peer.renditions.remove(at);
            shrink(&mut peer.renditions);
        }
    }

    /// Makes room by a sixteenth of the maximum: the largest swarms lose what is of least use, down
    /// to one size. Each swarm is visited once in so many announces, and there are no more swarms
    /// than entries, so an announce costs a few visits at most, on average.
    fn trim(&mut self) {
        let target = self.config.entries_max - self.config.entries_max / 16;
        let allowed = self.by_size.largest_within(target);
        let mut dropped = Vec::new();
        for (rendition, entries) in self.swarms.iter_mut() {
            if entries.len() > allowed {
                let before = entries.len();
                crowding::cut(entries, allowed, |peer| dropped.push((peer, rendition)));
                self.by_size.changed(before, entries.len());
                self.len -= before - entries.len();
                shrink(entries);
            }
        }
        if allowed == 0 {
            self.swarms = Paged::new();
        }
        for (peer, rendition) in dropped {
            self.unlist(peer, rendition);
        }
    }
}

impl Numbered for RenditionKey {
    fn number(self) -> u32 {
        self.0
    }

    fn of(number: u32) -> Self {
        Self(number)
    }
}

impl Numbered for PeerKey {
    fn number(self) -> u32 {
        self.0
    }

    fn of(number: u32) -> Self {
        Self(number)
    }
}

impl Entry {
    fn take_profile(&mut self, profile: PeerProfile) {
        self.region = profile.region;
        self.uploads = profile.uploads;
        self.prefix = profile
            .prefix
            .to_le_bytes()
            .into_iter()
            .fold(0, |fold, byte| fold ^ byte);
    }
}

/// Makes room for one more by an eighth, not by doubling: most lists stay short.
fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 1);
    }
}

/// Gives memory back once half of it is unused.
fn shrink<T>(list: &mut Vec<T>) {
    if list.len() < list.capacity() / 2 {
        list.shrink_to_fit();
    }
}
