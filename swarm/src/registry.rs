//! [`SwarmRegistry`]: the tracker's knowledge of who holds what. Soft state: everything expires,
//! nothing is written down, a restart fills it again from announces.
//!
//! An entry takes 16 bytes in its swarm and nothing with its peer: when that leaves, what it said no
//! longer stands, and is taken away when somebody comes across it (`presence.rs`, `purge.rs`). With slack and
//! maps under 64 bytes (measured in a test). Not here: who may ask, tickets, addresses.

mod crowding;
mod entry;
mod expiry;
mod paged;
mod presence;
mod purge;
mod rarity;
mod selection;
#[cfg(test)]
mod tests;

use antiphon_protocol::peer::Extent;

use crate::key::{PeerKey, RenditionKey};
use crate::registry::entry::Entry;
use crate::registry::paged::{Numbered, Paged};
use crate::registry::presence::Presence;
use crate::rng::SeededRng;
use crate::time::{Duration, Instant};
use crate::{lot, memory};

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

impl Held {
    /// How much an extent says; nothing if it says that nothing is held.
    #[must_use]
    pub fn of(extent: &Extent) -> Option<Self> {
        match extent {
            Extent::Full => Some(Self::Full),
            Extent::Partial(units) => units.iter().any(|bits| *bits != 0).then_some(Self::Partial),
            Extent::Gone => None,
        }
    }
}

/// One answer of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Who.
    pub peer: PeerKey,
    /// How much of it.
    pub held: Held,
}

/// A request to come, as far as it says what will be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Of whom.
    pub peer: PeerKey,
    /// About what.
    pub rendition: RenditionKey,
    /// Whether it is a lookup; else an announce.
    pub looks_up: bool,
}

/// Renditions one peer is believed to hold: a full cache of the largest size. Guess. Beyond it
/// announces are ignored.
pub const PEER_RENDITIONS_MAX: usize = 65_536;

/// How many renditions ahead an announce asks for memory: for where a page is, for the page, which says where
/// the list is, and for the list. Each takes as long as some three announces. Guess.
const LOOK_AHEAD: [usize; 3] = [12, 8, 4];

/// Holders brought near for a lookup: half of a full swarm of the default. The processor goes on by itself. Guess.
const LOOKED_THROUGH: usize = 64;

/// Peers that are joined at once. Beyond it the newcomer is not known. Guess.
pub const PEERS_MAX: usize = 4 << 20;

/// Who holds what among the nodes online.
#[derive(Debug)]
pub struct SwarmRegistry {
    config: RegistryConfig,
    rng: SeededRng,
    /// By the [`lot`] of their peers, each, at most as many as a rank of them can tell apart.
    swarms: Paged<RenditionKey, Vec<Entry>>,
    peers: Presence,
    /// Swarms by the number of their entries, those that do not stand any more included.
    by_size: crowding::Sizes,
    lookups: u32,
    sweep: expiry::Sweep,
    /// From where on the next of those entries are looked for.
    purge_from: RenditionKey,
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
            peers: Presence::default(),
            by_size: crowding::Sizes::default(),
            lookups: 0,
            sweep: expiry::Sweep::default(),
            purge_from: RenditionKey(0),
            rarity: rarity::Rarity::default(),
        }
    }

    /// What nodes are told as the time to announce again.
    #[must_use]
    pub const fn announce_interval(&self) -> Duration {
        self.config.announce_interval
    }

    /// A node came online, or its profile changed. What it announced with another profile does not stand
    /// any more: it is expected to announce everything then.
    pub fn join(&mut self, now: Instant, peer: PeerKey, profile: PeerProfile) {
        let fallen = self.peers.join(now, self.config.lifetime, peer, profile);
        self.purge(fallen);
    }

    /// A node went offline: nothing it announced stands any more.
    pub fn leave(&mut self, _now: Instant, peer: PeerKey) {
        let fallen = self.peers.leave(peer);
        self.purge(fallen);
    }

    /// A joined node says that what it announced still holds. False if some of that was forgotten
    /// because it had been silent for too long: then it should announce everything.
    pub fn renew(&mut self, now: Instant, peer: PeerKey) -> bool {
        self.peers.renew(now + self.config.lifetime, peer)
    }

    /// A joined node holds a rendition, or, with `None`, does not any more.
    pub fn announce(
        &mut self,
        now: Instant,
        peer: PeerKey,
        rendition: RenditionKey,
        held: Option<Held>,
    ) {
        self.announce_all(now, peer, &[(rendition, held)]);
    }

    /// [`SwarmRegistry::announce`] for many renditions, each of which is looked for in memory while others
    /// are added.
    pub fn announce_all(
        &mut self,
        now: Instant,
        peer: PeerKey,
        told: &[(RenditionKey, Option<Held>)],
    ) {
        if told.is_empty() {
            return;
        }
        // Who tells of one change stands by the rest: it renews that only when nothing changes.
        let until = now + self.config.lifetime;
        let Some(said) = self.peers.says(now, until, peer) else {
            return;
        };
        let mut replaced = Vec::new();
        for (at, (rendition, held)) in told.iter().enumerate() {
            self.bring(peer, told.get(at..).unwrap_or_default());
            let Some(held) = held else {
                self.drop_entry(*rendition, peer);
                continue;
            };
            self.sweep.note(until);
            if let Some(gone) = self.add(*rendition, said.of(*held)) {
                self.peers.bring_page(gone.peer);
                replaced.push(gone);
            }
        }
        for gone in &replaced {
            self.peers.bring(gone.peer);
        }
        for gone in replaced {
            self.peers.removed(&gone);
        }
    }

    /// Brings near where it is said who holds a rendition and who a peer is, for a lookup or an announce to come. See
    /// [`memory`].
    pub fn bring_pages(&self, asked: Asked) {
        self.swarms.bring_page(asked.rendition);
        self.peers.bring_page(asked.peer);
    }

    /// After that: who the peer is, and where the list of holders is.
    pub fn bring_places(&self, asked: Asked) {
        self.swarms.bring(asked.rendition);
        self.peers.bring(asked.peer);
    }

    /// After that: the holders that an announce is compared with, or that a lookup looks through.
    pub fn bring_holders(&self, asked: Asked) {
        let Some(entries) = self.swarms.get(asked.rendition) else {
            return;
        };
        if asked.looks_up {
            memory::bring_range(entries, 0, LOOKED_THROUGH);
        } else {
            crowding::bring(entries, asked.peer);
        }
    }

    /// Brings near what will be looked at of the renditions that come next.
    fn bring(&self, peer: PeerKey, told: &[(RenditionKey, Option<Held>)]) {
        let nth = |at: usize| told.get(at).map(|(rendition, _)| *rendition);
        let [page, list, entries] = LOOK_AHEAD;
        if let Some(rendition) = nth(page) {
            self.swarms.bring_page(rendition);
        }
        if let Some(rendition) = nth(list) {
            self.swarms.bring(rendition);
        }
        if let Some(rendition) = nth(entries) {
            let looks_up = false;
            self.bring_holders(Asked {
                peer,
                rendition,
                looks_up,
            });
        }
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
        let region = self.peers.region(asker);
        self.lookups = self.lookups.saturating_add(1);
        let Some(entries) = self.swarms.get_mut(rendition) else {
            return Vec::new();
        };
        let second = expiry::to_seconds(now);
        let peers = &self.peers;
        let asking = selection::Asking {
            asker,
            region,
            lookup: self.lookups,
            salt: self.rng.next_u64(),
        };
        let (picks, mut passed) = selection::select(entries, asking, limit, (peers, second));
        // What only expired may yet be repeated.
        passed.retain(|at| entries.get(*at).is_some_and(|entry| !peers.stands(entry)));
        self.take_away(rendition, passed);
        picks
    }

    /// Entries that stand, some of which may have expired since the last sweep.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_size.entries() - self.peers.fallen()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds what was not known, or takes the place of what was. Who had to go for it.
    fn add(&mut self, rendition: RenditionKey, entry: Entry) -> Option<Entry> {
        let most = self.config.swarm_holders_max.min(selection::PLACES_MAX);
        let room = self.peers.has_room(entry.peer);
        let entries = self.swarms.get_or_insert(rendition, Vec::new);
        let found = entry_at(entries, entry.peer);
        let at = found.unwrap_or_else(|at| at);
        if let Some(known) = found.ok().and_then(|at| entries.get_mut(at)) {
            let stood = self.peers.stands(known);
            if !stood && !room {
                return None;
            }
            let handed = if stood { known.handed } else { 0 };
            self.peers.removed(known);
            *known = entry;
            known.handed = handed;
            self.peers.added(entry.peer);
            return None;
        }
        if !room {
            self.drop_empty(rendition);
            return None;
        }
        if entries.len() >= most {
            // If those known are all of more use, there is no place.
            let gone = crowding::replace(entries, at, entry)?;
            self.peers.added(entry.peer);
            return Some(gone);
        }
        grow(entries);
        entries.insert(at, entry);
        self.by_size.changed(entries.len() - 1, entries.len());
        self.peers.added(entry.peer);
        if self.by_size.entries() > self.config.entries_max {
            self.trim();
        }
        None
    }

    fn drop_entry(&mut self, rendition: RenditionKey, peer: PeerKey) {
        let Some(entries) = self.swarms.get_mut(rendition) else {
            return;
        };
        if let Ok(at) = entry_at(entries, peer) {
            self.take_away(rendition, vec![at]);
        }
    }

    /// Takes entries out of a swarm, given their places there.
    fn take_away(&mut self, rendition: RenditionKey, mut places: Vec<usize>) {
        let Some(entries) = self
            .swarms
            .get_mut(rendition)
            .filter(|_| !places.is_empty())
        else {
            return;
        };
        places.sort_unstable();
        let before = entries.len();
        for at in places.into_iter().rev() {
            let gone = entries.remove(at);
            self.peers.removed(&gone);
        }
        self.by_size.shrank(before, entries);
        self.drop_empty(rendition);
    }

    fn drop_empty(&mut self, rendition: RenditionKey) {
        if self.swarms.get(rendition).is_some_and(Vec::is_empty) {
            self.swarms.remove(rendition);
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

/// Where a peer's entry is, or belongs.
fn entry_at(entries: &[Entry], peer: PeerKey) -> Result<usize, usize> {
    lot::find(entries, peer.0, |entry| entry.peer.0)
}

/// Makes room for some more, and not by doubling: most lists stay short. With one more the first minute of a
/// million nodes takes a fifteenth more time, and 2 % less memory.
fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 4);
    }
}

/// Gives memory back once half of it is unused.
fn shrink<T>(list: &mut Vec<T>) {
    if list.len() < list.capacity() / 2 {
        list.shrink_to_fit();
    }
}
