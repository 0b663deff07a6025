//! Telling neighbors what this node wants to hear of. It is told at once: a neighbor that has it is
//! connected already. Only those are told that would be asked before others: who delivered before, or
//! is near. All are told once the play could ask nobody for a while, as with a release of which there
//! are parts only, or while there is no tracker. In `today-desktop` with 20,000 users these are three
//! messages in ten, and the origin brings as much (0.254 %, then 0.256); telling nobody costs a fifth
//! more, and so did telling only those that the tracker names.
//!
//! Nobody is told of what has enough connected holders. Of what is only expected, and has as many holders as
//! the tracker names at once, a few fast neighbors are told: a holder is dialed in any case. Telling nobody
//! of that costs a twentieth more (`spotify-2010`, `eclipse`); telling nobody either where the tracker has
//! named everybody it knows, a sixth (`flash-release`: who fetches it now has it soon).
//!
//! Not here: what neighbors want to hear of ([`crate::node::social`]).

use std::sync::Arc;

use crate::key::RenditionKey;
use crate::limits::HOLDERS_PER_ANSWER_MAX;
use crate::node::NodeCore;
use crate::node::few::Few;
use crate::node::input::Message;
use crate::node::neighbors::Neighbor;
use crate::node::output::Output;

/// What was told to neighbors.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// The interests told last.
    told: Few,
    /// The number of times there were new ones, from one on again after the last number.
    turn: u16,
    /// Whether a neighbor came since.
    newcomers: bool,
    /// Whether they were told to all neighbors.
    all: bool,
}

impl Interest {
    /// A neighbor came, who was told nothing yet.
    pub(crate) const fn note_newcomer(&mut self) {
        self.newcomers = true;
    }

    /// Whether there is somebody to be told what others know.
    pub(crate) const fn has_newcomers(&self) -> bool {
        self.newcomers
    }
}

impl NodeCore {
    /// Tells them to whom they are worth a message, if that or what is wanted may have changed: `looked` says whether
    /// holders were counted anew.
    pub(crate) fn tell_interest(&mut self, looked: bool) {
        // Without a tracker, or without anybody to ask, all neighbors are worth a message.
        let all = !self.announcer.is_reachable() || self.wants_more_holders(self.now);
        let more = all && !self.interest.all;
        if !(looked || more || self.interest.newcomers) {
            return;
        }
        let interests = self.interests();
        if interests.as_slice().is_empty() {
            return;
        }
        // Less interest is not worth a message to everybody: `Have` of what nobody wants any more
        // is rare, and ignored.
        let fresh = !self.interest.told.contains_all(interests);
        if !(fresh || more || self.interest.newcomers) {
            return;
        }
        self.interest.newcomers = false;
        let enough = self.config.news.interest_below;
        let lacks = |rendition: &RenditionKey| self.connected_holders(*rendition) < enough;
        if !more && !interests.as_slice().iter().any(lacks) {
            return;
        }
        if fresh {
            self.interest.told = interests;
            self.interest.turn = self.interest.turn.checked_add(1).unwrap_or(1);
            self.interest.all = false;
        }
        self.interest.all |= all;
        let few = !self.interest.all && interests.as_slice().iter().all(|r| self.has_time(*r));
        self.send_interests(interests, few);
    }

    /// What is wanted and not here.
    fn interests(&self) -> Few {
        let playing = self.playback.map(|play| play.rendition);
        let wanted = playing
            .into_iter()
            .chain(self.expected.iter().map(|expected| expected.rendition))
            .chain(self.active_pins());
        let mut interests = Few::default();
        for rendition in wanted {
            if self.holdings.partial(rendition).is_some() {
                interests.add(rendition);
            }
        }
        interests
    }

    /// Whether nobody waits for it, and there are many to be dialed for it.
    fn has_time(&self, rendition: RenditionKey) -> bool {
        let plays = self
            .playback
            .is_some_and(|play| play.rendition == rendition);
        !plays && self.availability.of(rendition).len() >= HOLDERS_PER_ANSWER_MAX
    }

    fn send_interests(&mut self, interests: Few, few: bool) {
        let turn = self.interest.turn;
        let renditions: Arc<[RenditionKey]> = interests.as_slice().into();
        let all = self.interest.all;
        let near = self.config.news.interest_rtt;
        let mut tell = |neighbor: &mut Neighbor| {
            if neighbor.interest_told != turn {
                neighbor.interest_told = turn;
                let (peer, renditions) = (neighbor.peer, Arc::clone(&renditions));
                let message = Message::Interest { renditions };
                self.outputs.push_back(Output::Send { peer, message });
            }
        };
        let count = self.neighbors.len();
        // Who uploads nothing has nothing to tell.
        let told = self.neighbors.iter_mut().filter(|n| n.uploads);
        let told = told.filter(|n| all || !n.estimate.is_unknown() || n.rtt() <= near);
        if !few {
            return told.for_each(tell);
        }
        let mut useful: Vec<&mut Neighbor> = Vec::with_capacity(count);
        useful.extend(told);
        useful.sort_unstable_by_key(|n| (core::cmp::Reverse(n.useful_kib), n.peer));
        let most = self.config.news.interest_most;
        useful.into_iter().take(most).for_each(&mut tell);
    }
}
