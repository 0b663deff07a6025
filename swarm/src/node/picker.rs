//! Which missing run of chunks comes next, and how much of it goes into one span.
//!
//! Not here: who is asked.

use antiphon_protocol::{ChunkIndex, ChunkSet, Span};

use crate::limits::SPAN_CHUNKS_MAX;
use crate::node::config::LadderConfig;
use crate::node::hedging::Rung;
use crate::node::ranking::Estimate;
use crate::time::Duration;

/// Chunks of a first span to a source without history: 64 KiB. Guess.
pub(crate) const PROBE_CHUNKS: u32 = 4;

/// Walks the missing chunks in the order they are needed: the codec's setup in chunk 0, then from
/// the playhead on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    setup_done: bool,
    cursor: u32,
    end: u32,
}

impl Need {
    /// From the playhead at `from` up to `end`, exclusive.
    pub(crate) const fn new(from: ChunkIndex, end: u32) -> Self {
        Self {
            setup_done: false,
            cursor: from.0,
            end,
        }
    }

    /// The next run that is missing and that `unasked_until(first, end)` leaves over: first and
    /// end. Each call goes on behind the one before. Where `first` is asked for, the closure says
    /// `Err` with the end of what is.
    pub(crate) fn next(
        &mut self,
        held: &ChunkSet,
        unasked_until: impl Fn(u32, u32) -> Result<u32, u32>,
    ) -> Option<(u32, u32)> {
        if !self.setup_done {
            self.setup_done = true;
            let near = self.cursor < PROBE_CHUNKS;
            if !near && !held.contains(ChunkIndex(0)) && unasked_until(0, 1) == Ok(1) {
                return Some((0, 1));
            }
            if near {
                // Near the start the setup is part of the head.
                self.cursor = 0;
            }
        }
        while self.cursor < self.end {
            let first = held.first_missing(ChunkIndex(self.cursor))?.0;
            if first >= self.end {
                break;
            }
            let present = held.first_present(ChunkIndex(first));
            let end = present.map_or(self.end, |present| present.0.min(self.end));
            match unasked_until(first, end) {
                Ok(until) => {
                    self.cursor = until;
                    return Some((first, until));
                }
                Err(asked_until) => self.cursor = asked_until.max(first + 1),
            }
        }
        self.cursor = self.end;
        None
    }

    /// Goes back to `chunk`, of which a span took less than the run.
    pub(crate) fn resume_at(&mut self, chunk: u32) {
        self.cursor = self.cursor.min(chunk);
    }
}

/// The stretches between `first` and `end`, a unit each, those with the fewest holders first, of
/// equals the nearest.
pub(crate) fn rarest_first(
    first: u32,
    end: u32,
    holders: impl Fn(u32) -> usize,
) -> Vec<(u32, u32)> {
    let unit = antiphon_protocol::peer::EXTENT_UNIT_CHUNKS;
    let mut stretches = Vec::new();
    let mut at = first;
    while at < end {
        let until = (at / unit + 1).saturating_mul(unit).min(end);
        stretches.push((at, until));
        at = until;
    }
    stretches.sort_by_key(|(at, _)| (holders(*at), *at));
    stretches
}

/// The part of the time until a chunk is needed in which a known source brings a span, though longer ones
/// than of its rung. It saves a thirtieth of all requests, and nothing else moves. Guess: four times
/// as slow as it was, it is still in time.
const SURE_PART: u64 = 4;

/// How many chunks to ask of a source at once: what it sends in the span time, less near the
/// playhead, where waiting for a long span costs more than asking twice, unless it sends them in a small
/// part of the time there is.
pub(crate) fn span_chunks(estimate: Estimate, need: Duration, ladder: &LadderConfig) -> u32 {
    let near = match Rung::of(need, ladder) {
        Rung::Race => PROBE_CHUNKS,
        Rung::Parallel => 2 * PROBE_CHUNKS,
        Rung::Second => 4 * PROBE_CHUNKS,
        Rung::Hedge | Rung::Background => SPAN_CHUNKS_MAX,
    };
    if estimate.is_unknown() {
        return near.min(PROBE_CHUNKS);
    }
    let sure = estimate.chunks_in(Duration::from_micros(need.as_micros() / SURE_PART));
    let usual = estimate.chunks_in(ladder.span_time).min(near);
    usual.max(sure).clamp(1, SPAN_CHUNKS_MAX)
}

/// How many chunks to ask of the origin at once when no peer has them: growing with the music
/// heard, and with it the chance that the rest is heard too.
pub(crate) fn origin_chunks(heard: Duration, head_chunks: u32) -> u32 {
    match heard.as_millis() / 1_000 {
        0..10 => head_chunks,
        10..30 => 16,
        _ => SPAN_CHUNKS_MAX,
    }
}

/// The span of the chunks from `first` to `end`, cut to 64.
pub(crate) fn span(first: u32, end: u32) -> Option<Span> {
    Span::new(
        ChunkIndex(first),
        end.saturating_sub(first).min(SPAN_CHUNKS_MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_protocol::{ByteCount, CHUNK_BYTES, Geometry};

    fn held(chunks: &[u32]) -> ChunkSet {
        let geometry = Geometry::new(ByteCount(100 * CHUNK_BYTES)).expect("legal");
        let mut set = ChunkSet::empty(geometry);
        for chunk in chunks {
            set.insert(ChunkIndex(*chunk));
        }
        set
    }

    #[test]
    fn the_setup_comes_first_then_the_playhead() {
        let held = held(&[52, 53]);
        let mut need = Need::new(ChunkIndex(50), 60);
        let free = |_, end| Ok(end);
        assert_eq!(need.next(&held, free), Some((0, 1)));
        assert_eq!(need.next(&held, free), Some((50, 52)));
        assert_eq!(need.next(&held, free), Some((54, 60)));
        assert_eq!(need.next(&held, free), None);
    }

    #[test]
    fn what_was_asked_already_is_left_out() {
        let held = held(&[]);
        let mut need = Need::new(ChunkIndex(0), 10);
        let asked = |first, end| if first < 4 { Err(4) } else { Ok(end) };
        assert_eq!(need.next(&held, asked), Some((4, 10)));
        assert_eq!(need.next(&held, asked), None);
    }

    #[test]
    fn the_unit_with_the_fewest_holders_comes_first() {
        let holders = |chunk: u32| if (32..48).contains(&chunk) { 1 } else { 3 };
        let stretches = rarest_first(10, 50, holders);
        assert_eq!(stretches, [(32, 48), (10, 16), (16, 32), (48, 50)]);
        assert!(rarest_first(50, 50, holders).is_empty());
    }

    #[test]
    fn spans_are_small_near_the_playhead() {
        let ladder = crate::node::NodeConfig::antiphon().ladder;
        let mut fast = Estimate::default();
        assert_eq!(
            span_chunks(fast, Duration::from_secs(60), &ladder),
            PROBE_CHUNKS
        );
        fast.measured(10_000_000, Duration::from_secs(1), Duration::from_millis(1));
        assert_eq!(span_chunks(fast, Duration::from_secs(60), &ladder), 64);
        assert_eq!(span_chunks(fast, Duration::from_millis(100), &ladder), 15);
        assert_eq!(span_chunks(fast, Duration::ZERO, &ladder), 4);
        let mut slow = Estimate::default();
        slow.measured(50_000, Duration::from_secs(1), Duration::from_millis(1));
        assert_eq!(span_chunks(slow, Duration::from_secs(4), &ladder), 4);
        assert_eq!(span_chunks(slow, Duration::from_secs(20), &ladder), 15);
    }
}
