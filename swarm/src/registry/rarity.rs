//! What is asked for and held by few: of such renditions copies are placed at willing nodes.
//!
//! Soft state like everything here; [`SwarmRegistry::expect_asks`] brings it back after a restart.
//! Not here: which nodes are willing; they ask.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::key::{PeerKey, RenditionKey};
use crate::registry::{Entry, SwarmRegistry, entry_at, expiry};
use crate::time::Instant;

/// Renditions whose demand is remembered: 3 MiB. When it is full all counts are halved, and those
/// that come to nothing are forgotten. Guess.
const WANTS_MAX: usize = 65_536;

/// Renditions looked at for one offer; the next goes on behind them. With 1,024 an offer took 60 us where
/// everybody had just come online, and no scenario differs.
const SCANNED_MAX: usize = 256;

/// Seconds a node is given to get what was offered to it before another is offered it. Guess.
const OFFER_SECS: u32 = 1_800;

/// Asks from which on a rendition is worth a copy: one may be the only one who will ever ask.
const ASKS_MIN: u16 = 2;

/// Asks from which on even a rendition that nobody has is worth a copy from the origin. It costs the
/// origin a whole track and helps only while that one node is online: with 2 the origin of
/// `today-desktop` sent six times as much as without (0.65 to 3.8 Mbit/s). The value is a guess.
const ASKS_FOR_ORIGIN: u16 = 16;

/// The demand for one rendition.
#[derive(Clone, Copy, Debug)]
struct Want {
    asks: u16,
    /// Who asked last, or took an offer last: it asks again while it searches.
    asker: PeerKey,
    /// Offered to nobody before this second.
    offer_at: u32,
}

/// Demand for what few hold.
#[derive(Debug, Default)]
pub(super) struct Rarity {
    wants: BTreeMap<RenditionKey, Want>,
    /// Those of the wants that may be worth a copy: asked for since a look at them said no. Of a hundred
    /// asks of a large world's nodes one finds something, so this is what they look through.
    ripe: BTreeSet<RenditionKey>,
    /// What was offered, with the second from which on it may be again, in that order.
    offered: VecDeque<(u32, RenditionKey)>,
    cursor: u32,
}

impl Rarity {
    pub(super) fn asked(&mut self, rendition: RenditionKey, asker: PeerKey) {
        match self.wants.get_mut(&rendition) {
            Some(want) if want.asker == asker => {}
            Some(want) => {
                want.asks = want.asks.saturating_add(1);
                want.asker = asker;
                if want.asks >= ASKS_MIN {
                    self.ripe.insert(rendition);
                }
            }
            None => self.expect(rendition, 1, asker),
        }
    }

    /// What was offered long ago may be offered again; of more than there are wants the oldest is
    /// forgotten, and comes again when somebody asks.
    fn ripen(&mut self, second: u32) {
        let over = self.offered.len().saturating_sub(WANTS_MAX);
        self.offered.drain(..over);
        while let Some((_, rendition)) = self.offered.pop_front_if(|(at, _)| *at <= second) {
            if self.wants.contains_key(&rendition) {
                self.ripe.insert(rendition);
            }
        }
    }

    fn expect(&mut self, rendition: RenditionKey, asks: u16, asker: PeerKey) {
        if self.wants.len() >= WANTS_MAX {
            self.wants.retain(|_, want| {
                want.asks /= 2;
                want.asks > 0
            });
            self.ripe.retain(|ripe| self.wants.contains_key(ripe));
            self.offered
                .retain(|(_, offered)| self.wants.contains_key(offered));
        }
        if self.wants.len() < WANTS_MAX {
            let want = Want {
                asks,
                asker,
                offer_at: 0,
            };
            self.wants.insert(rendition, want);
            if asks >= ASKS_MIN {
                self.ripe.insert(rendition);
            }
        }
    }
}

impl SwarmRegistry {
    /// A rendition was asked for so often before this registry began.
    pub fn expect_asks(&mut self, rendition: RenditionKey, asks: u16) {
        if self.config.rare_holders > 0 && asks > 0 {
            self.rarity.expect(rendition, asks, PeerKey::OURSELVES);
        }
    }

    /// The demand known for what few hold, to be told to [`SwarmRegistry::expect_asks`] later.
    pub fn asks(&self) -> impl Iterator<Item = (RenditionKey, u16)> + '_ {
        let wants = self.rarity.wants.iter();
        wants.map(|(rendition, want)| (*rendition, want.asks))
    }

    /// At most `limit` renditions that `asker` should keep for others, most wanted first. They are
    /// offered to nobody else for a while.
    pub fn offer(&mut self, now: Instant, asker: PeerKey, limit: usize) -> Vec<RenditionKey> {
        let second = expiry::to_seconds(now).max(1);
        let mut plenty = Vec::new();
        let mut unripe = Vec::new();
        let mut best: Vec<(u32, RenditionKey)> = Vec::new();
        self.rarity.ripen(second);
        let from = self.rarity.cursor;
        let behind = self.rarity.ripe.range(RenditionKey(from)..);
        let before = self.rarity.ripe.range(..RenditionKey(from));
        for rendition in behind.chain(before).take(SCANNED_MAX) {
            self.rarity.cursor = rendition.0.wrapping_add(1);
            let Some(want) = self.rarity.wants.get(rendition) else {
                continue;
            };
            if want.offer_at > second {
                unripe.push(*rendition);
                continue;
            }
            let entries = self.swarms.get(*rendition).map_or(&[][..], Vec::as_slice);
            let stands = |entry: &Entry| self.peers.stands(entry);
            let full = entries.iter().filter(|e| e.is_full() && e.uploads());
            let enough = self.config.rare_holders;
            let holders = full.filter(|entry| stands(entry)).take(enough).count();
            if holders >= self.config.rare_holders {
                plenty.push(*rendition);
                continue;
            }
            let least = if holders > 0 {
                ASKS_MIN
            } else {
                ASKS_FOR_ORIGIN
            };
            if want.asks < least {
                unripe.push(*rendition);
            } else if !entry_at(entries, asker).is_ok_and(|at| stands(&entries[at])) {
                let missing = (self.config.rare_holders - holders) as u32;
                best.push((u32::from(want.asks) * missing, *rendition));
            }
        }
        for rendition in plenty {
            self.rarity.wants.remove(&rendition);
            self.rarity.ripe.remove(&rendition);
        }
        for rendition in unripe {
            self.rarity.ripe.remove(&rendition);
        }
        best.sort_unstable_by_key(|(score, rendition)| (core::cmp::Reverse(*score), *rendition));
        best.truncate(limit);
        for (_, rendition) in &best {
            if let Some(want) = self.rarity.wants.get_mut(rendition) {
                let again = second.saturating_add(OFFER_SECS);
                (want.offer_at, want.asker) = (again, asker);
                self.rarity.ripe.remove(rendition);
                self.rarity.offered.push_back((again, *rendition));
            }
        }
        best.into_iter().map(|(_, rendition)| rendition).collect()
    }
}
