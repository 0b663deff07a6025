//! Which holders an asker is told: complete copies first, near ones first, those handed out
//! longest ago first, spread over network prefixes; ties by seeded chance.

use crate::key::PeerKey;
use crate::registry::entry::Entry;
use crate::registry::presence::Presence;
use crate::registry::{Held, Pick};

/// Candidates kept for each place in the answer, from which prefixes are spread. Guess.
const CANDIDATES_PER_PLACE: usize = 4;

/// More candidates than the limit are put in order at once, by one in so many of it: some share a prefix or do
/// not stand any more. Guess.
const SPARE_SHARE: usize = 4;

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
        let far = self.region != 0 && entry.region() != self.region;
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

/// Ranks, best first, put in order only as far as they are asked for: mostly little more than the limit of hundreds.
struct BestFirst {
    ranks: Vec<u64>,
    next: usize,
    /// From here on they are in no order, and none is better than those before.
    ordered: usize,
}

impl BestFirst {
    /// The next of them, after `batch` more are put in order if need be. What is known of the peers of a batch lies
    /// here and there; `bring` brings it near.
    fn next(&mut self, batch: usize, bring: impl Fn(&[u64])) -> Option<usize> {
        if self.next == self.ordered {
            let rest = self.ranks.get_mut(self.ordered..)?;
            let batch = batch.clamp(1, rest.len().max(1));
            if batch < rest.len() {
                rest.select_nth_unstable(batch);
            }
            let batch = rest.get_mut(..batch)?;
            bring(batch);
            batch.sort_unstable();
            self.ordered += batch.len();
        }
        let rank = self.ranks.get(self.next)?;
        self.next += 1;
        Some(place(*rank))
    }
}

/// At most `limit` of `entries` that are believed at `second`, best first; those are marked as handed out. And
/// where those are that were met on the way and are not.
pub(super) fn select(
    entries: &mut [Entry],
    asking: Asking,
    limit: usize,
    (presence, second): (&Presence, u32),
) -> (Vec<Pick>, Vec<usize>) {
    let mut ranks: Vec<u64> = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        if entry.uploads() && entry.peer != asking.asker {
            ranks.push(asking.rank(entry, at));
        }
    }
    let mut best = BestFirst {
        ranks,
        next: 0,
        ordered: 0,
    };
    let bring = |ranks: &[u64]| {
        let peers = || ranks.iter().map(|rank| entries[place(*rank)].peer);
        peers().for_each(|peer| presence.bring_page(peer));
        peers().for_each(|peer| presence.bring(peer));
    };
    let kept = limit.saturating_mul(CANDIDATES_PER_PLACE);
    let some = limit.min(entries.len());
    let mut chosen: Vec<usize> = Vec::with_capacity(some);
    let mut passed_over: Vec<usize> = Vec::new();
    let mut unbelieved: Vec<usize> = Vec::new();
    let mut prefixes: Vec<u8> = Vec::with_capacity(some);
    while chosen.len() < limit && chosen.len() + passed_over.len() < kept {
        let Some(at) = best.next(limit + limit / SPARE_SHARE, bring) else {
            break;
        };
        if !presence.believes(&entries[at], second) {
            unbelieved.push(at);
            continue;
        }
        let prefix = entries[at].prefix();
        if prefixes.contains(&prefix) {
            passed_over.push(at);
        } else {
            prefixes.push(prefix);
            chosen.push(at);
        }
    }
    // Better a second holder behind one prefix than none.
    let free = limit.saturating_sub(chosen.len());
    if free > 0 && !passed_over.is_empty() {
        chosen.extend(passed_over.into_iter().take(free));
        chosen.sort_by_key(|at| asking.rank(&entries[*at], *at));
    }
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
