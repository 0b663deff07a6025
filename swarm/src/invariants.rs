//! What must hold of a [`NodeCore`] after every input, whatever the world does. For tests and the
//! simulator; a violation is a bug of the core, never of a peer.

use crate::limits::{
    EXPECTED_MAX, ORIGIN_LACKS_MAX, PARKED_RENDITIONS_MAX, PINS_MAX, QUERIES_MAX, SEARCHES_MAX,
    SPANS_EXTRA_FOR_HEDGES, SPANS_TO_ORIGIN_MAX, SPANS_TO_PEERS_MAX,
};
use crate::node::NodeCore;

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the core broke a rule of its own: {0}; replay the run's seed to find the input")]
pub struct Violation(String);

/// Checks all rules: bounds of every table, order, accounting, and that no chunk is asked for
/// twice other than by a hedge.
///
/// # Errors
///
/// The first rule that does not hold.
pub fn check(core: &NodeCore) -> Result<(), Violation> {
    core.check().map_err(Violation)
}

impl NodeCore {
    fn check(&self) -> Result<(), String> {
        self.holdings.check()?;
        self.availability
            .check(|peer| self.neighbors.is_connected(peer))?;
        self.neighbors.check()?;
        self.contacts.check()?;
        self.penalties.check()?;
        self.requests.check()?;
        self.uploads.check()?;
        let bounds = [
            (self.expected.len(), EXPECTED_MAX, "expected renditions"),
            (self.pins.len(), PINS_MAX, "pins"),
            (
                self.parked.len(),
                PARKED_RENDITIONS_MAX,
                "parked renditions",
            ),
            (self.overlay.len(), QUERIES_MAX, "queries"),
            (self.searches.len(), SEARCHES_MAX, "searches"),
            (
                self.origin_lacks.len(),
                ORIGIN_LACKS_MAX,
                "renditions the origin lacks",
            ),
            (
                self.requests.to_peers(),
                SPANS_TO_PEERS_MAX + SPANS_EXTRA_FOR_HEDGES,
                "spans in flight to peers",
            ),
            (
                self.requests.to_origin(),
                SPANS_TO_ORIGIN_MAX + SPANS_EXTRA_FOR_HEDGES,
                "spans in flight to the origin",
            ),
        ];
        for (len, max, what) in bounds {
            if len > max {
                return Err(format!("{len} {what}, at most {max} are allowed"));
            }
        }
        for request in self.requests.iter() {
            if let crate::node::output::Source::Peer(peer) = request.source
                && self.neighbors.by_key(peer).is_none()
            {
                return Err(format!("{request:?} is in flight from a peer that is gone"));
            }
        }
        if !self.undecided.any {
            self.decisions_are_sound()?;
        }
        Ok(())
    }

    /// What holds between an input and the decisions that follow only afterwards.
    fn decisions_are_sound(&self) -> Result<(), String> {
        for request in self.requests.iter() {
            if !self.wants(request.rendition) {
                return Err(format!("{request:?} is in flight though nothing wants it"));
            }
        }
        if self.poll_timeout().is_some_and(|wake| wake <= self.now) {
            return Err("the next deadline is not in the future".to_owned());
        }
        Ok(())
    }
}
