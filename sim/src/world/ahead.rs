//! Bringing near what coming events will look at, in steps, because each says where
//! the next is: what the event carries, whom it concerns, that node, its tables.
//!
//! Nothing here changes anything: see [`antiphon_swarm::memory`].

use antiphon_swarm::memory::{bring, bring_range, bring_whole};
use antiphon_swarm::node::input::TrackerEvent;
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Input, PeerKey};

use crate::world::World;
use crate::world::happening::{Deferred, Happening};
use crate::world::online::Online;
use crate::world::transfers::Transfer;

/// Connections of a node that are brought near before they are searched: what mostly is there.
const CONNECTIONS: usize = 48;

/// What of a node an event looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// No table.
    Alone,
    /// What it plans with.
    Plans,
    /// The same, and what is on its disk.
    Shelf,
    /// What it answers peers with.
    Peers,
}

/// Whom an event concerns.
type Concerned = [Option<(u32, Part)>; 2];

impl World {
    /// The next stretch of time begins.
    pub(super) fn look_ahead(&self) {
        let [next, second, third, fourth] = self.queue.ahead();
        for (_, happening) in fourth {
            self.bring_carried(*happening);
        }
        for event in third {
            self.for_concerned(event, |node, part| self.bring_rows(node, part));
        }
        for event in second {
            self.for_concerned(event, |node, part| self.bring_node(node, part));
        }
        for event in next {
            self.for_concerned(event, |node, part| {
                if let Some(online) = self.node(node) {
                    online.bring_tables(part);
                }
                self.bring_lines(node, part);
            });
        }
    }

    fn for_concerned(&self, (time, happening): &(u64, Happening), bring: impl Fn(u32, Part)) {
        let [one, other] = self.concerned(*time, *happening);
        if let Some((node, part)) = one {
            bring(node, part);
        }
        if let Some((node, part)) = other {
            bring(node, part);
        }
    }

    fn bring_carried(&self, happening: Happening) {
        match happening {
            Happening::Deferred { slot } => bring(&self.deferred, slot as usize),
            Happening::Due { node } => bring(&self.seats, node as usize),
            _ => {
                if let Some(transfer) = transfer_of(happening) {
                    self.transfers.bring(transfer);
                }
            }
        }
    }

    fn bring_rows(&self, node: u32, part: Part) {
        let node = node as usize;
        bring(&self.seats, node);
        if matches!(part, Part::Shelf | Part::Peers) {
            bring(&self.people, node);
        }
        if part == Part::Shelf {
            bring(&self.shelves, node);
            self.tally.bring_node(node);
        }
    }

    fn bring_node(&self, node: u32, part: Part) {
        if let Some(online) = self.node(node) {
            online.bring();
        }
        match part {
            Part::Alone | Part::Plans => {}
            Part::Shelf => self.shelves[node as usize].bring_parts(),
            Part::Peers => self.network.bring_link(self.person(node).up),
        }
    }

    /// Whose flows are counted when a span begins or ends.
    fn bring_lines(&self, node: u32, part: Part) {
        if part == Part::Peers {
            self.network.bring_flows(self.person(node).up);
        }
    }

    fn concerned(&self, time: u64, happening: Happening) -> Concerned {
        match happening {
            Happening::Due { node } => {
                let wakes = self.is_woken(node, time);
                [wakes.then_some((node, Part::Plans)), None]
            }
            Happening::Deferred { slot } => match self.deferred.get(slot as usize) {
                Some(Some(deferred)) => deferred.concerned(),
                _ => [None; 2],
            },
            Happening::Departure { user, .. }
            | Happening::Listen { user, .. }
            | Happening::Playhead { user, .. }
            | Happening::Licensed { user, .. } => [Some((user, Part::Shelf)), None],
            _ => {
                let transfer = transfer_of(happening).and_then(|id| self.transfers.peek(id));
                transfer.map_or([None; 2], |transfer| concerned(transfer, happening))
            }
        }
    }
}

const fn transfer_of(happening: Happening) -> Option<u32> {
    match happening {
        Happening::Asked { transfer, .. }
        | Happening::Step { transfer, .. }
        | Happening::Arrive { transfer, .. }
        | Happening::Canceled { transfer, .. } => Some(transfer),
        _ => None,
    }
}

fn concerned(transfer: &Transfer, happening: Happening) -> Concerned {
    if matches!(happening, Happening::Arrive { .. }) {
        return [Some((transfer.to, Part::Shelf)), None];
    }
    match transfer.source {
        Source::Peer(PeerKey(holder)) => [Some((holder, Part::Peers)), None],
        Source::Origin(_) => [None; 2],
    }
}

impl Deferred {
    const fn concerned(&self) -> Concerned {
        match self {
            Self::Dialed { from, to, .. } => [Some((*from, Part::Plans)), Some((*to, Part::Peers))],
            Self::Message { to, .. } => [Some((*to, Part::Peers)), None],
            Self::Input { node, input, .. } => {
                let part = match input {
                    Input::Tracker(TrackerEvent::Announced { .. }) | Input::UploadEnded { .. } => {
                        Part::Alone
                    }
                    _ => Part::Plans,
                };
                [Some((*node, part)), None]
            }
            _ => [None; 2],
        }
    }
}

impl Online {
    /// Brings near all of it but its tables.
    fn bring(&self) {
        let offset = core::mem::offset_of!(Self, is_program);
        bring_whole::<Self>(&self.is_program, offset);
    }

    fn bring_tables(&self, part: Part) {
        match part {
            Part::Alone => {}
            Part::Peers => {
                self.core.bring_for_peers();
                bring_range(self.connections(), 0, CONNECTIONS);
                bring(&self.outgoing, 0);
            }
            Part::Plans | Part::Shelf => {
                self.core.bring_plans();
                bring(&self.incoming, 0);
            }
        }
    }
}
