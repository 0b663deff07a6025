//! What a swarm that is too large gives up, at a cost that does not grow with it.
//!
//! Of a popular rendition the tracker needs no more holders than it can hand out, so a newcomer to a
//! full swarm takes the place of the least useful of a few known ones: complete copies that nobody was
//! told of yet stay for a while. Where all together are too many the largest swarms are cut to one size.

use crate::key::PeerKey;
use crate::lot::{lot, near};
use crate::memory::bring_range;
use crate::registry::entry::Entry;
use crate::registry::shrink;

/// A full swarm of so many is compared whole when a newcomer wants a place, and the oldest always goes: that of the
/// published tracker is smaller.
const WHOLE: usize = 32;

/// Entries that are compared of a larger one: two cache lines. With 32 the first minute of 300,000 nodes, of whom each
/// announces 150 copies, takes 5 % more time, and as much comes from the origin.
const COMPARED: usize = 8;

/// A complete copy that nobody was told of yet is as good as a newcomer's for so many seconds. The first minute takes
/// 4 % more time if its place is taken. Guess.
const YOUNG_SECS: u64 = 60;

/// How many are compared.
const fn compared(entries: usize) -> usize {
    if entries <= WHOLE { WHOLE } else { COMPARED }
}

/// Brings near those near the place of a peer.
pub(super) fn bring(entries: &[Entry], peer: PeerKey) {
    let compared = compared(entries.len());
    let from = near(entries.len(), lot(peer.0)).saturating_sub(compared / 2);
    bring_range(entries, from, compared);
}

/// Puts the newcomer, whose own place is `at`, in that of the least useful of those near it; who had to go.
/// Nobody, and no place for the newcomer, if it is of no more use itself.
pub(super) fn replace(entries: &mut [Entry], at: usize, newcomer: Entry) -> Option<Entry> {
    let compared = compared(entries.len());
    let end = (at + compared / 2).max(compared).min(entries.len());
    let from = end.saturating_sub(compared);
    let (mut gone, mut least) = (None, u64::MAX);
    for (at, entry) in entries.get(from..end)?.iter().enumerate() {
        if entry.usefulness() < least {
            (gone, least) = (Some(from + at), entry.usefulness());
        }
    }
    let gone = gone?;
    let entry = *entries.get(gone)?;
    let gain = newcomer.usefulness().checked_sub(least)?;
    if entries.len() > WHOLE && entry.handed == 0 && gain < YOUNG_SECS {
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
    Some(entry)
}

/// Leaves the `allowed` most useful entries, in their order; tells whose went.
pub(super) fn cut(entries: &mut Vec<Entry>, allowed: usize, mut gone: impl FnMut(&Entry)) {
    let many = entries.len().saturating_sub(allowed);
    if many == 0 {
        return;
    }
    let rank = |entry: &Entry| (entry.usefulness(), lot(entry.peer.0));
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
    use crate::registry::{Held, PeerProfile, entry_at};

    /// At its own place.
    fn replace(entries: &mut [Entry], newcomer: Entry) -> Option<Entry> {
        let at = entry_at(entries, newcomer.peer).unwrap_or_else(|at| at);
        super::replace(entries, at, newcomer)
    }

    fn entry(peer: u32, said: u32, full: bool, uploads: bool) -> Entry {
        let profile = PeerProfile {
            region: 0,
            prefix: 0,
            uploads,
        };
        let held = if full { Held::Full } else { Held::Partial };
        Entry::new(PeerKey(peer), &profile, said, 0).of(held)
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
        assert!(ages < 100 * 200, "the oldest of 8 is 111 of 1,000: {ages}");
    }

    #[test]
    fn who_was_named_to_nobody_yet_stays_for_a_minute() {
        let mut entries: Vec<Entry> = swarm(100)
            .iter()
            .map(|e| entry(e.peer.0, 100, true, true))
            .collect();
        assert!(replace(&mut entries, entry(500, 159, true, true)).is_none());
        let mut later = entries.clone();
        assert!(replace(&mut later, entry(500, 160, true, true)).is_some());
        let mut partial = entries.clone();
        partial
            .iter_mut()
            .for_each(|e| *e = entry(e.peer.0, 100, false, true));
        assert!(replace(&mut partial, entry(500, 101, true, true)).is_some());
        entries.iter_mut().for_each(|entry| entry.handed = 7);
        assert!(replace(&mut entries, entry(500, 101, true, true)).is_some());
        assert!(is_ordered(&entries));
    }

    #[test]
    fn nobody_of_more_use_makes_place() {
        let mut entries = swarm(20);
        assert!(replace(&mut entries, entry(99, 500, false, true)).is_none());
        assert!(replace(&mut entries, entry(99, 500, true, false)).is_none());
        let silent = entries[7].peer;
        entries[7] = entry(silent.0, 7, true, false);
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
