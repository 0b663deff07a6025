//! When cores are woken: one event for the earliest moment each wants, and none where it will hear
//! something before that.
//!
//! With each request a core wants to look whether it is late, and mostly it is not: it hears of the
//! end first, and wants something else then. So while a request is under way its next event stands for
//! such a wake-up, and whenever that event is put off, or the request ends otherwise, the wake-up is
//! queued after all. Cores hear the same at the same moments as with an event for each.

use antiphon_swarm::Input;

use crate::world::World;
use crate::world::happening::Happening;
use crate::world::online::Incoming;

/// No wake-up wanted, or no event known.
pub(super) const NEVER: u64 = u64::MAX;

/// When a core wants to be woken, and the earliest event queued for it. Apart from the node: most of
/// these events come to nothing, and then it is not looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wake {
    due: u64,
    queued: u64,
    /// The event after that one, which was the earliest when the core wanted to be woken later.
    behind: u64,
}

impl Wake {
    pub(super) const NONE: Self = Self {
        due: NEVER,
        queued: NEVER,
        behind: NEVER,
    };
}

impl World {
    /// A wake-up that is queued early enough serves; it looks again when it comes. So does the next
    /// event of a request.
    pub(super) fn plan_wake(&mut self, node: u32, due: u64) {
        // What a core heard late may have made it want to look at something that is past.
        self.seats[node as usize].wake.due = due.max(self.now);
        self.secure_wake(node);
    }

    /// Queues the wake-up a core waits for, unless something comes before it.
    pub(super) fn secure_wake(&mut self, node: u32) {
        let Wake { due, queued, .. } = self.seats[node as usize].wake;
        if due >= queued || self.hears_before(node, due) {
            return;
        }
        let wake = &mut self.seats[node as usize].wake;
        // Of those overtaken the last is kept in mind: mostly it is wanted again.
        (wake.queued, wake.behind) = (due, queued);
        self.queue.push(due, Happening::Due { node });
    }

    /// The next event of a transfer is at `at`.
    pub(super) fn expect_event(&mut self, id: u32, at: u64) {
        let to = self.transfers.of(id).to;
        if self
            .note_event(to, id, at)
            .is_some_and(|before| at > before)
        {
            self.secure_wake(to);
        }
    }

    /// Notes that the next event of a transfer to `node` is at `at`, and tells what was expected before; nothing if
    /// the node does not wait for it any more.
    pub(super) fn note_event(&mut self, node: u32, id: u32, at: u64) -> Option<u64> {
        let mut incoming = self.node_mut(node)?.incoming.iter_mut();
        let incoming = incoming.find(|incoming| incoming.transfer == id)?;
        Some(core::mem::replace(&mut incoming.next_event, at))
    }

    /// Whether an event of one of its requests comes before `due`.
    fn hears_before(&self, node: u32, due: u64) -> bool {
        let is_sooner = |incoming: &Incoming| incoming.next_event < due;
        self.node(node)
            .is_some_and(|online| online.incoming.iter().any(is_sooner))
    }

    /// Whether a wake-up at `at` will not come to nothing, as far as is known.
    pub(super) fn is_woken(&self, node: u32, at: u64) -> bool {
        let wake = &self.seats[node as usize].wake;
        wake.queued == at && wake.due <= at
    }

    /// Whether the core wanted to be woken now.
    pub(super) fn wake(&mut self, node: u32) -> bool {
        let now = self.now;
        let wake = &mut self.seats[node as usize].wake;
        if wake.queued != now {
            // Left over from an earlier session, or overtaken by an earlier one.
            return false;
        }
        (wake.queued, wake.behind) = (wake.behind, NEVER);
        if wake.due > now {
            self.secure_wake(node);
            return false;
        }
        self.catch_up(node);
        if !self.is_undecided(node) {
            // Else it decides with what it was told.
            self.hand_in(node, Input::Timeout);
        }
        self.decide();
        true
    }

    /// Whether each core that waits for a wake-up will be woken or hear something before.
    pub(super) fn wakes_are_secured(&self) -> bool {
        (0..self.seats.len() as u32).all(|node| {
            let Wake { due, queued, .. } = self.seats[node as usize].wake;
            due >= queued || self.hears_before(node, due)
        })
    }
}
