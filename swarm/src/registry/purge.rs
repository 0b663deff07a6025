//! Taking away what does not stand any more, a little with each peer that leaves.
//!
//! So no leave costs much more than what that peer had announced, and what has fallen is at most about
//! a quarter of all entries. Lookups and newcomers take away what they come across themselves.

use crate::key::RenditionKey;
use crate::registry::paged::Paged;
use crate::registry::{SwarmRegistry, crowding};

/// Entries looked at for each that has fallen. Guess.
const VISITS_EACH: usize = 4;

impl SwarmRegistry {
    /// Looks through the next swarms because so many entries have fallen.
    pub(super) fn purge(&mut self, fallen: usize) {
        let mut visits = fallen.saturating_mul(VISITS_EACH);
        if visits == 0 || self.peers.fallen() == 0 {
            return;
        }
        let from = core::mem::replace(&mut self.purge_from, RenditionKey(0));
        let mut empty = Vec::new();
        for (rendition, entries) in self.swarms.range_mut(from) {
            if visits == 0 {
                self.purge_from = rendition;
                break;
            }
            visits = visits.saturating_sub(entries.len().max(1));
            let before = entries.len();
            let peers = &mut self.peers;
            entries.retain(|entry| {
                let stands = peers.stands(entry);
                if !stands {
                    peers.removed(entry);
                }
                stands
            });
            if entries.len() < before {
                self.by_size.shrank(before, entries);
                if entries.is_empty() {
                    empty.push(rendition);
                }
            }
        }
        for rendition in empty {
            self.swarms.remove(rendition);
        }
    }

    /// Makes room by a sixteenth of the maximum: what has fallen goes first, then the largest swarms lose
    /// what is of least use, down to one size. Each swarm is visited once in so many announces, and there
    /// are no more swarms than entries, so an announce costs a few visits at most, on average.
    pub(super) fn trim(&mut self) {
        let target = self.config.entries_max - self.config.entries_max / 16;
        self.purge_from = RenditionKey(0);
        self.purge(usize::MAX);
        if self.by_size.entries() <= target {
            return;
        }
        let allowed = self.by_size.largest_within(target);
        for (_, entries) in self.swarms.iter_mut() {
            if entries.len() > allowed {
                let before = entries.len();
                crowding::cut(entries, allowed, |gone| self.peers.removed(gone));
                self.by_size.shrank(before, entries);
            }
        }
        if allowed == 0 {
            self.swarms = Paged::new();
        }
    }
}
