//! Second sources for what first ones bring too late.
//!
//! Not here: when a request counts as late ([`crate::node::hedging`]).

use antiphon_protocol::ChunkIndex;
use antiphon_protocol::peer::Priority;

use crate::key::RenditionKey;
use crate::node::hedging::{Progress, Rung, late_at};
use crate::node::output::{Offense, Source};
use crate::node::picker::{span, span_chunks};
use crate::node::playback::Playback;
use crate::node::requests::Request;
use crate::node::sources::Order;
use crate::node::{NodeCore, WAKE_MIN};
use crate::time::{Duration, Instant};

/// Copies of a chunk in flight beyond which no further peer is asked for it, late ones included: both
/// ways to the origin and some peers. Guess.
const COPIES_MAX: usize = 4;

/// However slow the origin was before, its other way is asked after so much silence where a chunk is
/// needed soon. An origin that had run dry is remembered with delays of seconds, and a way that is
/// dead meanwhile would be waited for past the moment at which a play counts as starved: half of
/// that leaves the other way as long.
const ORIGIN_SILENCE_MAX: Duration = Duration::from_millis(900);

impl NodeCore {
    /// Sets the next look at the requests of the play to when one of them counts as late.
    pub(crate) fn wake_for_hedge(&mut self, now: Instant, play: &Playback) {
        let mut wake = Instant::MAX;
        let mut sooner = |at: Instant| wake = wake.min(at);
        for request in self.requests.of(play.rendition) {
            let progress = self.progress_of(now, play, request);
            if !request.late {
                sooner(self.late_at(now, request, &progress));
            }
            // On the next rung more sources may be asked, also beside one that is late already.
            let rung = Rung::of(progress.need, &self.config.ladder);
            let next = rung.next_in(progress.need, &self.config.ladder);
            if let Some(next) = next.filter(|_| play.playing) {
                sooner(now + next);
            }
        }
        self.hedge_wake = wake.max(now + WAKE_MIN);
    }

    /// Looks again at requests alone: most of these looks find that something came in the meantime.
    /// True if one is late, which is a matter for a whole plan.
    pub(crate) fn watch_requests(&mut self, now: Instant) -> bool {
        let Some(play) = self.playback else {
            self.hedge_wake = Instant::MAX;
            return false;
        };
        let mut requests = self.requests.of(play.rendition);
        let late = requests.any(|request| self.lateness(now, &play, request).is_some());
        drop(requests);
        if !late {
            self.wake_for_hedge(now, &play);
        }
        late
    }

    /// How a request is doing that has something to bring, and counts as late.
    fn lateness(&self, now: Instant, play: &Playback, request: &Request) -> Option<Progress> {
        let progress = self.progress_of(now, play, request);
        let late = !request.rest().is_empty() && self.late_at(now, request, &progress) <= now;
        late.then_some(progress)
    }

    fn late_at(&self, now: Instant, request: &Request, progress: &Progress) -> Instant {
        let (mut start, ladder) = (self.config.start, &self.config.ladder);
        if matches!(request.source, Source::Peer(_)) {
            return late_at(now, progress, ladder, &start);
        }
        // The second way to the origin is a fallback, not a race: QUIC has a head start.
        start.hedge_min = start.hedge_max;
        let late = late_at(now, progress, ladder, &start);
        if Rung::of(progress.need, ladder) <= Rung::Parallel {
            late.min(progress.last + ORIGIN_SILENCE_MAX)
        } else {
            late
        }
    }

    fn progress_of(&self, now: Instant, play: &Playback, request: &Request) -> Progress {
        let rest = request.rest();
        let position = play.chunk(now).0;
        let behind = rest.end <= position && rest.start > 0;
        let next = ChunkIndex(rest.start.max(position.min(rest.end.saturating_sub(1))));
        let next = if rest.start == 0 { ChunkIndex(0) } else { next };
        let (estimate, rtt) = match request.source {
            Source::Peer(peer) => self
                .neighbors
                .by_key(peer)
                .map(|n| (n.estimate, n.rtt()))
                .unwrap_or_default(),
            Source::Origin(_) => {
                let estimate = self.origin.estimate;
                // The mean delay to first bytes contains the trip.
                (
                    estimate,
                    Duration::from_micros(estimate.delay_p95().as_micros() / 2),
                )
            }
        };
        let need = if behind {
            Duration::MAX
        } else {
            self.need(now, play, next)
        };
        Progress {
            sent: request.sent,
            last: request.progress,
            done: request.chunks_done(),
            left: request.span.end().0 - request.until,
            rtt,
            estimate,
            need,
            need_last: play.until(now, ChunkIndex(rest.end.saturating_sub(1))),
        }
    }

    /// Asks second sources for what first ones bring too late.
    pub(crate) fn hedge_late(&mut self, now: Instant, play: Playback) {
        // What is asked for now comes behind those that may be late.
        for id in self.requests.ids(play.rendition) {
            let Some(request) = self.requests.by_id(id).copied() else {
                continue;
            };
            if let Some(progress) = self.lateness(now, &play, &request) {
                self.note_late(now, &request, &progress);
                self.hedge(now, &play, &request, &progress);
            }
        }
    }

    fn note_late(&mut self, now: Instant, request: &Request, progress: &Progress) {
        if request.late || self.requests.by_id(request.id).is_none() {
            return;
        }
        if let Some(request) = self.requests.by_id_mut(request.id) {
            request.late = true;
        }
        let Source::Peer(peer) = request.source else {
            return;
        };
        let urgent = Rung::of(progress.need, &self.config.ladder) <= Rung::Second;
        if urgent && now.since(request.progress) >= self.config.ladder.stall_min {
            self.stats.stalls = self.stats.stalls.saturating_add(1);
            if let Some(neighbor) = self.neighbors.by_key_mut(peer) {
                neighbor.estimate.stalled();
                neighbor.back_off(now, Duration::ZERO);
                self.search_plan.due = true;
            }
            self.penalize(now, peer, Offense::Stalled);
        }
    }

    fn hedge(&mut self, now: Instant, play: &Playback, late: &Request, progress: &Progress) {
        let rung = Rung::of(progress.need, &self.config.ladder);
        let Some(partial) = self.holdings.partial(play.rendition) else {
            return;
        };
        let Some(next) = partial.held.first_missing(ChunkIndex(late.until)) else {
            return;
        };
        let end = late.span.end().0;
        // Copies that are late themselves are kept, but not counted on.
        let (live, all) = self.requests.copies(play.rendition, next);
        let most = if rung == Rung::Race { 2 } else { 1 };
        let relevant = next.0 < end && rung != Rung::Background;
        if !relevant || live >= most {
            return;
        }
        // However many peers let it wait: the origin is asked once on each of its ways.
        let from_origin = rung <= Rung::Parallel || self.is_last_resort(play.rendition, next);
        if from_origin
            && self.room_for_origin(true)
            && let Some(route) = self.origin_route(now, play.rendition, next)
        {
            let until = end.min(next.0 + self.config.start.head_chunks);
            return self.hedge_with(now, play, Source::Origin(route), next, until, progress);
        }
        if all >= COPIES_MAX {
            return;
        }
        let peer = self.best_peer(now, play.rendition, next, end, true);
        let Some(peer) = peer.filter(|_| self.room_for_peers(true)) else {
            // A holder that comes is asked at once.
            self.unmet = true;
            return;
        };
        let estimate = self.neighbors.by_key(peer.peer).map(|n| n.estimate);
        let most = span_chunks(
            estimate.unwrap_or_default(),
            progress.need,
            &self.config.ladder,
        );
        let until = peer.until.min(next.0 + most);
        self.hedge_with(now, play, Source::Peer(peer.peer), next, until, progress);
    }

    /// Whether no other peer could deliver `chunk`, and a stalled one is all there is.
    fn is_last_resort(&self, rendition: RenditionKey, chunk: ChunkIndex) -> bool {
        !self.config.peers
            || self
                .availability
                .of(rendition)
                .iter()
                .filter(|claim| claim.covers(chunk))
                .count()
                == 0
    }

    fn hedge_with(
        &mut self,
        now: Instant,
        play: &Playback,
        source: Source,
        from: ChunkIndex,
        until: u32,
        progress: &Progress,
    ) {
        let Some(span) = span(from.0, until) else {
            return;
        };
        let rendition = play.rendition;
        let (priority, need) = (Priority::Urgent, progress.need);
        self.order(
            now,
            Order {
                rendition,
                source,
                span,
                priority,
                need,
                hedge: true,
            },
        );
    }
}
