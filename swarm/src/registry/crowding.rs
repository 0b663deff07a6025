//! What a swarm that is too large gives up, at a cost that does not grow with it.
//!
//! Of a popular rendition the tracker needs no more holders than it can hand out, so a newcomer to a
//! full swarm takes the place of the least useful of a few known ones, and where all together are
//! too many the largest swarms are cut to one size.

use crate::key::PeerKey;
use crate::lot::{lot, near};
use crate::memory::bring_range;
use crate::registry::{Entry, entry_at, shrink};

/// Entries of a full swarm that are compared when a newcomer wants a place; all of a swarm as small
/// as that of the published tracker. Eight cache lines. Guess.
const COMPARED: usize = 32;

/// Lower is of less use to who looks for a holder: whether it uploads, whether it is complete, how old
/// its word is.
fn use_of(entry: &Entry) -> u64 {
    let class = u64::from(entry.uploads()) << 1 | u64::from(entry.is_full());
    class << u32::BITS | u64::from(entry.said)
}

/// Brings near those near the place of a peer.
pub(super) fn bring(entries: &[Entry], peer: PeerKey) {
    let from = near(entries.len(), lot(peer.0)).saturating_sub(COMPARED / 2);
    bring_range(entries, from, COMPARED);
}

/// Puts the newcomer in the place of the least useful of those near its own place; who had to go.
/// Nobody, and no place for the newcomer, if it is of less use itself.
pub(super) fn replace(entries: &mut [Entry], newcomer: Entry) -> Option<Entry> {
    let at = entry_at(entries, newcomer.peer).unwrap_or_else(|at| at);
    let end = (at + COMPARED / 2).max(COMPARED).min(entries.len());
    let from = end.saturating_sub(COMPARED);
    let compared = entries.get(from..end)?;
    let (gone, least) = compared
        .iter()
        .enumerate()
        .min_by_key(|(_, entry)| use_of(entry))?;
    let (gone, least) = (from + gone, *least);
    if use_of(&newcomer) < use_of(&least) {
        return None;
    }
    // Those between both places move up by one, which are few.
    if gone < at {
        entries.copy_within(gone + 1..at, gone);
        entries[at - 1] = newcomer;
    } else {
        entries.copy_within(at..gone, at + 1);
        entries[at] = newcomer;
    }
    Some(least)
}

/// Leaves the `allowed` most useful entries, in their order; tells whose went.
pub(super) fn cut(entries: &mut Vec<Entry>, allowed: usize, mut gone: impl FnMut(&Entry)) {
    let many = entries.len().saturating_sub(allowed);
    if many == 0 {
        return;
    }
    let rank = |entry: &Entry| (use_of(entry), lot(entry.peer.0));
    let mut by_use: Vec<_> = entries.iter().map(rank).collect();
    let (_, last, _) = by_use.select_nth_unstable(many - 1);
    let last = *last;
    entries.retain(|entry| {
        let stays = rank(entry) > last;
        if !stays {
            gone(entry);
        }
        stays
    });
}

/// How many swarms there are of each size, and how many entries in all.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    counts: Vec<u32>,
    entries: usize,
}

impl Sizes {
    /// A swarm grew or shrank; size zero is none.
    pub(super) fn changed(&mut self, from: usize, to: usize) {
        self.entries = self.entries - from + to;
        if self.counts.len() <= to {
            self.counts.resize(to + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(from).filter(|_| from > 0) {
            *count -= 1;
        }
        if let Some(count) = self.counts.get_mut(to).filter(|_| to > 0) {
            *count += 1;
        }
    }

    /// A swarm had so many entries and lost some; gives their memory back.
    pub(super) fn shrank(&mut self, before: usize, entries: &mut Vec<Entry>) {
        self.changed(before, entries.len());
        shrink(entries);
    }

    /// Entries of all swarms.
    pub(super) const fn entries(&self) -> usize {
        self.entries
    }

    /// The largest size to which all swarms may be cut so that at most `entries` are left.
    pub(super) fn largest_within(&self, entries: usize) -> usize {
        let mut larger: usize = self.counts.iter().map(|count| *count as usize).sum();
        let mut left = 0;
        for (size, count) in self.counts.iter().enumerate() {
            // Every swarm that is not smaller keeps one more.
            if size > 0 {
                left += larger;
            }
            if left > entries {
                return size - 1;
            }
            larger -= *count as usize;
        }
        self.counts.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(peer: u32, said: u32, full: bool, uploads: bool) -> Entry {
        Entry {
            peer: PeerKey(peer),
            said,
            handed: 0,
            region: 0,
            traits: Entry::traits(full, uploads),
            prefix: 0,
            session: 0,
        }
    }

    fn swarm(count: u32) -> Vec<Entry> {
        let mut entries: Vec<Entry> = (0..count).map(|at| entry(at, at, true, true)).collect();
        entries.sort_unstable_by_key(|entry| lot(entry.peer.0));
        entries
    }

    fn is_ordered(entries: &[Entry]) -> bool {
        entries.is_sorted_by_key(|entry| lot(entry.peer.0))
    }

    #[test]
    fn the_oldest_goes_from_a_small_swarm_and_an_old_one_from_a_large_one() {
        for count in [1, 2, 20, 32] {
            for peer in 100..140 {
                let mut entries = swarm(count);
                let gone = replace(&mut entries, entry(peer, 500, true, true));
                assert_eq!(
                    gone.map(|gone| gone.peer),
                    Some(PeerKey(0)),
                    "{count} holders"
                );
                assert!(is_ordered(&entries) && entries.len() == count as usize);
                assert!(entries.iter().any(|entry| entry.peer == PeerKey(peer)));
            }
        }
        let mut ages = 0;
        for peer in 5_000..5_100 {
            let mut entries = swarm(1_000);
            let gone = replace(&mut entries, entry(peer, 5_000, true, true));
            ages += gone.expect("somebody goes").peer.0;
            assert!(is_ordered(&entries) && entries.len() == 1_000);
        }
        assert!(ages < 100 * 100, "the oldest of 32 is 30 of 1,000: {ages}");
    }

    #[test]
    fn nobody_of_more_use_makes_place() {
        let mut entries = swarm(20);
        assert!(replace(&mut entries, entry(99, 500, false, true)).is_none());
        assert!(replace(&mut entries, entry(99, 500, true, false)).is_none());
        entries[7].traits = Entry::FULL;
        let silent = entries[7].peer;
        let gone = replace(&mut entries, entry(99, 500, false, true));
        assert_eq!(gone.map(|gone| gone.peer), Some(silent));
    }

    #[test]
    fn a_cut_leaves_the_newest() {
        let mut entries = swarm(100);
        let mut gone = Vec::new();
        cut(&mut entries, 40, |entry| gone.push(entry.peer.0));
        gone.sort_unstable();
        assert_eq!(gone, (0..60).collect::<Vec<u32>>());
        assert!(is_ordered(&entries) && entries.len() == 40);
    }

    #[test]
    fn sizes_tell_how_far_to_cut() {
        let mut sizes = Sizes::default();
        for size in [1, 1, 5, 10] {
            (0..size).for_each(|at| sizes.changed(at, at + 1));
        }
        let left = |most: usize| [1, 1, 5, 10].iter().map(|size| most.min(*size)).sum();
        for entries in 0..20_usize {
            let most = sizes.largest_within(entries);
            let fits: usize = left(most);
            assert!(fits <= entries && (most >= 10 || left(most + 1) > entries));
        }
        assert_eq!(sizes.entries(), 17);
        sizes.changed(10, 3);
        assert_eq!(sizes.largest_within(9), 4);
    }
}
