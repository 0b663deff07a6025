//! Which holders an asker is told: complete copies first, near ones first, those handed out
//! longest ago first, spread over network prefixes; ties by seeded chance.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::key::PeerKey;
use crate::registry::presence::Presence;
use crate::registry::{Entry, Held, Pick};

/// Candidates kept for each place in the answer, from which prefixes are spread. Guess.
const CANDIDATES_PER_PLACE: usize = 4;

/// Entries that a rank can tell apart.
pub(super) const PLACES_MAX: usize = 1 << PLACE_BITS;

const PLACE_BITS: u32 = 16;

/// What is left of a rank beside two bits of class and when it was handed out.
const CHANCE_BITS: u32 = u64::BITS - PLACE_BITS - u32::BITS - 2;

/// One lookup.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) asker: PeerKey,
    pub(super) region: u8,
    pub(super) lookup: u32,
    pub(super) salt: u64,
}

impl Asking {
    /// Lower is better: whether it is incomplete, and far, when it was handed out, chance, and
    /// where it is in the list.
    fn rank(&self, entry: &Entry, at: usize) -> u64 {
        let far = self.region != 0 && entry.region != self.region;
        let class = u64::from(!entry.is_full()) << 1 | u64::from(far);
        let handed = class << u32::BITS | u64::from(entry.handed);
        let drawn = handed << CHANCE_BITS | self.chance(entry.peer);
        drawn << PLACE_BITS | at as u64
    }

    /// A number that differs for each lookup and peer.
    fn chance(&self, peer: PeerKey) -> u64 {
        let mixed = (self.salt ^ u64::from(peer.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93) >> (u64::BITS - CHANCE_BITS)
    }
}

/// The place in the list that a rank ends with.
const fn place(rank: u64) -> usize {
    rank as usize % PLACES_MAX
}

/// At most `limit` of `entries` that are believed at `second`, best first; those are marked as handed out. And
/// where those are that were met on the way and are not.
pub(super) fn select(
    entries: &mut [Entry],
    asking: Asking,
    limit: usize,
    (presence, second): (&Presence, u32),
) -> (Vec<Pick>, Vec<usize>) {
    let mut ranked: Vec<Reverse<u64>> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        if entry.uploads() && entry.peer != asking.asker {
            ranked.push(Reverse(asking.rank(entry, at)));
        }
    }
    // A heap, because mostly little more than the limit is taken from hundreds.
    let mut ranked = BinaryHeap::from(ranked);
    let mut best = core::iter::from_fn(|| ranked.pop().map(|Reverse(rank)| place(rank)));
    // Most of them are chosen, and what is known of each lies somewhere else.
    let likely: Vec<usize> = best.by_ref().take(limit).collect();
    for at in &likely {
        presence.bring_page(entries[*at].peer);
    }
    for at in &likely {
        presence.bring(entries[*at].peer);
    }
    let mut best = likely.into_iter().chain(best);
    let kept = limit.saturating_mul(CANDIDATES_PER_PLACE);
    let mut chosen: Vec<usize> = Vec::with_capacity(limit.min(entries.len()));
    let mut passed_over: Vec<usize> = Vec::new();
    let mut unbelieved: Vec<usize> = Vec::new();
    let mut prefixes: Vec<u8> = Vec::with_capacity(limit.min(entries.len()));
    while chosen.len() < limit && chosen.len() + passed_over.len() < kept {
        let Some(at) = best.next() else {
            break;
        };
        if !presence.believes(&entries[at], second) {
            unbelieved.push(at);
            continue;
        }
        let prefix = entries[at].prefix;
        if prefixes.contains(&prefix) {
            passed_over.push(at);
        } else {
            prefixes.push(prefix);
            chosen.push(at);
        }
    }
    // Better a second holder behind one prefix than none.
    let free = limit.saturating_sub(chosen.len());
    chosen.extend(passed_over.into_iter().take(free));
    chosen.sort_by_key(|at| asking.rank(&entries[*at], *at));
    let mut picks = Vec::with_capacity(chosen.len());
    for at in chosen {
        let entry = &mut entries[at];
        entry.handed = asking.lookup;
        let held = if entry.is_full() {
            Held::Full
        } else {
            Held::Partial
        };
        picks.push(Pick {
            peer: entry.peer,
            held,
        });
    }
    (picks, unbelieved)
}
