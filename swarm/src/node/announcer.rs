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
#[derive(Debug)]
pub(crate) struct Announcer {
    changes: Vec<RenditionKey>,
    /// When the changes leave; the last moment there is without any.
    changes_at: Instant,
    /// Changes before this are gathered.
    gathers_until: Instant,
    /// When everything is told again; the last moment there is if it need not be.
    everything_at: Instant,
    /// When the tracker is told that nothing changed; the last moment there is before it has said when.
    renew_at: Instant,
    reachable: bool,
}

impl Default for Announcer {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            changes_at: Instant::MAX,
            gathers_until: Instant::START,
            everything_at: Instant::MAX,
            renew_at: Instant::MAX,
            reachable: false,
        }
    }
}

impl Announcer {
    /// Something about a rendition changed. It is told within `wait`, or with what is told before that.
    pub(crate) fn changed(&mut self, now: Instant, rendition: RenditionKey, wait: Duration) {
        if let Err(at) = self.changes.binary_search(&rendition) {
            self.changes.insert(at, rendition);
        }
        let at = (now + wait).max(self.gathers_until);
        if self.changes.len() > CHANGES_MAX {
            self.changes = Vec::new();
            self.everything_at = at;
        } else {
            self.changes_at = self.changes_at.min(at);
        }
    }

    /// The tracker can be reached (again): it may have forgotten everything.
    pub(crate) fn reachable(&mut self, now: Instant) {
        self.reachable = true;
        self.everything_at = now;
    }

    pub(crate) fn unreachable(&mut self) {
        self.reachable = false;
    }

    /// The tracker wants to hear after a while that it still holds.
    pub(crate) fn again(&mut self, at: Instant) {
        self.renew_at = at;
    }

    /// What is due now, if anything. What changes within `gap` after that is told together.
    pub(crate) fn due(&mut self, now: Instant, gap: Duration) -> Option<Due> {
        if !self.reachable {
            return None;
        }
        if self.everything_at <= now {
            (self.everything_at, self.changes_at) = (Instant::MAX, Instant::MAX);
            self.changes = Vec::new();
            return Some(Due::Everything);
        }
        if self.changes_at <= now {
            self.gathers_until = self.changes_at + gap;
            self.changes_at = Instant::MAX;
            return Some(Due::Changes(core::mem::take(&mut self.changes)));
        }
        if self.renew_at <= now {
            self.renew_at = Instant::MAX;
            return Some(Due::Nothing);
        }
        None
    }

    /// When something is due next; the last moment there is if nothing will be.
    pub(crate) fn next(&self) -> Instant {
        if !self.reachable {
            return Instant::MAX;
        }
        self.changes_at.min(self.everything_at).min(self.renew_at)
    }

    /// What may be told at all changed.
    pub(crate) fn everything_changed(&mut self, now: Instant) {
        self.everything_at = now;
    }

    pub(crate) const fn is_reachable(&self) -> bool {
        self.reachable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(1);

    #[test]
    fn a_change_leaves_at_once_and_more_together_while_the_tracker_is_there() {
        let mut announcer = Announcer::default();
        let (t0, gap) = (Instant::START, GAP);
        let after = |millis| t0 + Duration::from_millis(millis);
        let [one, two, three] = [1, 2, 3].map(RenditionKey);
        announcer.changed(t0, two, Duration::ZERO);
        assert_eq!(announcer.next(), Instant::MAX);
        announcer.reachable(t0);
        assert_eq!(announcer.due(t0, gap), Some(Due::Everything));
        announcer.changed(after(1_000), two, Duration::ZERO);
        let due = announcer.due(after(1_000), gap);
        assert_eq!(due, Some(Due::Changes(vec![two])));
        announcer.changed(after(1_300), three, Duration::ZERO);
        announcer.changed(after(1_500), one, Duration::ZERO);
        announcer.changed(after(1_600), three, Duration::ZERO);
        assert_eq!(announcer.due(after(1_600), gap), None);
        assert_eq!(announcer.next(), after(2_000));
        let due = announcer.due(after(2_000), gap);
        assert_eq!(due, Some(Due::Changes(vec![one, three])));
        assert_eq!(announcer.next(), Instant::MAX);
        announcer.changed(after(3_500), one, Duration::ZERO);
        let due = announcer.due(after(3_500), gap);
        assert_eq!(due, Some(Due::Changes(vec![one])));
    }

    #[test]
    fn what_may_wait_leaves_with_what_may_not() {
        let mut announcer = Announcer::default();
        let after = |seconds| Instant::START + Duration::from_secs(seconds);
        announcer.reachable(Instant::START);
        announcer.due(Instant::START, GAP);
        let [one, two, three] = [1, 2, 3].map(RenditionKey);
        let wait = Duration::from_secs(30);
        announcer.changed(after(10), three, wait);
        announcer.changed(after(20), one, wait);
        assert_eq!(announcer.due(after(39), GAP), None);
        let due = announcer.due(after(40), GAP);
        assert_eq!(due, Some(Due::Changes(vec![one, three])));
        announcer.changed(after(50), three, wait);
        announcer.changed(after(60), two, Duration::ZERO);
        let due = announcer.due(after(60), GAP);
        assert_eq!(due, Some(Due::Changes(vec![two, three])));
        assert_eq!(announcer.next(), Instant::MAX);
    }

    #[test]
    fn a_renewal_tells_nothing_and_a_tracker_that_was_gone_hears_everything() {
        let mut announcer = Announcer::default();
        let (t0, later) = (Instant::START, Instant::START + Duration::from_secs(1_200));
        announcer.reachable(t0);
        assert_eq!(announcer.due(t0, GAP), Some(Due::Everything));
        announcer.again(later);
        assert_eq!(announcer.due(t0, GAP), None);
        assert_eq!(announcer.next(), later);
        assert_eq!(announcer.due(later, GAP), Some(Due::Nothing));
        announcer.again(later);
        announcer.unreachable();
        assert_eq!(announcer.due(later, GAP), None);
        announcer.reachable(later);
        assert_eq!(announcer.due(later, GAP), Some(Due::Everything));
    }

    #[test]
    fn too_many_changes_become_everything() {
        let mut announcer = Announcer::default();
        announcer.reachable(Instant::START);
        announcer.due(Instant::START, GAP);
        for key in 0..=CHANGES_MAX as u32 {
            announcer.changed(Instant::START, RenditionKey(key), Duration::ZERO);
        }
        assert_eq!(announcer.due(Instant::START, GAP), Some(Due::Everything));
    }
}
