//! What the tracker is to be told, gathered into few messages.
//!
//! Not here: what is held; entries are looked up when they leave.

use crate::key::RenditionKey;
use crate::time::{Duration, Instant};

/// Changes waiting to be told before everything is told instead. Guess.
const CHANGES_MAX: usize = 1_024;

/// What to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Everything that is held.
    Everything,
    /// These.
    Changes(Vec<RenditionKey>),
    /// That what was told still holds.
    Nothing,
}

/// What is waiting to be told.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    changes: Vec<RenditionKey>,
    /// When the changes leave.
    changes_at: Option<Instant>,
    /// When everything is told again.
    everything_at: Option<Instant>,
    /// When the tracker is told that nothing changed.
    renew_at: Option<Instant>,
    reachable: bool,
}

impl Announcer {
    /// Something about a rendition changed.
    pub(crate) fn changed(&mut self, now: Instant, rendition: RenditionKey, delay: Duration) {
        if let Err(at) = self.changes.binary_search(&rendition) {
            self.changes.insert(at, rendition);
        }
        if self.changes.len() > CHANGES_MAX {
            self.changes = Vec::new();
            self.everything_at = Some(now + delay);
        } else if self.changes_at.is_none() {
            self.changes_at = Some(now + delay);
        }
    }

    /// The tracker can be reached (again): it may have forgotten everything.
    pub(crate) fn reachable(&mut self, now: Instant) {
        self.reachable = true;
        self.everything_at = Some(now);
    }

    pub(crate) fn unreachable(&mut self) {
        self.reachable = false;
    }

    /// The tracker wants to hear after a while that it still holds.
    pub(crate) fn again(&mut self, at: Instant) {
        self.renew_at = Some(at);
    }

    /// What is due now, if anything.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if !self.reachable {
            return None;
        }
        if self.everything_at.is_some_and(|at| at <= now) {
            self.everything_at = None;
            self.changes_at = None;
            self.changes = Vec::new();
            return Some(Due::Everything);
        }
        if self.changes_at.is_some_and(|at| at <= now) {
            self.changes_at = None;
            return Some(Due::Changes(core::mem::take(&mut self.changes)));
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = None;
            return Some(Due::Nothing);
        }
        None
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let told = self.changes_at.into_iter().chain(self.everything_at);
        let next = told.chain(self.renew_at).min();
        next.filter(|_| self.reachable)
    }

    /// What may be told at all changed.
    pub(crate) fn everything_changed(&mut self, now: Instant) {
        self.everything_at = Some(now);
    }

    pub(crate) const fn is_reachable(&self) -> bool {
        self.reachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_leave_together_and_only_while_the_tracker_is_there() {
        let mut announcer = Announcer::default();
        let (t0, delay) = (Instant::START, Duration::from_secs(1));
        announcer.changed(t0, RenditionKey(2), delay);
        announcer.changed(t0 + Duration::from_millis(500), RenditionKey(1), delay);
        announcer.changed(t0 + Duration::from_millis(600), RenditionKey(2), delay);
        assert_eq!(announcer.next(), None);
        announcer.reachable(t0);
        assert_eq!(announcer.due(t0), Some(Due::Everything));
        announcer.changed(t0, RenditionKey(2), delay);
        announcer.changed(t0, RenditionKey(1), delay);
        assert_eq!(announcer.due(t0), None);
        let due = announcer.due(t0 + delay);
        assert_eq!(
            due,
            Some(Due::Changes(vec![RenditionKey(1), RenditionKey(2)]))
        );
        assert_eq!(announcer.next(), None);
    }

    #[test]
    fn a_renewal_tells_nothing_and_a_tracker_that_was_gone_hears_everything() {
        let mut announcer = Announcer::default();
        let (t0, later) = (Instant::START, Instant::START + Duration::from_secs(1_200));
        announcer.reachable(t0);
        assert_eq!(announcer.due(t0), Some(Due::Everything));
        announcer.again(later);
        assert_eq!(announcer.due(t0), None);
        assert_eq!(announcer.next(), Some(later));
        assert_eq!(announcer.due(later), Some(Due::Nothing));
        announcer.again(later);
        announcer.unreachable();
        assert_eq!(announcer.due(later), None);
        announcer.reachable(later);
        assert_eq!(announcer.due(later), Some(Due::Everything));
    }

    #[test]
    fn too_many_changes_become_everything() {
        let mut announcer = Announcer::default();
        announcer.reachable(Instant::START);
        announcer.due(Instant::START);
        for key in 0..=CHANGES_MAX as u32 {
            announcer.changed(Instant::START, RenditionKey(key), Duration::ZERO);
        }
        assert_eq!(announcer.due(Instant::START), Some(Due::Everything));
    }
}
