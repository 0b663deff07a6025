//! What can happen, and the order of things that happen at the same moment.

use antiphon_protocol::peer::Extent;
use antiphon_swarm::node::input::{Message, NeighborEvent};
use antiphon_swarm::{Input, RenditionKey};

use crate::engine::queue::Event;
use crate::world::World;

/// One event. Small, because millions wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    /// A core asked to be woken.
    Due { node: u32 },
    /// Something too large to wait in the queue.
    Deferred { slot: u32 },
    /// A request for a span is at its source.
    Asked { transfer: u32, life: u32 },
    /// A flow has moved the bytes of its next mark.
    Step { transfer: u32, life: u32, turn: u32 },
    /// A mark of a span is at the asker.
    Arrive {
        transfer: u32,
        life: u32,
        until: u32,
    },
    /// A cancellation is at the source.
    Canceled { transfer: u32, life: u32 },
    /// Somebody comes online.
    Arrival { user: u32 },
    /// Somebody leaves.
    Departure { user: u32, session: u32 },
    /// Somebody presses play after a pause.
    Listen { user: u32, session: u32 },
    /// The playhead is at something.
    Playhead { user: u32, turn: u32 },
    /// The license of the play of this number is there, or of the one that is expected to get it.
    Licensed { user: u32, play: u32, track: u32 },
    /// A play has no source in sight.
    Starved { user: u32, play: u32 },
    /// A fault begins or ends.
    Fault { number: u32, begins: bool },
    /// Somebody who misbehaves does so by itself.
    Mischief { user: u32, session: u32 },
    /// Somebody wants to hear a release.
    Release { user: u32, number: u32 },
    /// A row of the series is due.
    Sample,
}

/// What waits outside the queue.
#[derive(Clone, Debug)]
pub(super) enum Deferred {
    /// An input for a core, if it is still the same session.
    Input {
        node: u32,
        session: u32,
        input: Input,
    },
    /// A control message on a connection.
    Message {
        from: u32,
        to: u32,
        message: Message,
    },
    /// A dial has come through.
    Dialed {
        from: u32,
        from_session: u32,
        to: u32,
        to_session: u32,
    },
    /// A lookup is at the tracker.
    Lookup {
        node: u32,
        session: u32,
        rendition: RenditionKey,
        limit: u8,
    },
    /// An announce is at the tracker.
    Announce {
        node: u32,
        session: u32,
        entries: Vec<(RenditionKey, Extent)>,
    },
    /// A question what to keep for others is at the tracker.
    Placement { node: u32, session: u32, limit: u8 },
    /// The tracker notices that a node is gone.
    Gone { node: u32, session: u32 },
}

impl Event for Happening {
    fn class(&self) -> u8 {
        match self {
            Self::Fault { .. } => 0,
            Self::Asked { .. } | Self::Step { .. } | Self::Canceled { .. } => 1,
            Self::Arrive { .. } | Self::Deferred { .. } => 2,
            Self::Due { .. } => 3,
            Self::Licensed { .. } | Self::Playhead { .. } | Self::Starved { .. } => 4,
            Self::Arrival { .. }
            | Self::Departure { .. }
            | Self::Listen { .. }
            | Self::Mischief { .. }
            | Self::Release { .. } => 5,
            Self::Sample => 6,
        }
    }
}

impl World {
    pub(super) fn happen(&mut self, happening: Happening) {
        let class = happening.class();
        let (entity, outcome) = match happening {
            Happening::Due { node } => (node, u64::from(self.wake(node))),
            Happening::Deferred { slot } => self.deliver(slot),
            Happening::Asked { transfer, life } => (transfer, self.asked(transfer, life)),
            Happening::Step {
                transfer,
                life,
                turn,
            } => (transfer, self.step(transfer, life, turn)),
            Happening::Arrive {
                transfer,
                life,
                until,
            } => (transfer, self.arrive(transfer, life, until)),
            Happening::Canceled { transfer, life } => (transfer, self.canceled(transfer, life)),
            Happening::Arrival { user } => (user, self.arrival(user)),
            Happening::Departure { user, session } => (user, self.departure(user, session)),
            Happening::Listen { user, session } => (user, self.listen(user, session)),
            Happening::Playhead { user, turn } => (user, self.playhead(user, turn)),
            Happening::Licensed { user, play, track } => {
                (user, self.license_came(user, play, track))
            }
            Happening::Starved { user, play } => (user, self.starved(user, play)),
            Happening::Fault { number, begins } => {
                self.fault(number, begins);
                (number, u64::from(begins))
            }
            Happening::Mischief { user, session } => (user, self.mischief(user, session)),
            Happening::Release { user, number } => (user, self.release(user, number)),
            Happening::Sample => {
                self.sample();
                (0, 0)
            }
        };
        self.decide();
        self.digest
            .note(self.now, class, u64::from(entity), outcome);
    }

    /// Lets something happen `delay` microseconds from now.
    pub(super) fn after(&mut self, delay: u64, happening: Happening) {
        self.queue.push(self.now + delay, happening);
    }

    /// The same for what is too large for the queue.
    pub(super) fn defer(&mut self, delay: u64, deferred: Deferred) {
        let slot = if let Some(slot) = self.deferred_free.pop() {
            self.deferred[slot as usize] = Some(deferred);
            slot
        } else {
            self.deferred.push(Some(deferred));
            (self.deferred.len() - 1) as u32
        };
        self.after(delay, Happening::Deferred { slot });
    }

    /// An input for a core, unless its session is over by then.
    pub(super) fn feed_after(&mut self, delay: u64, node: u32, input: Input) {
        if let Some(session) = self.session(node) {
            self.defer(
                delay,
                Deferred::Input {
                    node,
                    session,
                    input,
                },
            );
        }
    }

    /// A connection that was missed may have been replaced in the meantime.
    fn is_outdated(&self, node: u32, input: &Input) -> bool {
        match input {
            Input::Neighbor {
                peer,
                event: NeighborEvent::Disconnected { .. },
            } => self.is_connected(node, peer.0),
            _ => false,
        }
    }

    fn deliver(&mut self, slot: u32) -> (u32, u64) {
        let Some(deferred) = self.deferred[slot as usize].take() else {
            return (slot, 0);
        };
        self.deferred_free.push(slot);
        match deferred {
            Deferred::Input {
                node,
                session,
                input,
            } => {
                let same = self.session(node) == Some(session) && !self.is_outdated(node, &input);
                if same {
                    self.feed(node, input);
                }
                (node, u64::from(same))
            }
            Deferred::Message { from, to, message } => {
                (to, self.message_arrived(from, to, message))
            }
            Deferred::Dialed {
                from,
                from_session,
                to,
                to_session,
            } => {
                let both = self.session(from) == Some(from_session)
                    && self.session(to) == Some(to_session);
                if both {
                    self.connect(from, to);
                }
                (from, u64::from(both) << 32 | u64::from(to))
            }
            Deferred::Lookup {
                node,
                session,
                rendition,
                limit,
            } => {
                self.look_up(node, session, rendition, limit);
                (node, u64::from(rendition.0))
            }
            Deferred::Placement {
                node,
                session,
                limit,
            } => (node, self.place(node, session, limit)),
            Deferred::Announce {
                node,
                session,
                entries,
            } => {
                let outcome = entries.len() as u64;
                self.announce(node, session, entries);
                (node, outcome)
            }
            Deferred::Gone { node, session } => {
                if self.seats[node as usize].person.sessions == session {
                    self.leave_registry(node);
                }
                (node, u64::from(session))
            }
        }
    }
}
