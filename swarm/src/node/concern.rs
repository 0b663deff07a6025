//! Which inputs can change what a node fetches, whom it dials or what it keeps, so that the others need
//! no pass of its plans. Most inputs need none, and a pass is most of what an input costs.
//!
//! Not here: what the plans decide.

use antiphon_protocol::ChunkIndex;

use crate::key::FetchId;
use crate::node::NodeCore;
use crate::node::input::{
    Command, FetchEvent, Input, Message, NeighborEvent, StoreEvent, TrackerEvent,
};

/// What an input means for a node's own plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// Nothing. What others want of us is answered, and told to neighbors and tracker.
    None,
    /// Something, if the last plan left anything over: a request has ended, or a holder came.
    Unmet,
    /// Something, if with it the play is not short of data any more, or if a request proves to be late.
    Progress,
    /// The same, or if the last plan left anything over.
    Ended,
    /// Something in any case.
    Plans,
}

/// What came since the last decision, and so what that has to look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Undecided {
    /// Whether anything did.
    pub(crate) any: bool,
    /// Whether a plan may change.
    pub(crate) plans: bool,
    /// Whether requests of the play got on.
    pub(crate) requests: bool,
    /// Whether a neighbor came, or did not.
    pub(crate) dials: bool,
}

impl NodeCore {
    /// What `input` means for this node's plans, before it is taken in.
    pub(crate) fn concern(&self, input: &Input) -> Concern {
        match input {
            Input::SpanAsked { .. } | Input::UploadEnded { .. } | Input::Timeout => Concern::None,
            Input::Message { message, .. } => match message {
                Message::Interest { .. } | Message::Find { .. } => Concern::None,
                Message::Have { holdings } => {
                    unmet_if(holdings.iter().any(|(key, _)| self.wants(*key)))
                }
                Message::Found { .. } | Message::Bye { .. } => Concern::Plans,
            },
            Input::Neighbor { peer, event } => match event {
                // Room for dials and holders of what is wanted are what matters of a neighbor.
                NeighborEvent::Connected { outbound, .. } => {
                    unmet_if(*outbound || self.availability.claims_of(*peer) > 0)
                }
                NeighborEvent::Disconnected { .. } => plans_if(
                    self.availability.claims_of(*peer) > 0 || self.requests.to_peer(*peer) > 0,
                ),
                NeighborEvent::Rtt(_) => Concern::None,
                // Somebody else may be dialed, which needs no more than a search.
                NeighborEvent::DialFailed => Concern::Unmet,
                NeighborEvent::Misbehaved => Concern::Plans,
            },
            Input::Tracker(TrackerEvent::Announced { .. } | TrackerEvent::Rtt(_))
            | Input::Store(StoreEvent::Evicted { .. }) => Concern::None,
            // Holders of what may be wanted soon are only remembered.
            Input::Tracker(TrackerEvent::Holders { rendition, .. }) => {
                plans_if(self.wants(*rendition))
            }
            // Nothing is wanted of it yet.
            Input::Command(Command::Introduce { .. }) => Concern::None,
            // What follows from where the playhead will be was planned; who runs dry looks at any sign.
            Input::Command(Command::Playhead { chunk, playing }) => {
                plans_if(!self.is_as_expected(*chunk, *playing) || !self.is_calm())
            }
            // What was asked for arrives, as planned.
            Input::Fetch { fetch, event } => match event {
                FetchEvent::Arrived { until, .. } if !self.ends_with(*fetch, *until) => {
                    self.progress()
                }
                FetchEvent::Accepted | FetchEvent::Verified { .. } => self.progress(),
                FetchEvent::Arrived { .. } | FetchEvent::Done if self.is_calm() => Concern::Unmet,
                FetchEvent::Arrived { .. } | FetchEvent::Done => Concern::Ended,
                FetchEvent::Declined { .. } | FetchEvent::Corrupt | FetchEvent::Failed => {
                    Concern::Plans
                }
            },
            Input::Command(_) | Input::Tracker(_) | Input::Store(_) => Concern::Plans,
        }
    }

    /// What it means that a request gets on: nothing where the play is far ahead.
    fn progress(&self) -> Concern {
        if self.is_calm() {
            Concern::None
        } else {
            Concern::Progress
        }
    }

    /// Whether a request is over when all before `until` is here.
    fn ends_with(&self, fetch: FetchId, until: ChunkIndex) -> bool {
        let request = self.requests.by_id(fetch);
        request.is_some_and(|request| until >= request.span.end())
    }
}

/// Whether `input` can change whom a node looks for or dials. What arrives, and time, cannot.
pub(crate) const fn concerns_search(input: &Input) -> bool {
    match input {
        Input::SpanAsked { .. } | Input::UploadEnded { .. } | Input::Timeout => false,
        Input::Store(event) => !matches!(event, StoreEvent::Evicted { .. }),
        Input::Message { message, .. } => {
            !matches!(message, Message::Interest { .. } | Message::Find { .. })
        }
        Input::Neighbor { event, .. } => !matches!(event, NeighborEvent::Rtt(_)),
        Input::Fetch { event, .. } => !matches!(
            event,
            FetchEvent::Accepted
                | FetchEvent::Verified { .. }
                | FetchEvent::Arrived { .. }
                | FetchEvent::Done
        ),
        Input::Command(command) => !matches!(command, Command::Playhead { .. }),
        Input::Tracker(_) => true,
    }
}

/// Whether a neighbor came, or did not.
pub(crate) const fn ends_dial(input: &Input) -> bool {
    let Input::Neighbor { event, .. } = input else {
        return false;
    };
    matches!(
        event,
        NeighborEvent::Connected { .. } | NeighborEvent::DialFailed
    )
}

const fn unmet_if(relevant: bool) -> Concern {
    if relevant {
        Concern::Unmet
    } else {
        Concern::None
    }
}

const fn plans_if(relevant: bool) -> Concern {
    if relevant {
        Concern::Plans
    } else {
        Concern::None
    }
}
