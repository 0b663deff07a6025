//! Where a peer's entry is in its swarm.
//!
//! Entries lie in an order by lot, so where one is can be said beforehand but for a little: the search
//! begins there, and reads one or two lines of memory of swarms that have dozens.

use crate::key::PeerKey;
use crate::registry::Entry;

/// The order of entries in their swarm: no peer's number says where, so that neighbors in it are
/// as good as drawn by lot. A bijection.
pub(super) const fn place_of(peer: PeerKey) -> u32 {
    peer.0.wrapping_mul(0x9e37_79b1)
}

/// A peer's entry.
pub(super) fn entry_of(entries: &[Entry], peer: PeerKey) -> Option<&Entry> {
    let entry = entries.get(first_from(entries, place_of(peer)));
    entry.filter(|entry| entry.peer == peer)
}

/// Where an entry would be if places were spread evenly.
pub(super) const fn near(entries: &[Entry], place: u32) -> usize {
    ((entries.len() as u64 * place as u64) >> u32::BITS) as usize
}

/// Where the first entry is whose place is not before `place`: as a search by halving, from where it
/// would be if places were spread evenly, in steps that double.
pub(super) fn first_from(entries: &[Entry], place: u32) -> usize {
    let is_before = |at: usize| entries.get(at).is_some_and(|e| place_of(e.peer) < place);
    let near = near(entries, place);
    let mut step = 1;
    let (low, high) = if is_before(near) {
        let mut low = near + 1;
        while is_before(low + step - 1) {
            low += step;
            step *= 2;
        }
        (low, (low + step - 1).min(entries.len()))
    } else {
        let mut high = near;
        while high >= step && !is_before(high - step) {
            high -= step;
            step *= 2;
        }
        ((high + 1).saturating_sub(step), high)
    };
    let left = entries.get(low..high).unwrap_or_default();
    low + left.partition_point(|entry| place_of(entry.peer) < place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SeededRng;

    /// Against halving, whatever the places are.
    #[test]
    fn the_first_entry_from_a_place_on_is_found() {
        let mut rng = SeededRng::new([4; 32]);
        for round in 0..2_000 {
            let count = rng.below(60) as usize;
            // Spread, or all in one corner.
            let among = if round % 2 == 0 { 1 << 32 } else { 90 };
            let entry = |peer| Entry {
                peer: PeerKey(peer),
                said: 0,
                handed: 0,
                region: 0,
                traits: Entry::FULL | Entry::UPLOADS,
                prefix: 0,
                session: 0,
            };
            let mut entries: Vec<Entry> =
                (0..count).map(|_| entry(rng.below(among) as u32)).collect();
            entries.sort_unstable_by_key(|entry| place_of(entry.peer));
            entries.dedup_by_key(|entry| entry.peer);
            let known = entries.iter().map(|entry| place_of(entry.peer));
            let near: Vec<u32> = known
                .flat_map(|place| [place, place.wrapping_add(1)])
                .collect();
            for place in near
                .into_iter()
                .chain([0, u32::MAX, rng.below(1 << 32) as u32])
            {
                let expected = entries.partition_point(|e| place_of(e.peer) < place);
                assert_eq!(
                    first_from(&entries, place),
                    expected,
                    "{place} of {entries:?}"
                );
            }
            for entry in &entries {
                let found = entry_of(&entries, entry.peer);
                assert!(found.is_some_and(|found| found.peer == entry.peer));
            }
        }
    }
}
