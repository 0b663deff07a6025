//! News of spans that were asked for.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::{ByteCount, ChunkIndex};

use crate::key::{FetchId, PeerKey, RenditionKey};
use crate::limits::{ORIGIN_LACKS_MAX, REMOTE_DURATION_MAX};
use crate::node::NodeCore;
use crate::node::input::FetchEvent;
use crate::node::output::{Event, Offense, OriginRoute, Output, Source};
use crate::node::requests::Request;
use crate::time::{Duration, Instant};

/// Wait after a decline that names none. Guess.
const DECLINE_RETRY_MIN: Duration = Duration::from_millis(100);

/// Wait after a decline that will not change soon. Guess.
const REFUSED_RETRY: Duration = Duration::from_secs(60);

impl NodeCore {
    pub(crate) fn handle_fetch(&mut self, now: Instant, fetch: FetchId, event: FetchEvent) {
        self.take_fetch(now, fetch, event);
        let play = self.playback.filter(|_| self.hedge_wake < Instant::MAX);
        if play.is_some_and(|play| self.requests.of(play.rendition).next().is_none()) {
            // Nothing is left that could be late.
            self.hedge_wake = Instant::MAX;
        }
    }

    fn take_fetch(&mut self, now: Instant, fetch: FetchId, event: FetchEvent) {
        let Some(request) = self.requests.by_id_mut(fetch) else {
            return self.ignore();
        };
        match event {
            FetchEvent::Accepted => {
                request.progress = now;
                let request = *request;
                self.relieve(now, request);
            }
            FetchEvent::Verified { until } => self.verified(now, fetch, until),
            FetchEvent::Arrived { first, until } => {
                let end = request.span.end();
                // Not before it was asked for, and not in what is to come.
                let first = first.max(request.sent).min(now);
                request.first.get_or_insert(first);
                self.verified(now, fetch, until);
                if until >= end {
                    self.done(now, fetch);
                }
            }
            FetchEvent::Done => {
                let end = request.span.end();
                self.verified(now, fetch, end);
                self.done(now, fetch);
            }
            FetchEvent::Declined { code, retry_after } => {
                self.declined(now, fetch, code, retry_after.min(REMOTE_DURATION_MAX));
            }
            FetchEvent::Corrupt => {
                let request = *request;
                self.requests.remove(fetch);
                self.stats.corrupt = self.stats.corrupt.saturating_add(1);
                match request.source {
                    Source::Peer(peer) => self.penalize(now, peer, Offense::Corrupt),
                    Source::Origin(route) => {
                        self.origin.failed(now, route, Duration::from_secs(5));
                    }
                }
            }
            FetchEvent::Failed => {
                let request = *request;
                self.requests.remove(fetch);
                self.source_failed(now, request.source, Duration::from_secs(1));
            }
        }
    }

    /// Chunks up to `until` are there.
    fn verified(&mut self, now: Instant, fetch: FetchId, until: ChunkIndex) {
        let Some(request) = self.requests.by_id_mut(fetch) else {
            return;
        };
        let (from, until) = (request.until, until.0.min(request.span.end().0));
        request.progress = now;
        if until <= from {
            return;
        }
        request.until = until;
        request.first.get_or_insert(now);
        request.late = false;
        let request = *request;
        let added = self.holdings.add(request.rendition, from, until);
        self.count_received(now, request.source, added.new, added.known);
        self.emit(Output::Event(Event::Received {
            rendition: request.rendition,
            source: request.source,
            bytes: ByteCount(added.new),
            wasted: ByteCount(added.known),
        }));
        if added.new > 0 {
            if added.unit {
                self.neighbors.note_news(request.rendition);
            }
            self.fed(request.rendition);
            self.progressed(now, request.rendition, from..until, added.completed);
        }
        self.end_losers(request);
    }

    fn done(&mut self, now: Instant, fetch: FetchId) {
        let Some(request) = self.requests.remove(fetch) else {
            return;
        };
        let bytes = self.holdings.spec(request.rendition).map_or(0, |spec| {
            let range = spec.geometry.byte_range(request.span);
            range.end - range.start
        });
        let first = request.first.unwrap_or(now).since(request.sent);
        let took = now.since(request.sent);
        match request.source {
            Source::Peer(peer) => {
                if let Some(neighbor) = self.neighbors.by_key_mut(peer) {
                    // The rate is of the transfer; the trip is added when it is used.
                    let transfer = took.saturating_sub(neighbor.rtt());
                    neighbor
                        .estimate
                        .measured(bytes, transfer.max(MIN_TRANSFER), first);
                    neighbor.failures = 0;
                }
                self.penalties.delivered(peer);
            }
            Source::Origin(_) => self.origin.estimate.measured(bytes, took, first),
        }
    }

    fn declined(&mut self, now: Instant, fetch: FetchId, code: ErrorCode, retry: Duration) {
        let Some(request) = self.requests.remove(fetch) else {
            return;
        };
        self.stats.declines = self.stats.declines.saturating_add(1);
        let retry = retry.max(DECLINE_RETRY_MIN);
        let peer = match request.source {
            Source::Origin(route) if code == ErrorCode::NOT_FOUND => {
                // Says nothing of the route.
                self.origin.ended(route);
                return self.origin_lacks_it(now + retry.max(REFUSED_RETRY), request.rendition);
            }
            Source::Origin(route) => return self.origin.failed(now, route, retry),
            Source::Peer(peer) => peer,
        };
        match code {
            ErrorCode::NOT_HELD | ErrorCode::NOT_FOUND => {
                let at = now + retry.max(REFUSED_RETRY);
                if self
                    .availability
                    .declined(request.rendition, peer, at, true)
                {
                    self.penalize(now, peer, Offense::Lied);
                }
            }
            ErrorCode::BUSY | ErrorCode::UPLOADS_PAUSED | ErrorCode::RATE_LIMITED => {
                if let Some(neighbor) = self.neighbors.by_key_mut(peer) {
                    neighbor.was_busy(now, retry);
                }
            }
            _ => {
                if let Some(neighbor) = self.neighbors.by_key_mut(peer) {
                    neighbor.back_off(now, retry.max(REFUSED_RETRY));
                }
            }
        }
    }

    fn origin_lacks_it(&mut self, until: Instant, rendition: RenditionKey) {
        self.origin_lacks
            .retain(|(lacking, _)| *lacking != rendition);
        if self.origin_lacks.len() >= ORIGIN_LACKS_MAX {
            self.origin_lacks.remove(0);
        }
        self.origin_lacks.push((rendition, until));
    }

    /// A peer did what no honest peer does, or nearly so.
    pub(crate) fn penalize(&mut self, now: Instant, peer: PeerKey, offense: Offense) {
        self.emit(Output::Event(Event::Penalized { peer, offense }));
        if self.penalties.note(now, peer, offense) {
            let code = match offense {
                Offense::Corrupt => ErrorCode::CORRUPT,
                _ => ErrorCode::MALFORMED,
            };
            self.part_with(peer, Some(code));
            self.availability.forget_peer(peer);
        }
    }

    /// Ends requests that have nothing left to win: all they wait for is here, or a hedge has
    /// overtaken them.
    fn end_losers(&mut self, winner: Request) {
        let rendition = winner.rendition;
        let lost: Vec<FetchId> = self
            .requests
            .iter()
            .filter(|other| other.id != winner.id && other.rendition == rendition)
            .filter(|other| {
                let overlaps = other.rest().start < winner.span.end().0
                    && winner.span.first().0 < other.rest().end;
                let overtaken = winner.hedge && other.late && overlaps;
                overtaken || self.nothing_missing(rendition, other)
            })
            .map(|other| other.id)
            .collect();
        for id in &lost {
            self.note_overtaken(winner, *id);
        }
        self.let_go(lost);
    }

    /// Ends requests. What only they were asked for is a matter for a plan at once.
    fn let_go(&mut self, requests: Vec<FetchId>) {
        for id in requests {
            self.cancel(id);
            self.wake = self.now;
        }
    }

    /// A second source agreed to send. Where there is time for a third, peers that are late with the
    /// same chunks are not waited for until its first one is here: they would send in vain for as long.
    fn relieve(&mut self, now: Instant, hedge: Request) {
        let Some(play) = self.playback.filter(|_| hedge.hedge) else {
            return;
        };
        let need = self.need(now, &play, ChunkIndex(hedge.until));
        if play.rendition != hedge.rendition || need < self.config.ladder.second {
            return;
        }
        let lost: Vec<FetchId> = self
            .requests
            .of(hedge.rendition)
            .filter(|other| other.id != hedge.id && other.late)
            .filter(|other| matches!(other.source, Source::Peer(_)))
            .filter(|other| hedge.until <= other.until && other.until < hedge.span.end().0)
            .map(|other| other.id)
            .collect();
        self.let_go(lost);
    }

    /// A way to the origin that was silent while the other one delivered may lead nowhere, as where
    /// UDP is blocked.
    fn note_overtaken(&mut self, winner: Request, loser: FetchId) {
        let Some(loser) = self.requests.by_id(loser) else {
            return;
        };
        let silent = loser.late && loser.first.is_none() && loser.progress == loser.sent;
        if let (Source::Origin(_), Source::Origin(route)) = (winner.source, loser.source)
            && silent
            && winner.source != loser.source
        {
            self.origin.overtaken(self.now, route);
        }
    }

    fn nothing_missing(&self, rendition: RenditionKey, request: &Request) -> bool {
        let rest = request.rest();
        if rest.is_empty() {
            // Its `Done` is under way.
            return false;
        }
        match self.holdings.partial(rendition) {
            Some(partial) => partial.held.present_until(ChunkIndex(rest.start)).0 >= rest.end,
            None => true,
        }
    }

    fn count_received(&mut self, now: Instant, source: Source, new: u64, known: u64) {
        let stats = &mut self.stats;
        stats.wasted_bytes = stats.wasted_bytes.saturating_add(known);
        let counter = match source {
            Source::Peer(peer) => {
                if let Some(neighbor) = self.neighbors.by_key_mut(peer) {
                    neighbor.used(now, new);
                }
                &mut stats.peer_bytes
            }
            Source::Origin(route) => {
                self.origin.worked(route);
                match route {
                    OriginRoute::Quic => &mut stats.origin_quic_bytes,
                    OriginRoute::Http => &mut stats.origin_http_bytes,
                }
            }
        };
        *counter = counter.saturating_add(new);
    }
}

/// Shortest transfer time believed, so that buffered answers do not promise absurd rates. Guess.
const MIN_TRANSFER: Duration = Duration::from_micros(200);
