//! Whom an event concerns, and what it will look at there. Not here: where that lies in memory ([`super`]).

use antiphon_swarm::node::input::{Message, TrackerEvent};
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Input, PeerKey};

use crate::engine::queue::SLOTS;
use crate::world::World;
use crate::world::happening::{Deferred, Happening};
use crate::world::transfers::Transfer;

/// What of a node an event needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// No table.
    Alone,
    /// What it plans with.
    Plans,
    /// The same, and what is on its disk.
    Player,
    /// What is on its disk, and what it plans with if something that arrives changes a plan.
    Arrival,
    /// What it answers peers with.
    Peers,
    /// What it notes of an upload that ends.
    Ends,
    /// What a new connection changes.
    Meets,
    /// The line on which something comes to it.
    Line,
}

/// Whom an event concerns.
type Concerned = [Option<(u32, Needs)>; 2];

/// What is found out once about an event that comes: each step asks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glimpse {
    concerned: Concerned,
    /// Whether it is a lookup or an announce.
    pub(super) asks_tracker: bool,
    /// Whether somebody tells or asks somebody else something.
    pub(super) tells: bool,
}

impl Glimpse {
    pub(super) fn for_concerned(&self, bring: impl Fn(u32, Needs)) {
        let [one, other] = self.concerned;
        if let Some((node, needs)) = one {
            bring(node, needs);
        }
        if let Some((node, needs)) = other {
            bring(node, needs);
        }
    }
}

/// Those of the events in each slot of the queue's first wheel, as far as they were looked at. What has changed since
/// then is seen when the event happens. By default without slots, as what is left in its place while it is in use.
#[derive(Debug, Default)]
pub(in crate::world) struct Glimpses {
    slots: Vec<Vec<Glimpse>>,
}

impl Glimpses {
    pub(in crate::world) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
        }
    }

    /// The events of a slot are happening.
    pub(super) fn forget(&mut self, slot: usize) {
        self.slots[slot].clear();
    }

    pub(super) fn of(&mut self, slot: usize) -> &mut Vec<Glimpse> {
        &mut self.slots[slot]
    }
}

impl World {
    pub(super) fn glimpse(&self, time: u64, happening: Happening) -> Glimpse {
        let mut glimpse = Glimpse {
            concerned: [None; 2],
            asks_tracker: false,
            tells: false,
        };
        match happening {
            Happening::Due { node } => {
                let wakes = self.is_woken(node, time);
                glimpse.concerned = [wakes.then_some((node, Needs::Plans)), None];
            }
            Happening::Playhead { user, turn } => {
                let looks = self.is_looked_at(user, turn, time);
                glimpse.concerned = [looks.then_some((user, Needs::Player)), None];
            }
            Happening::Deferred { .. } => {
                if let Some(deferred) = self.waiting(happening) {
                    deferred.glimpse(&mut glimpse);
                }
            }
            Happening::Arrival { user } => glimpse.concerned = [Some((user, Needs::Alone)), None],
            Happening::Departure { user, .. }
            | Happening::Listen { user, .. }
            | Happening::Licensed { user, .. } => {
                glimpse.concerned = [Some((user, Needs::Player)), None];
            }
            _ => {
                if let Some(transfer) = self.transfer(happening) {
                    glimpse.concerned = concerned(transfer, happening);
                    // Whom something comes to plans with it instead.
                    glimpse.tells = !matches!(happening, Happening::Arrive { .. });
                }
            }
        }
        glimpse
    }
}

fn concerned(transfer: &Transfer, happening: Happening) -> Concerned {
    if matches!(happening, Happening::Arrive { .. }) {
        return [Some((transfer.to, Needs::Arrival)), None];
    }
    let receiver = Some((transfer.to, Needs::Line));
    let needs = match happening {
        Happening::Asked { .. } => Needs::Peers,
        _ => Needs::Ends,
    };
    match transfer.source {
        Source::Peer(PeerKey(holder)) => [Some((holder, needs)), receiver],
        Source::Origin(_) => [receiver, None],
    }
}

impl Deferred {
    const fn glimpse(&self, glimpse: &mut Glimpse) {
        glimpse.concerned = match self {
            Self::Dialed { from, to, .. } => {
                glimpse.tells = true;
                [Some((*from, Needs::Plans)), Some((*to, Needs::Meets))]
            }
            Self::Message { to, message, .. } => {
                glimpse.tells = true;
                let needs = match message {
                    // What a holder has now may be asked of it.
                    Message::Have { .. } => Needs::Plans,
                    _ => Needs::Peers,
                };
                [Some((*to, needs)), None]
            }
            Self::Input { node, input, .. } => {
                let needs = match input {
                    Input::Tracker(TrackerEvent::Announced { .. }) => Needs::Alone,
                    Input::UploadEnded { .. } => {
                        glimpse.tells = true;
                        Needs::Ends
                    }
                    _ => Needs::Plans,
                };
                [Some((*node, needs)), None]
            }
            Self::Lookup { .. } | Self::Announce { .. } => {
                glimpse.asks_tracker = true;
                [None; 2]
            }
            Self::Placement { .. } | Self::Gone { .. } => [None; 2],
        };
    }
}
