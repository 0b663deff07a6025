//! How far ahead of the playhead a play is fetched, and when that moves.
//!
//! Not here: who is asked for what lies in the window ([`crate::node::play_plan`]).

use antiphon_protocol::ChunkIndex;
use antiphon_protocol::peer::EXTENT_UNIT_CHUNKS;

use crate::limits::SPAN_CHUNKS_MAX;
use crate::node::NodeCore;
use crate::node::availability::{Believed, Claim};
use crate::node::playback::Playback;
use crate::time::{Duration, Instant};

/// Who carries a play, and how surely.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Feed {
    /// Nobody is known to hold it.
    Origin,
    /// Holders, of which little is known or expected.
    Peers,
    /// Holders, of which one at least is known to be fast.
    BriskPeers,
}

/// Where requests to a fast holder end. The places are the same wherever the playhead is, so that few
/// requests are cut short.
#[derive(Clone, Copy, Debug)]
struct Steps {
    first: u32,
    step: u32,
}

impl Steps {
    /// The first end that is not before `chunk`.
    const fn end_from(self, chunk: u32) -> u32 {
        let steps = chunk.saturating_sub(self.first).div_ceil(self.step);
        self.first.saturating_add(steps.saturating_mul(self.step))
    }

    /// The last end that is not behind `chunk`, or the start.
    const fn end_before(self, chunk: u32) -> u32 {
        match chunk.checked_sub(self.first) {
            Some(behind) => chunk - behind % self.step,
            None => 0,
        }
    }
}

impl NodeCore {
    /// The position of the playhead at which the window ends behind `end`, or one before that at
    /// which to look again.
    pub(crate) fn window_grows(&self, now: Instant, play: &Playback, feed: Feed, end: u32) -> u32 {
        let position = play.chunk(now).0;
        let heard = play.heard(now);
        let grows = |ahead: u32| {
            let at = position.saturating_add(ahead);
            let until = play.until(now, ChunkIndex(at));
            self.window_end(play, feed, at, heard.saturating_add(until)) > end
        };
        // The window moves on, so halving finds the first place. Only where steps become longer it
        // may stand for a while; what is kept ahead at least holds there too.
        let (mut ahead, mut most) = (1, SPAN_CHUNKS_MAX);
        if matches!(feed, Feed::BriskPeers) {
            // Mostly what is kept ahead says where.
            let (_, near) = self.steps(heard);
            let kept = position.saturating_add(play.chunks_in(near));
            let guess = end.saturating_sub(kept).saturating_add(1);
            if guess < most && grows(guess) {
                most = guess;
                if guess > ahead && !grows(guess - 1) {
                    ahead = guess;
                }
            }
        }
        while ahead < most {
            let middle = ahead.midpoint(most);
            if grows(middle) {
                most = middle;
            } else {
                ahead = middle + 1;
            }
        }
        position.saturating_add(ahead)
    }

    /// The chunk before which everything is asked for while the playhead is in chunk `position`.
    pub(crate) fn window_end(
        &self,
        play: &Playback,
        feed: Feed,
        position: u32,
        heard: Duration,
    ) -> u32 {
        let (ahead, ladder) = (&self.config.ahead, &self.config.ladder);
        let behind = |chunks: u32| position.saturating_add(chunks);
        if self.disk_full {
            return behind(play.chunks_in(ahead.origin_max));
        }
        if heard >= ahead.whole_after {
            return u32::MAX;
        }
        let half = Duration::from_micros(heard.as_micros() / 2);
        let window = ahead.peers_min.saturating_add(half).min(ahead.peers_max);
        let window = play.chunks_in(window);
        // In whole steps, so that the moving end does not make a request of each chunk played.
        match feed {
            // It stops and goes by a rule of its own.
            Feed::Origin => behind(play.chunks_in(self.origin_window(heard))),
            Feed::Peers => {
                let far = behind(window) / EXTENT_UNIT_CHUNKS * EXTENT_UNIT_CHUNKS;
                // Always past the rung on which a second source is asked. Larger steps than of a head
                // bring more twice from slow peers (`spotify-2010`: 2.0 % overhead, not 1.6).
                let step = self.config.start.head_chunks.max(1);
                let near = behind(play.chunks_in(ladder.hedge)).div_ceil(step);
                far.max(near.saturating_mul(step))
            }
            Feed::BriskPeers => {
                let (steps, near) = self.steps(heard);
                let near = steps.end_from(behind(play.chunks_in(near)));
                near.max(steps.end_before(behind(window)))
            }
        }
    }

    /// The steps in which a fast holder is asked, longer ones after a while of listening, and how much is
    /// kept ahead in the meantime.
    fn steps(&self, heard: Duration) -> (Steps, Duration) {
        let (ahead, ladder) = (&self.config.ahead, &self.config.ladder);
        let chunks = |units: u32| units.max(1).saturating_mul(EXTENT_UNIT_CHUNKS);
        let (first, short) = (chunks(1), chunks(ahead.short_step_units));
        if heard < ahead.long_steps_after {
            // A short one comes in less time than is kept above the rung on which the origin is asked.
            let steps = Steps { first, step: short };
            return (steps, ladder.second.saturating_add(ladder.race));
        }
        // A long one is asked for before a second source would be, so in one request.
        let first = first.saturating_add(short);
        let step = chunks(ahead.long_step_units);
        let steps = Steps { first, step };
        (steps, ladder.hedge.saturating_add(ladder.race))
    }

    /// Who carries the play.
    pub(crate) fn feed(&self, now: Instant, play: &Playback) -> Feed {
        let claims = self.availability.of(play.rendition);
        if claims.is_empty() {
            return Feed::Origin;
        }
        let is_brisk = |claim: &Claim| {
            claim.connected
                && claim.believed == Believed::Full
                && self.neighbors.by_key(claim.peer).is_some_and(|neighbor| {
                    let usable = neighbor.uploads && neighbor.retry_at <= now;
                    usable && neighbor.is_brisk(play.bit_rate())
                })
        };
        if claims.iter().any(is_brisk) {
            Feed::BriskPeers
        } else {
            Feed::Peers
        }
    }

    /// How far ahead the origin carries a play that has no holders.
    pub(crate) fn origin_window(&self, heard: Duration) -> Duration {
        let ahead = &self.config.ahead;
        let grown = ahead.origin_min.saturating_add(heard);
        grown.min(ahead.origin_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_at_the_same_places_from_either_side() {
        let steps = Steps {
            first: 48,
            step: 64,
        };
        let ends = [0, 1, 48, 49, 112, 113].map(|chunk| steps.end_from(chunk));
        assert_eq!(ends, [48, 48, 48, 112, 112, 176]);
        let ends = [0, 47, 48, 111, 112, 300].map(|chunk| steps.end_before(chunk));
        assert_eq!(ends, [0, 0, 48, 48, 112, 240]);
        assert_eq!(steps.end_from(u32::MAX), u32::MAX);
    }
}
