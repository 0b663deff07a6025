//! The current play: its start, its deadline ladder, its hedges, and when nobody can feed it.

use std::sync::Arc;

use antiphon_protocol::ChunkIndex;
use antiphon_protocol::peer::{EXTENT_UNIT_CHUNKS, Priority};

use crate::key::RenditionKey;
use crate::node::NodeCore;
use crate::node::hedging::Rung;
use crate::node::output::{Event, Output, Source};
use crate::node::picker::{Need, origin_chunks, rarest_first, span, span_chunks};
use crate::node::playback::Playback;
use crate::node::requests::Request;
use crate::node::sources::{Candidate, Order};
use crate::node::window::Feed;
use crate::time::{Duration, Instant};

/// Runs of missing chunks looked at in one pass: more than can be asked for at once.
const RUNS_MAX: usize = 16;

/// A play without any progress for this long is told to be starved: within 2 s of the start,
/// reliability reference F8.
const STARVED_AFTER: Duration = Duration::from_millis(1_900);

/// How a run of chunks fared.
enum Asked {
    /// Asked for up to here.
    Until(u32),
    /// Nobody can be asked now; later chunks may have other holders.
    Nobody,
    /// Nothing more can be in flight.
    Full,
}

impl NodeCore {
    /// Music ahead of the playhead without a gap; nothing while the setup is missing.
    pub(crate) fn buffered(&self, now: Instant) -> Duration {
        let Some(play) = self.playback else {
            return Duration::ZERO;
        };
        match self.holdings.partial(play.rendition) {
            Some(partial) if !partial.held.contains(ChunkIndex(0)) => Duration::ZERO,
            Some(partial) => play.until(now, partial.held.present_until(play.chunk(now))),
            None => play.left(now),
        }
    }

    /// Whether nothing of the current play is missing. It is known as long as it plays.
    pub(crate) fn has_all_of_play(&self) -> bool {
        let missing = |play: &Playback| self.holdings.partial(play.rendition).is_some();
        !self.playback.as_ref().is_some_and(missing)
    }

    /// Whether the current play waits for data it will need within 5 s.
    pub(crate) fn is_short(&self, now: Instant) -> bool {
        let Some(play) = &self.playback else {
            return false;
        };
        if play.is_surely_ahead(now, self.config.ladder.second) {
            return false;
        }
        let held = self.holdings.partial(play.rendition).map(|p| &p.held);
        let missing = held.and_then(|held| held.first_missing(play.chunk(now)));
        let lacks_setup = || held.is_some_and(|held| !held.contains(ChunkIndex(0)));
        missing.is_some_and(|missing| {
            play.until(now, missing) < self.config.ladder.second || lacks_setup()
        })
    }

    /// Whether the play, if there is one, is so far ahead that what arrives changes no plan of it.
    pub(crate) fn is_calm(&self) -> bool {
        self.playback.is_none_or(|play| play.settled) && !self.is_short(self.now)
    }

    /// Whether a report of the playhead says no more than what was extrapolated.
    pub(crate) fn is_as_expected(&self, chunk: ChunkIndex, playing: bool) -> bool {
        self.playback.is_some_and(|play| {
            let expected = play.chunk(self.now);
            playing && play.playing && expected.0.abs_diff(chunk.0) <= 1
        })
    }

    /// Whether own uploads wait for the own play: short of data, and not only because it has just
    /// begun.
    pub(crate) fn uploads_pause(&self, now: Instant) -> bool {
        let fresh = self.playback.is_some_and(|play| {
            !play.settled && now.since(play.began) < self.config.start.dial_patience
        });
        !fresh && self.is_short(now)
    }

    /// Keeps the extrapolated playhead before what is missing: the player waits there.
    pub(crate) fn hold_playhead(&mut self, now: Instant) {
        let Some(play) = self.playback.as_mut().filter(|play| play.may_be_held(now)) else {
            return;
        };
        let partial = self.holdings.partial(play.rendition);
        let wall = partial.and_then(|partial| partial.held.first_missing(play.known_chunk()));
        play.stop_at(now, wall);
        if partial.is_some_and(|partial| !partial.held.contains(ChunkIndex(0))) {
            // Without the setup nothing is sure.
            play.note_loss();
        }
    }

    pub(crate) fn plan_play(&mut self, now: Instant) {
        self.search_plan.nobody = false;
        self.feed_play(now);
        self.note_lacking(now);
    }

    fn feed_play(&mut self, now: Instant) {
        let Some(mut play) = self.playback else {
            return;
        };
        if self.holdings.partial(play.rendition).is_none() {
            return;
        }
        let buffered = self.buffered(now);
        play.note_ahead(now, buffered);
        play.settled |= buffered >= self.config.ladder.second;
        self.playback = Some(play);
        self.hedge_late(now, play);
        self.ask_ahead(now, play);
        self.wake_for_hedge(now, &play);
        self.watch_starvation(now);
    }

    /// Asks for what is missing and not asked for, in the order it is needed.
    fn ask_ahead(&mut self, now: Instant, play: Playback) {
        let Some(partial) = self.holdings.partial(play.rendition) else {
            return;
        };
        let chunk_count = partial.held.chunk_count();
        let position = play.chunk(now);
        let feed = self.feed(now, &play);
        let end = self.window_end(&play, feed, position.0, play.heard(now));
        let mut runs = RUNS_MAX;
        let near = self.end_of_order(&play, position.0, end.min(chunk_count));
        let in_order = Need::new(position, near);
        if self.ask_stretch(now, &play, in_order, &mut runs) && near < end.min(chunk_count) {
            for (first, end) in self.rarest_stretches(&play, near, end.min(chunk_count)) {
                let need = Need::new(ChunkIndex(first), end);
                if !self.ask_stretch(now, &play, need, &mut runs) {
                    break;
                }
            }
        }
        if self.unmet {
            self.wake_for_another(now, &play, end.min(chunk_count));
        }
        // The origin has a rule of its own for when it goes on.
        let waits = self.unmet && matches!(feed, Feed::Origin);
        if end < chunk_count && !waits {
            let next = self.window_grows(now, &play, feed, end);
            self.wake_at_chunk(now, &play, next);
        }
    }

    /// Looks again when time alone changes whom to ask for what nobody was asked for: on the next rung, or
    /// when a holder that had no room may be asked again.
    fn wake_for_another(&mut self, now: Instant, play: &Playback, end: u32) {
        let unasked = |first, end| self.requests.unasked_until(play.rendition, first, end);
        let partial = self.holdings.partial(play.rendition);
        let mut need = Need::new(play.chunk(now), end);
        let next = partial.and_then(|partial| need.next(&partial.held, unasked));
        let mut wake = Instant::MAX;
        if let Some((first, _)) = next.filter(|_| play.playing) {
            let need = self.need(now, play, ChunkIndex(first));
            let rung = Rung::of(need, &self.config.ladder);
            let lower = rung.next_in(need, &self.config.ladder);
            wake = lower.map_or(wake, |lower| now + lower);
        }
        // With the next chunk at the earliest: who had no room is not pressed.
        let soonest = now + play.until(now, ChunkIndex(play.chunk(now).0 + 1));
        let claims = self.availability.of(play.rendition).iter();
        for claim in claims.filter(|claim| claim.connected) {
            if let Some(holder) = self.neighbors.by_key(claim.peer) {
                let retry = claim.retry_at.max(holder.retry_at);
                if retry > now {
                    wake = wake.min(retry.max(soonest));
                }
            }
        }
        self.wake_at(wake);
    }

    /// Looks again when the playhead is at `chunk`.
    fn wake_at_chunk(&mut self, now: Instant, play: &Playback, chunk: u32) {
        if play.playing {
            // A microsecond later it is there for sure.
            let until = play.until(now, ChunkIndex(chunk));
            self.wake_at(now + until.saturating_add(Duration::from_micros(1)));
        }
    }

    /// Where chunks are asked for in another order than they are heard in, `end` at most.
    fn end_of_order(&self, play: &Playback, position: u32, end: u32) -> u32 {
        let in_order = play.chunks_in(self.config.picker.in_order);
        position.saturating_add(in_order).min(end)
    }

    /// The chunks from `near` on, in the order in which they are to be asked for.
    fn rarest_stretches(&self, play: &Playback, near: u32, end: u32) -> Vec<(u32, u32)> {
        let claims = self.availability.of(play.rendition);
        let holders = |chunk: u32| {
            let covers = claims
                .iter()
                .filter(|claim| claim.covers(ChunkIndex(chunk)));
            covers.count()
        };
        rarest_first(near, end, holders)
    }

    /// Asks for what is missing of one stretch, and notes whether something is left over. False if
    /// nothing more is to be asked for now.
    fn ask_stretch(
        &mut self,
        now: Instant,
        play: &Playback,
        mut need: Need,
        runs: &mut usize,
    ) -> bool {
        // The origin carries a play in order: nothing of it beyond a chunk that waits for peers.
        let mut in_order = true;
        while *runs > 0 {
            *runs -= 1;
            let Some(partial) = self.holdings.partial(play.rendition) else {
                return false;
            };
            let unasked = |first, end| self.requests.unasked_until(play.rendition, first, end);
            let Some((first, end)) = need.next(&partial.held, unasked) else {
                return true;
            };
            let asked = self.ask_for_run(now, play, first, end, in_order);
            self.unmet |= !matches!(asked, Asked::Until(_));
            match asked {
                Asked::Until(until) if until < end => need.resume_at(until),
                Asked::Until(_) => {}
                Asked::Nobody => {
                    if self.is_covered(play.rendition, ChunkIndex(first)) {
                        // It is a matter of time, and later chunks would only delay it.
                        return false;
                    }
                    in_order = false;
                    let next_unit = (first / EXTENT_UNIT_CHUNKS + 1) * EXTENT_UNIT_CHUNKS;
                    if next_unit < end {
                        need.resume_at(next_unit);
                    }
                }
                Asked::Full => return false,
            }
        }
        // Some of it was not looked at.
        self.unmet = true;
        false
    }

    fn ask_for_run(
        &mut self,
        now: Instant,
        play: &Playback,
        first: u32,
        end: u32,
        in_order: bool,
    ) -> Asked {
        let chunk = ChunkIndex(first);
        let need = self.need(now, play, chunk);
        let rung = Rung::of(need, &self.config.ladder);
        let urgent = rung <= Rung::Second;
        if !self.room_for_peers(false) && !self.room_for_origin(false) {
            return Asked::Full;
        }
        let peer = self.best_peer(now, play.rendition, chunk, end, urgent);
        let peer = peer.filter(|_| self.room_for_peers(false));
        if let Some(peer) = peer.filter(|peer| self.is_soon_enough(peer, need)) {
            let estimate = self.neighbors.by_key(peer.peer).map(|n| n.estimate);
            let most = span_chunks(estimate.unwrap_or_default(), need, &self.config.ladder);
            let most = self.head_or(play, need, most);
            let source = Source::Peer(peer.peer);
            return self.ask(now, play, source, first, peer.until.min(first + most), need);
        }
        // Beyond what may be in flight, another holder would be of no use.
        self.search_plan.nobody |= self.room_for_peers(false);
        let origin = in_order && self.room_for_origin(false);
        if !origin || !self.is_origins_turn(now, play, chunk, need) {
            return Asked::Nobody;
        }
        let Some(route) = self.origin_route(now, play.rendition, chunk) else {
            return Asked::Nobody;
        };
        let head = self.config.start.head_chunks;
        let most = if self.hopeful(now, play.rendition, chunk) {
            // Only until the peer is there.
            head.min(self.config.start.hopeful_head_chunks)
        } else {
            let most = origin_chunks(play.heard(now), head);
            let window = self.origin_window(play.heard(now)).saturating_sub(need);
            most.min(play.chunks_in(window)).max(1)
        };
        let source = Source::Origin(route);
        self.ask(now, play, source, first, end.min(first + most), need)
    }

    /// Whether a connected peer that may be asked again soon says to hold `chunk`.
    fn is_covered(&self, rendition: RenditionKey, chunk: ChunkIndex) -> bool {
        self.availability.of(rendition).iter().any(|claim| {
            let soon = self.now + self.config.ladder.race;
            let usable = claim.connected && claim.covers(chunk) && claim.retry_at <= soon;
            let neighbor = || self.neighbors.by_key(claim.peer);
            usable && neighbor().is_some_and(|n| n.uploads && n.retry_at <= soon)
        })
    }

    /// The first span of a play is the head, whatever the source.
    fn head_or(&self, play: &Playback, need: Duration, otherwise: u32) -> u32 {
        if !play.settled && need < self.config.ladder.race {
            return self.config.start.head_chunks;
        }
        otherwise
    }

    fn ask(
        &mut self,
        now: Instant,
        play: &Playback,
        source: Source,
        first: u32,
        end: u32,
        need: Duration,
    ) -> Asked {
        let Some(span) = span(first, end) else {
            return Asked::Nobody;
        };
        let urgent = Rung::of(need, &self.config.ladder) <= Rung::Second;
        let priority = if urgent {
            Priority::Urgent
        } else {
            Priority::Current
        };
        let rendition = play.rendition;
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
        Asked::Until(span.end().0)
    }

    /// The time until a chunk is needed. The setup is needed before everything.
    pub(crate) fn need(&self, now: Instant, play: &Playback, chunk: ChunkIndex) -> Duration {
        if chunk.0 == 0 {
            return Duration::ZERO;
        }
        play.until(now, chunk)
    }

    /// Whether a peer may be the one to ask: in time, and for the head nearly as soon as the
    /// origin. One without history gets a head only if it is near; the hedge covers it.
    fn is_soon_enough(&self, peer: &Candidate, need: Duration) -> bool {
        if need >= self.config.ladder.race {
            return peer.unknown || peer.delivery <= need;
        }
        if self.origin.is_down() {
            return true;
        }
        let start = &self.config.start;
        if peer.unknown {
            return peer.rtt <= start.near_rtt;
        }
        let chunk = antiphon_protocol::CHUNK_BYTES;
        let origin = self.origin.estimate;
        let from_origin = origin.delivery(0, chunk, origin.delay_p95());
        peer.delivery
            <= from_origin
                .saturating_add(start.peer_favor)
                .max(start.hedge_max)
    }

    /// Whether the origin is to be asked for `chunk` now. If not, notes when that may change.
    fn is_origins_turn(
        &mut self,
        now: Instant,
        play: &Playback,
        chunk: ChunkIndex,
        need: Duration,
    ) -> bool {
        let hopeful = self.hopeful(now, play.rendition, chunk);
        let config = Arc::clone(&self.config);
        let (start, ladder) = (&config.start, &config.ladder);
        if !play.settled && need < ladder.race {
            let alone = !config.peers || self.dials_wait(now).is_some();
            let wait = if alone || play.started {
                Duration::ZERO
            } else if self.dial_pending(now, play.rendition) {
                config.start.peer_head_wait
            } else if self.availability.of(play.rendition).is_empty() {
                self.holders_grace(play)
            } else {
                Duration::ZERO
            };
            let until = play.began + wait;
            if now < until {
                self.wake_at(until);
            }
            return now >= until;
        }
        if !hopeful {
            let window = self.origin_window(play.heard(now));
            let streams = |r: &Request| {
                r.rendition == play.rendition && matches!(r.source, Source::Origin(_))
            };
            // Filled up once it is half empty: else each chunk played would be a request.
            let fill = if self.requests.iter().any(streams) {
                window.saturating_sub(ladder.second)
            } else {
                Duration::from_micros(window.as_micros() / 2)
            };
            if play.playing && need > fill {
                self.wake_at(now + need.saturating_sub(fill));
            }
            return need <= fill;
        }
        let bound = if play.settled {
            ladder.second
        } else {
            start.dial_patience
        };
        let patience_ends = play.began + start.dial_patience;
        if !play.started && now < patience_ends {
            self.wake_at(patience_ends);
        }
        if need > bound && play.playing {
            self.wake_at(now + need.saturating_sub(bound));
        }
        let waited = !play.started && now >= patience_ends && need <= ladder.second;
        need <= bound || waited
    }

    /// How long a play without a known holder waits to be told of one. A near tracker answers
    /// before anybody notices the wait; a far one as soon as the license can be here.
    pub(crate) fn holders_grace(&self, play: &Playback) -> Duration {
        let start = &self.config.start;
        if play.holders_told {
            Duration::ZERO
        } else if self.tracker_rtt <= start.near_tracker_rtt {
            start.near_tracker_grace
        } else if self.tracker_rtt == Duration::MAX {
            // Nobody knows how far it is.
            start.holders_grace
        } else {
            // The license does not come before, either.
            let answer = self.tracker_rtt.saturating_add(start.holders_grace);
            answer.min(start.far_tracker_grace)
        }
    }

    /// Tells when a play has nothing to go on with.
    fn watch_starvation(&mut self, now: Instant) {
        let Some(mut play) = self.playback else {
            return;
        };
        let dry = self.buffered(now) == Duration::ZERO;
        if !dry {
            play.dry_since = Instant::MAX;
            self.playback = Some(play);
            return;
        }
        play.dry_since = play.dry_since.min(now);
        let since = play.dry_since;
        let progress = self
            .requests
            .iter()
            .filter(|request| request.rendition == play.rendition)
            .filter_map(|request| request.first.map(|_| request.progress))
            .max();
        let since = progress.map_or(since, |progress| progress.max(since));
        let lacks = self.origin_lacks.iter();
        let lacks = lacks.filter(|(lacking, until)| *lacking == play.rendition && *until > now);
        let dead = (self.origin.is_down() || lacks.count() > 0)
            && !self.hopeful(now, play.rendition, play.chunk(now))
            && !self
                .requests
                .iter()
                .any(|request| request.rendition == play.rendition);
        let due = since + STARVED_AFTER;
        if !play.starved && (dead || now >= due) {
            play.starved = true;
            self.stats.starved = self.stats.starved.saturating_add(1);
            self.emit(Output::Event(Event::Starved { play: play.play }));
        } else if !play.starved {
            self.wake_at(due);
        }
        self.playback = Some(play);
    }

    /// Data of a rendition came.
    pub(crate) fn fed(&mut self, rendition: RenditionKey) {
        if let Some(play) = &mut self.playback
            && play.rendition == rendition
        {
            play.dry_since = Instant::MAX;
            if play.starved {
                play.starved = false;
                let play = play.play;
                self.emit(Output::Event(Event::Fed { play }));
            }
        }
    }
}
