//! What is fetched without anybody waiting for it: heads and rests of expected renditions, and
//! pinned or placed ones.

use antiphon_protocol::peer::{EXTENT_UNIT_CHUNKS, Priority};
use antiphon_protocol::{ByteCount, CHUNK_BYTES, ChunkIndex};

use crate::key::RenditionKey;
use crate::limits::{PINS_ACTIVE_MAX, SPAN_CHUNKS_MAX, SPANS_TO_PEERS_MAX};
use crate::node::NodeCore;
use crate::node::input::Keep;
use crate::node::output::Source;
use crate::node::picker::{Need, span};
use crate::node::sources::Order;
use crate::time::{Duration, Instant};

/// Slots for spans that prefetch leaves to the play while that is incomplete. Guess.
const SLOTS_KEPT: usize = 2;

/// Runs of missing chunks looked at in one pass. Guess.
const RUNS_MAX: usize = 8;

/// How much of a rendition to get, and how.
#[derive(Clone, Copy, Debug)]
struct Wish {
    rendition: RenditionKey,
    /// Chunks from the start.
    chunks: u32,
    priority: Priority,
    /// Whether the origin may be asked for it.
    origin: bool,
    need: Duration,
}

impl NodeCore {
    /// Pinned and placed renditions being fetched now.
    pub(crate) fn active_pins(&self) -> impl Iterator<Item = RenditionKey> + '_ {
        self.pins.iter().copied().take(PINS_ACTIVE_MAX)
    }

    /// Takes complete pins off the list.
    pub(crate) fn finish_pins(&mut self) {
        loop {
            let done = self
                .active_pins()
                .position(|pin| self.holdings.partial(pin).is_none());
            let Some(at) = done else { break };
            self.pins.remove(at);
            self.search_plan.due = true;
            self.drop_unwanted();
        }
    }

    pub(crate) fn plan_prefetch(&mut self, now: Instant) {
        if self.expected.is_empty() || self.disk_full {
            return;
        }
        if !self.may_prefetch(now) {
            self.unmet = true;
            return;
        }
        let left = self.play_left(now);
        for at in 0..self.expected.len() {
            let expected = self.expected[at];
            let Some(partial) = self.holdings.partial(expected.rendition) else {
                continue;
            };
            let rate = partial.spec.bit_rate;
            let ahead = self.config.ahead;
            let mut chunks = self.config.start.head_chunks;
            let head = partial.held.present_until(ChunkIndex(0));
            let head_end = chunks.min(partial.held.chunk_count());
            let lacks_head = head.0 < head_end;
            let probable = expected.chance_permille >= ahead.rest_chance_permille;
            if probable && self.is_time_for_start(now, left) {
                let music = rate.bytes_in(media(ahead.next_start));
                let soon = u32::try_from(music.0 / CHUNK_BYTES).unwrap_or(u32::MAX);
                // To the end of a unit, where the first request of the play will end.
                chunks = chunks.max(soon.next_multiple_of(EXTENT_UNIT_CHUNKS));
            }
            // Without a play there is no hurry, and only the next one is worth the origin.
            let due = left.is_some_and(|left| left < ahead.origin_head_below);
            self.fetch_wish(
                now,
                Wish {
                    rendition: expected.rendition,
                    chunks,
                    priority: Priority::Prefetch,
                    origin: due && at == 0,
                    need: left.unwrap_or(self.config.ladder.background),
                },
            );
            // Mostly it is on its way by now, and if it does not come, that is looked at.
            let unasked = |from| {
                self.requests
                    .unasked_until(expected.rendition, from, head_end)
            };
            let comes = || unasked(head.0).is_err_and(|until| until >= head_end);
            if let Some(left) = left.filter(|_| !due && lacks_head && !comes()) {
                self.wake_at(now + left.saturating_sub(ahead.origin_head_below));
            }
        }
    }

    /// Whether more than the head of the next track is to be fetched, with `left` of the current one.
    fn is_time_for_start(&mut self, now: Instant, left: Option<Duration>) -> bool {
        let ahead = self.config.ahead;
        if ahead.next_at_once {
            return true;
        }
        if !self.has_all_of_play() {
            return false;
        }
        let early = left.filter(|left| *left > ahead.peers_max);
        if let Some(left) = early {
            self.wake_at(now + left.saturating_sub(ahead.peers_max));
        }
        early.is_none()
    }

    pub(crate) fn plan_pins(&mut self, now: Instant) {
        if self.pins.is_empty() || self.disk_full || self.is_short(now) {
            // Who is short plans again with all that comes.
            return;
        }
        for at in 0..PINS_ACTIVE_MAX {
            let Some(rendition) = self.pins.get(at).copied() else {
                return;
            };
            let origin = now >= self.pin_origin_at;
            if !origin {
                self.wake_at(self.pin_origin_at);
            }
            let wish = Wish {
                rendition,
                chunks: u32::MAX,
                priority: Priority::Background,
                origin,
                need: self.config.ladder.background,
            };
            self.fetch_wish(now, wish);
        }
    }

    /// Whether the current play is complete, or far enough ahead.
    fn may_prefetch(&self, now: Instant) -> bool {
        self.has_all_of_play() || self.buffered(now) >= self.config.ahead.prefetch_from
    }

    /// How long the current play still lasts.
    fn play_left(&self, now: Instant) -> Option<Duration> {
        self.playback.map(|play| play.left(now))
    }

    fn fetch_wish(&mut self, now: Instant, wish: Wish) {
        let Some(partial) = self.holdings.partial(wish.rendition) else {
            return;
        };
        let end = wish.chunks.min(partial.held.chunk_count());
        let mut need = Need::new(ChunkIndex(0), end);
        for _ in 0..RUNS_MAX {
            let Some(partial) = self.holdings.partial(wish.rendition) else {
                return;
            };
            let unasked = |first, end| self.requests.unasked_until(wish.rendition, first, end);
            let Some((first, end)) = need.next(&partial.held, unasked) else {
                return;
            };
            let until = self.fetch_wish_run(now, &wish, first, end);
            self.unmet |= until.is_none();
            if until.is_none() && self.availability.connected(wish.rendition).next().is_none() {
                // No peer can be asked for any run, and the origin is no more to be asked for a later one.
                return;
            }
            let until = until.unwrap_or((first / EXTENT_UNIT_CHUNKS + 1) * EXTENT_UNIT_CHUNKS);
            if until < end {
                need.resume_at(until);
            }
        }
        // Some of it was not looked at.
        self.unmet = true;
    }

    /// Asks for the start of a run. The end of what was asked for, if anything was.
    fn fetch_wish_run(&mut self, now: Instant, wish: &Wish, first: u32, end: u32) -> Option<u32> {
        let kept = if self.has_all_of_play() {
            0
        } else {
            SLOTS_KEPT
        };
        let chunk = ChunkIndex(first);
        let room = self.requests.to_peers() + kept < SPANS_TO_PEERS_MAX;
        let peer = self
            .best_peer(now, wish.rendition, chunk, end, false)
            .filter(|_| room);
        let (source, until) = if let Some(peer) = peer {
            let estimate = self.neighbors.by_key(peer.peer).map(|n| n.estimate);
            let time = self.config.ladder.span_time;
            let most = estimate
                .unwrap_or_default()
                .chunks_in(time)
                .clamp(1, SPAN_CHUNKS_MAX);
            (Source::Peer(peer.peer), peer.until.min(first + most))
        } else {
            if !wish.origin || self.requests.to_origin() > 0 {
                return None;
            }
            let head = self.config.start.head_chunks;
            let is_head = wish.priority == Priority::Prefetch;
            if is_head && first >= head || self.may_yet_come(now, wish, chunk) {
                return None;
            }
            let route = self.origin_route(now, wish.rendition, chunk)?;
            let most = if is_head { head } else { SPAN_CHUNKS_MAX };
            (Source::Origin(route), end.min(first + most))
        };
        let span = span(first, until)?;
        if wish.priority == Priority::Background && matches!(source, Source::Origin(_)) {
            let bytes = ByteCount(u64::from(span.count()) * CHUNK_BYTES);
            let placed = self.holdings.keep_of(wish.rendition) == Keep::Placed;
            let rate = if placed {
                self.config.placement.origin_rate
            } else {
                self.config.ahead.pin_origin_rate
            };
            let pace = rate.time_of(bytes);
            self.pin_origin_at = now + Duration::from_micros(pace.0);
            self.wake_at(self.pin_origin_at);
        }
        let Wish {
            rendition,
            priority,
            need,
            ..
        } = *wish;
        self.order(
            now,
            Order {
                rendition,
                source,
                span,
                priority,
                need,
                hedge: false,
            },
        );
        Some(span.end().0)
    }

    /// Whether what is wished may yet come from a peer, and there is time for that.
    fn may_yet_come(&mut self, now: Instant, wish: &Wish, chunk: ChunkIndex) -> bool {
        if wish.priority == Priority::Background {
            return self.hopeful(now, wish.rendition, chunk);
        }
        let last = self.config.ladder.second;
        if wish.need <= last {
            return false;
        }
        // Who had nothing when the track was opened may have it by now.
        let known = self.holders_are_known(now, wish.rendition);
        let waits = !known || self.hopeful(now, wish.rendition, chunk);
        if waits {
            self.wake_at(now + wish.need.saturating_sub(last));
        }
        waits
    }
}

fn media(time: Duration) -> antiphon_protocol::MediaTime {
    antiphon_protocol::MediaTime(time.as_micros())
}
