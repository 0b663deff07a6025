//! Whom an event concerns, and what it will look at there. Not here: where that lies in memory ([`super`]).

use antiphon_swarm::node::input::{Message, TrackerEvent};
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Input, PeerKey};

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
pub(super) type Concerned = [Option<(u32, Needs)>; 2];

impl World {
    pub(super) fn concerned(&self, time: u64, happening: Happening) -> Concerned {
        match happening {
            Happening::Due { node } => {
                let wakes = self.is_woken(node, time);
                [wakes.then_some((node, Needs::Plans)), None]
            }
            Happening::Playhead { user, turn } => {
                let looks = self.is_looked_at(user, turn, time);
                [looks.then_some((user, Needs::Player)), None]
            }
            Happening::Deferred { .. } => self
                .waiting(happening)
                .map_or([None; 2], Deferred::concerned),
            Happening::Arrival { user } => [Some((user, Needs::Alone)), None],
            Happening::Departure { user, .. }
            | Happening::Listen { user, .. }
            | Happening::Licensed { user, .. } => [Some((user, Needs::Player)), None],
            _ => self
                .transfer(happening)
                .map_or([None; 2], |transfer| concerned(transfer, happening)),
        }
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
    const fn concerned(&self) -> Concerned {
        match self {
            Self::Dialed { from, to, .. } => {
                [Some((*from, Needs::Plans)), Some((*to, Needs::Meets))]
            }
            Self::Message { to, message, .. } => {
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
                    Input::UploadEnded { .. } => Needs::Ends,
                    _ => Needs::Plans,
                };
                [Some((*node, needs)), None]
            }
            _ => [None; 2],
        }
    }
}
