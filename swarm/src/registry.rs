//! [`SwarmRegistry`]: the tracker's knowledge of who holds what. Soft state: everything expires,
//! nothing is written down, a restart fills it again from announces.

use crate::key::{PeerKey, RenditionKey};
use crate::time::{Duration, Instant};

/// What the registry may hold, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RegistryConfig {
    /// Entries (a peer holding a rendition) at most; beyond it the oldest of the largest swarm go.
    pub entries_max: usize,
    /// How long an announce is believed.
    pub lifetime: Duration,
    /// What nodes are told as the time to announce again; under half of `lifetime`.
    pub announce_interval: Duration,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            // 64 bytes an entry make 256 MiB; a node of 1,270 tracks times 3,300 nodes. Guess.
            entries_max: 4 << 20,
            // Tracker trackers of BitTorrent use 30 min; nodes here also leave explicitly. Guess.
            lifetime: Duration::from_secs(45 * 60),
            announce_interval: Duration::from_secs(20 * 60),
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

/// Who holds what among the nodes online.
#[derive(Debug)]
pub struct SwarmRegistry {
    config: RegistryConfig,
}

impl SwarmRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new(config: RegistryConfig, _seed: [u8; 32]) -> Self {
        Self { config }
    }

    /// What nodes are told as the time to announce again.
    #[must_use]
    pub const fn announce_interval(&self) -> Duration {
        self.config.announce_interval
    }

    /// A node came online, or its profile changed.
    pub fn join(&mut self, _now: Instant, _peer: PeerKey, _profile: PeerProfile) {}

    /// A node went offline: all its entries go.
    pub fn leave(&mut self, _now: Instant, _peer: PeerKey) {}

    /// A joined node holds a rendition, or, with `None`, does not any more.
    pub fn announce(
        &mut self,
        _now: Instant,
        _peer: PeerKey,
        _rendition: RenditionKey,
        _held: Option<Held>,
    ) {
    }

    /// At most `limit` holders for `asker`, best first, never the asker itself.
    pub fn lookup(
        &mut self,
        _now: Instant,
        _asker: PeerKey,
        _rendition: RenditionKey,
        _limit: usize,
    ) -> Vec<Pick> {
        Vec::new()
    }

    /// Forgets what expired. Due at [`SwarmRegistry::poll_timeout`].
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When something expires next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Entries known.
    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
