//! What nodes that misbehave did to the others, and what these did about it.
//!
//! Counted over the whole run, settling included: most of it happens when nodes first meet.

use antiphon_swarm::node::output::Offense;

use crate::measure::summary::Figures;
use crate::scenario::Scenario;

/// Counts of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Harm {
    /// Whether anybody misbehaves.
    pub expected: bool,
    /// Spans asked of nodes that misbehave.
    pub requests: u64,
    /// Of them, those that were treated badly.
    pub mistreated: u64,
    /// Chunks that arrived and were not of the rendition.
    pub corrupt_chunks: u64,
    /// Bytes nodes that misbehave sent, and those of them that became new music.
    pub sent: u64,
    /// See `sent`.
    pub useful: u64,
    /// Stalls while a span that holds the missing chunk was under way from such a node.
    pub stalls: u64,
    /// Connections such nodes made by themselves.
    pub intrusions: u64,
    /// Penalties, by [`Offense`], against nodes that misbehave.
    pub penalties: [u64; 4],
    /// The same against honest ones.
    pub false_penalties: [u64; 4],
}

impl Harm {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            expected: !scenario.behavior.is_empty(),
            ..Self::default()
        }
    }

    pub(crate) fn note_penalty(&mut self, bad: bool, offense: Offense) {
        let counts = if bad {
            &mut self.penalties
        } else {
            &mut self.false_penalties
        };
        if let Some(count) = counts.get_mut(offense as usize) {
            *count += 1;
        }
    }

    /// Adds the figures; none in a world of honest nodes. `requests` and `sent` are of all nodes.
    pub(crate) fn figures(&self, figures: &mut Figures, requests: u64, plays: u64) {
        if !self.expected {
            return;
        }
        let [corrupt, lied, stalled, misbehaved] = self.penalties;
        let [false_corrupt, false_lied, false_stalled, false_misbehaved] = self.false_penalties;
        let counts = [
            ("bad.corrupt_chunks", self.corrupt_chunks),
            ("bad.mistreated", self.mistreated),
            ("bad.wasted_bytes", self.sent.saturating_sub(self.useful)),
            ("bad.stalls", self.stalls),
            ("bad.intrusions", self.intrusions),
            ("bad.penalties", corrupt + lied + stalled + misbehaved),
            ("honest.penalties_corrupt", false_corrupt),
            ("honest.penalties_lied", false_lied),
            ("honest.penalties_stalled", false_stalled),
            ("honest.penalties_misbehaved", false_misbehaved),
        ];
        for (name, count) in counts {
            figures.insert(name, count as f64);
        }
        let of_all = |part: u64, all: u64| part as f64 / all.max(1) as f64;
        figures.insert("bad.request_share", of_all(self.requests, requests));
        figures.insert("bad.mistreated_per_play", of_all(self.mistreated, plays));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_are_told_apart_by_whom_they_hit_and_for_what() {
        let mut harm = Harm {
            expected: true,
            ..Harm::default()
        };
        harm.note_penalty(true, Offense::Corrupt);
        harm.note_penalty(false, Offense::Lied);
        harm.note_penalty(false, Offense::Misbehaved);
        let mut figures = Figures::new();
        harm.figures(&mut figures, 10, 5);
        let all = [
            "bad.penalties",
            "honest.penalties_corrupt",
            "honest.penalties_lied",
            "honest.penalties_misbehaved",
        ];
        assert_eq!(all.map(|name| figures[name]), [1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn a_world_of_honest_nodes_has_no_such_figures() {
        let mut figures = Figures::new();
        Harm::default().figures(&mut figures, 10, 5);
        assert!(figures.is_empty());
    }
}
