//! Telling neighbors what this node wants to hear of, where that is worth a message to each of them.
//!
//! Not here: what neighbors want to hear of ([`crate::node::social`]).

use crate::key::RenditionKey;
use crate::node::NodeCore;
use crate::node::few::Few;
use crate::node::input::Message;
use crate::node::output::Output;
use crate::time::Instant;

/// What an answer of the tracker moves the chance by that a neighbor is among the holders it names:
/// an eighth. Guess.
const CHANCE_SHIFT: u32 = 3;

/// The chance from which on neighbors are told at once, in 256ths: one answer in twelve. In the
/// `spotify-2010` world, where it is above that, asking later cost a fifth more from the origin;
/// among 39,000 nodes it is a hundredth.
const CHANCE_NEAR: u8 = 21;

/// The chance believed at first: above until three answers in a row name no neighbor. Guess.
const CHANCE_FIRST: u8 = 28;

/// What was told to neighbors, and whether it is of use.
#[derive(Debug)]
pub(crate) struct Interest {
    /// The interests told last.
    told: Few,
    /// The number of times there were new ones.
    turn: u16,
    /// The chance that a neighbor is among the holders that the tracker names, in 256ths.
    chance: u8,
}

impl Default for Interest {
    fn default() -> Self {
        Self {
            told: Few::default(),
            turn: 0,
            chance: CHANCE_FIRST,
        }
    }
}

impl Interest {
    /// The tracker named holders, a neighbor among them or none.
    pub(crate) fn note_named(&mut self, near: bool) {
        let sample = if near { u8::MAX } else { 0 };
        self.chance -= self.chance >> CHANCE_SHIFT;
        self.chance += sample >> CHANCE_SHIFT;
    }

    /// Whether neighbors often hold what is wanted.
    const fn is_near(&self) -> bool {
        self.chance >= CHANCE_NEAR
    }
}

impl NodeCore {
    pub(crate) fn tell_interest(&mut self, now: Instant) {
        let playing = self.playback.map(|play| play.rendition);
        let wanted = playing
            .into_iter()
            .chain(self.expected.iter().map(|expected| expected.rendition))
            .chain(self.active_pins());
        let mut interests = Few::default();
        for rendition in wanted {
            let told = self.interest.told.as_slice().contains(&rendition);
            if self.holdings.partial(rendition).is_some()
                && (told || self.may_be_near(now, rendition))
            {
                interests.add(rendition);
            }
        }
        if interests.as_slice().is_empty() {
            // Newcomers are told with the next interest.
            self.newcomers = false;
            return;
        }
        // Less interest is not worth a message to everybody: `Have` of what nobody wants any more
        // is rare, and ignored.
        if !self.interest.told.contains_all(interests) {
            self.interest.told = interests;
            self.interest.turn = self.interest.turn.wrapping_add(1);
        } else if !self.newcomers {
            return;
        }
        self.newcomers = false;
        let turn = self.interest.turn;
        let mut told = Vec::new();
        // Who uploads nothing has nothing to tell.
        for neighbor in self.neighbors.iter_mut().filter(|n| n.uploads) {
            if neighbor.interest_told != Some(turn) {
                neighbor.interest_told = Some(turn);
                told.push(neighbor.peer);
            }
        }
        for peer in told {
            let message = Message::Interest {
                renditions: interests.as_slice().to_vec(),
            };
            self.emit(Output::Send { peer, message });
        }
    }

    /// Whether a message to each neighbor is worth it. Where the tracker often names neighbors it is,
    /// and at once. Elsewhere only if too few holders are connected and nobody is left to dial.
    fn may_be_near(&self, now: Instant, rendition: RenditionKey) -> bool {
        let wanted = self.config.search.holders_wanted;
        self.config.news.interest_at_once
            || self.interest.is_near()
            || self.is_told(rendition)
                && self.connected_holders(rendition, wanted) < wanted
                && !self.dial_pending(now, rendition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_are_near_until_the_tracker_names_others_again_and_again() {
        let mut interest = Interest::default();
        assert!(interest.is_near());
        (0..30).for_each(|_| interest.note_named(false));
        assert!(!interest.is_near());
        // One answer in a hundred does not change that, one in four does.
        interest.note_named(true);
        (0..8).for_each(|_| interest.note_named(false));
        assert!(!interest.is_near());
        (0..40).for_each(|at| interest.note_named(at % 4 == 0));
        assert!(interest.is_near());
    }
}
