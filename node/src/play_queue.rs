//! What plays now and what plays next. Pure: knows nothing of players or networks.

use antiphon_protocol::TrackId;
use antiphon_protocol::catalog::TrackSummary;

/// Tracks a queue holds; more are refused. A day of music is about 450; guess.
pub const QUEUE_MAX: usize = 5_000;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// The track.
    pub track: TrackId,
    /// What the catalog said of it, when it came from a search or an album page: with it the first
    /// bytes can be asked for before the license is there.
    pub summary: Option<TrackSummary>,
}

/// The queue, with a cursor on the current entry.
#[derive(Clone, Debug, Default)]
pub struct PlayQueue {
    entries: Vec<Queued>,
    current: usize,
}

impl PlayQueue {
    /// Replaces everything; the first entry is current.
    pub fn replace(&mut self, entries: Vec<Queued>) {
        self.entries = entries;
        self.entries.truncate(QUEUE_MAX);
        self.current = 0;
    }

    /// Appends what fits, in place of what has played already if need be; returns how much did.
    pub fn append(&mut self, entries: Vec<Queued>) -> usize {
        let over = (self.entries.len() + entries.len()).saturating_sub(QUEUE_MAX);
        let over = over.min(self.current);
        self.entries.drain(..over);
        self.current -= over;
        let room = QUEUE_MAX - self.entries.len();
        let fitting = entries.len().min(room);
        self.entries.extend(entries.into_iter().take(fitting));
        fitting
    }

    /// The current entry.
    #[must_use]
    pub fn current(&self) -> Option<&Queued> {
        self.entries.get(self.current)
    }

    /// The entry after the current one.
    #[must_use]
    pub fn upcoming(&self) -> Option<&Queued> {
        self.entries.get(self.current + 1)
    }

    /// Moves on; false at the end, which leaves the queue finished.
    pub fn advance(&mut self) -> bool {
        self.current = (self.current + 1).min(self.entries.len());
        self.current < self.entries.len()
    }

    /// Moves back; false at the start.
    pub fn back(&mut self) -> bool {
        let moved = self.current > 0;
        self.current = self.current.saturating_sub(1);
        moved
    }

    /// Entries and the index of the current one.
    #[must_use]
    pub fn entries(&self) -> (&[Queued], usize) {
        (&self.entries, self.current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(number: u8) -> Queued {
        Queued {
            track: TrackId([number; 16]),
            summary: None,
        }
    }

    #[test]
    fn walks_forward_and_back_and_stops_at_both_ends() {
        let mut queue = PlayQueue::default();
        queue.replace(vec![queued(1), queued(2)]);
        assert_eq!(queue.upcoming(), Some(&queued(2)));
        assert!(queue.advance() && !queue.advance());
        assert_eq!(queue.current(), None);
        assert!(queue.back() && queue.back() && !queue.back());
        assert_eq!(queue.current(), Some(&queued(1)));
    }

    #[test]
    fn takes_no_more_than_its_limit() {
        let mut queue = PlayQueue::default();
        queue.replace(vec![queued(1); QUEUE_MAX - 1]);
        assert_eq!(queue.append(vec![queued(2); 3]), 1);
    }

    #[test]
    fn what_has_played_makes_room() {
        let mut queue = PlayQueue::default();
        queue.replace((0..QUEUE_MAX).map(|_| queued(1)).collect());
        assert_eq!(queue.append(vec![queued(2)]), 0, "nothing has played");
        for _ in 0..3 {
            queue.advance();
        }
        assert_eq!(queue.append(vec![queued(2); 5]), 3);
        assert_eq!(queue.current(), Some(&queued(1)));
        while queue.advance() {}
        assert_eq!(queue.append(vec![queued(3); 2]), 2);
        assert_eq!(queue.current(), Some(&queued(3)));
        assert_eq!(queue.entries().0.len(), QUEUE_MAX);
    }
}
