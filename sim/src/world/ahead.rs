//! Bringing near what coming events will look at, in steps, because each says where
//! the next is: what the event carries, whom it concerns, that node, its tables, what these say of the play and of
//! the peer. A million nodes are on a million pages of memory, and a page takes longer to find than a line of it.
//!
//! Nothing here changes anything: see [`antiphon_swarm::memory`].

use antiphon_swarm::memory::{bring, bring_range, bring_whole};
use antiphon_swarm::node::input::TrackerEvent;
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Input, PeerKey, RenditionKey};

use crate::world::World;
use crate::world::happening::{Deferred, Happening};
use crate::world::online::Online;
use crate::world::seat::Seat;
use crate::world::transfers::{Stage, Transfer};

/// Connections of a node that are brought near before they are searched: what mostly is there. Guess.
const CONNECTIONS: usize = 48;

/// What of a node an event needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// No table.
    Alone,
    /// What it plans with.
    Plans,
    /// The same, and what is on its disk.
    Shelf,
    /// What it answers peers with.
    Peers,
    /// The line on which something comes to it.
    Line,
}

/// Whom an event concerns.
type Concerned = [Option<(u32, Needs)>; 2];

impl World {
    /// The next stretch of time begins.
    pub(super) fn look_ahead(&self) {
        let [next, second, third, fourth, fifth] = self.queue.ahead();
        for (_, happening) in fifth {
            self.bring_carried(*happening);
        }
        for event in fourth {
            self.bring_moved(event.1);
            self.for_concerned(event, |node, needs| self.bring_rows(node, needs));
        }
        for event in third {
            self.for_concerned(event, |node, needs| self.bring_node(node, needs));
        }
        for event in second {
            self.for_concerned(event, |node, needs| self.bring_tables(node, needs));
        }
        for event in next {
            self.for_concerned(event, |node, needs| self.bring_parts(node, needs));
            self.bring_told(event.1);
        }
    }

    fn for_concerned(&self, (time, happening): &(u64, Happening), bring: impl Fn(u32, Needs)) {
        let [one, other] = self.concerned(*time, *happening);
        if let Some((node, needs)) = one {
            bring(node, needs);
        }
        if let Some((node, needs)) = other {
            bring(node, needs);
        }
    }

    fn bring_carried(&self, happening: Happening) {
        match happening {
            Happening::Deferred { slot } => bring(&self.deferred, slot as usize),
            Happening::Due { node } | Happening::Playhead { user: node, .. } => {
                bring(&self.seats, node as usize);
            }
            _ => {
                if let Some(transfer) = transfer_of(happening) {
                    self.transfers.bring(transfer);
                }
            }
        }
    }

    fn transfer(&self, happening: Happening) -> Option<&Transfer> {
        transfer_of(happening).and_then(|id| self.transfers.peek(id))
    }

    /// What a transfer moves.
    fn bring_moved(&self, happening: Happening) {
        let Some(transfer) = self.transfer(happening) else {
            return;
        };
        self.music.bring(transfer.track);
        if let Stage::Flowing(flow) = transfer.stage {
            self.network.bring_flow(flow);
        }
    }

    fn bring_rows(&self, node: u32, needs: Needs) {
        let node = node as usize;
        if let Some(seat) = self.seats.get(node) {
            seat.bring(needs);
        }
        if needs == Needs::Shelf {
            self.tally.bring_node(node);
        }
    }

    fn bring_node(&self, node: u32, needs: Needs) {
        if let Some(online) = self.node(node) {
            match needs {
                Needs::Line => bring(core::slice::from_ref(&online.incoming), 0),
                _ => online.bring(),
            }
        }
        match needs {
            Needs::Alone | Needs::Plans => {}
            Needs::Shelf => self.seats[node as usize].shelf.bring_parts(),
            Needs::Peers => self.network.bring_link(self.person(node).up),
            Needs::Line => self.network.bring_link(self.person(node).down),
        }
    }

    fn bring_tables(&self, node: u32, needs: Needs) {
        if let Some(online) = self.node(node) {
            online.bring_tables(needs);
        }
        match needs {
            Needs::Alone | Needs::Plans | Needs::Shelf => {}
            // Whose flows are counted when a span begins or ends.
            Needs::Peers => self.network.bring_flows(self.person(node).up),
            Needs::Line => self.network.bring_flows(self.person(node).down),
        }
    }

    /// What lies where the tables say.
    fn bring_parts(&self, node: u32, needs: Needs) {
        match needs {
            Needs::Alone => {}
            Needs::Plans | Needs::Shelf => {
                if let Some(online) = self.node(node) {
                    online.core.bring_play();
                }
            }
            Needs::Peers => self.network.bring_rates(self.person(node).up),
            Needs::Line => self.network.bring_rates(self.person(node).down),
        }
    }

    /// What a node knows of a peer that tells or asks it something, and of what it is asked for.
    fn bring_told(&self, happening: Happening) {
        match happening {
            Happening::Deferred { slot } => {
                if let Some(Some(Deferred::Message { from, to, .. })) =
                    self.deferred.get(slot as usize)
                    && let Some(online) = self.node(*to)
                {
                    online.core.bring_peer(PeerKey(*from));
                }
            }
            // Whom something comes to plans with it instead.
            Happening::Arrive { .. } => {}
            _ => {
                if let Some(transfer) = self.transfer(happening)
                    && let Source::Peer(PeerKey(holder)) = transfer.source
                    && let Some(online) = self.node(holder)
                {
                    online.core.bring_peer(PeerKey(transfer.to));
                    online.core.bring_rendition(RenditionKey(transfer.track));
                }
            }
        }
    }

    fn concerned(&self, time: u64, happening: Happening) -> Concerned {
        match happening {
            Happening::Due { node } => {
                let wakes = self.is_woken(node, time);
                [wakes.then_some((node, Needs::Plans)), None]
            }
            Happening::Playhead { user, turn } => {
                let looks = self.is_looked_at(user, turn, time);
                [looks.then_some((user, Needs::Shelf)), None]
            }
            Happening::Deferred { slot } => match self.deferred.get(slot as usize) {
                Some(Some(deferred)) => deferred.concerned(),
                _ => [None; 2],
            },
            Happening::Departure { user, .. }
            | Happening::Listen { user, .. }
            | Happening::Licensed { user, .. } => [Some((user, Needs::Shelf)), None],
            _ => self
                .transfer(happening)
                .map_or([None; 2], |transfer| concerned(transfer, happening)),
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
        return [Some((transfer.to, Needs::Shelf)), None];
    }
    let receiver = Some((transfer.to, Needs::Line));
    match transfer.source {
        Source::Peer(PeerKey(holder)) => [Some((holder, Needs::Peers)), receiver],
        Source::Origin(_) => [receiver, None],
    }
}

impl Deferred {
    const fn concerned(&self) -> Concerned {
        match self {
            Self::Dialed { from, to, .. } => {
                [Some((*from, Needs::Plans)), Some((*to, Needs::Peers))]
            }
            Self::Message { to, .. } => [Some((*to, Needs::Peers)), None],
            Self::Input { node, input, .. } => {
                let needs = match input {
                    Input::Tracker(TrackerEvent::Announced { .. }) | Input::UploadEnded { .. } => {
                        Needs::Alone
                    }
                    _ => Needs::Plans,
                };
                [Some((*node, needs)), None]
            }
            _ => [None; 2],
        }
    }
}

impl Seat {
    fn bring(&self, needs: Needs) {
        match needs {
            Needs::Alone | Needs::Plans => bring(core::slice::from_ref(self), 0),
            Needs::Shelf | Needs::Peers | Needs::Line => {
                let offset = core::mem::offset_of!(Self, person.uploads);
                bring_whole::<Self>(&self.person.uploads, offset);
            }
        }
    }
}

impl Online {
    /// Brings near all of it but its tables.
    fn bring(&self) {
        let offset = core::mem::offset_of!(Self, is_program);
        bring_whole::<Self>(&self.is_program, offset);
    }

    fn bring_tables(&self, needs: Needs) {
        match needs {
            Needs::Alone => {}
            Needs::Line => bring(&self.incoming, 0),
            Needs::Peers => {
                self.core.bring_for_peers();
                bring_range(self.connections(), 0, CONNECTIONS);
                bring(&self.outgoing, 0);
            }
            Needs::Plans | Needs::Shelf => {
                self.core.bring_plans();
                bring(&self.incoming, 0);
            }
        }
    }
}
