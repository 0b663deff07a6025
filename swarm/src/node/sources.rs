//! Finding the source for a chunk, and sending and ending requests.

use antiphon_protocol::peer::Priority;
use antiphon_protocol::{CHUNK_BYTES, ChunkIndex, Span};

use crate::key::{FetchId, PeerKey, RenditionKey};
use crate::limits::{REQUESTS_MAX, SPANS_PER_PEER_MAX, SPANS_TO_ORIGIN_MAX, SPANS_TO_PEERS_MAX};
use crate::node::NodeCore;
use crate::node::availability::{Believed, Claim};
use crate::node::output::{OriginRoute, Output, Source};
use crate::node::picker::PROBE_CHUNKS;
use crate::node::requests::Request;
use crate::time::{Duration, Instant};

/// A peer that can be asked, with what it promises.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) peer: PeerKey,
    /// When a short span is expected from it.
    pub(crate) delivery: Duration,
    pub(crate) unknown: bool,
    pub(crate) rtt: Duration,
    /// The end of the run it holds.
    pub(crate) until: u32,
}

/// One span to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) rendition: RenditionKey,
    pub(crate) source: Source,
    pub(crate) span: Span,
    pub(crate) priority: Priority,
    pub(crate) need: Duration,
    pub(crate) hedge: bool,
}

impl NodeCore {
    /// The connected peer that promises `chunk` soonest and is not asked for it yet. `urgent`
    /// keeps a peer without history to one span at a time.
    pub(crate) fn best_peer(
        &self,
        now: Instant,
        rendition: RenditionKey,
        chunk: ChunkIndex,
        end: u32,
        urgent: bool,
    ) -> Option<Candidate> {
        let claims = self.availability.of(rendition).iter();
        let usable =
            claims.filter(|claim| claim.connected && claim.covers(chunk) && claim.retry_at <= now);
        let candidates = usable.filter_map(|claim| {
            let neighbor = self.neighbors.by_key(claim.peer)?;
            let in_flight = self.requests.to_peer(claim.peer);
            let unknown = neighbor.estimate.is_unknown();
            let most = usize::from(neighbor.spans_max).min(SPANS_PER_PEER_MAX);
            let most = if unknown && urgent { most.min(1) } else { most };
            if !neighbor.uploads || neighbor.retry_at > now || in_flight >= most {
                return None;
            }
            let source = Source::Peer(claim.peer);
            let asks = |r: &Request| r.rendition == rendition && r.covers(chunk);
            if self.requests.iter().any(|r| r.source == source && asks(r)) {
                return None;
            }
            let queued = self.requests.queued(source);
            let bytes = u64::from(PROBE_CHUNKS) * CHUNK_BYTES;
            let candidate = Candidate {
                peer: claim.peer,
                delivery: neighbor.estimate.delivery(queued, bytes, neighbor.rtt()),
                unknown,
                rtt: neighbor.rtt(),
                until: claim.covers_until(chunk, end),
            };
            Some((candidate.delivery, claim.order, candidate))
        });
        candidates
            .min_by_key(|(delivery, order, candidate)| (*delivery, *order, candidate.peer))
            .map(|(_, _, candidate)| candidate)
    }

    /// Whether a peer may yet deliver `chunk` though none can be asked now: one is being dialed
    /// or may be, one is busy, or a search is under way.
    pub(crate) fn hopeful(&self, now: Instant, rendition: RenditionKey, chunk: ChunkIndex) -> bool {
        if !self.config.peers || self.dials_wait(now).is_some() {
            return false;
        }
        self.holders_pending(now, rendition)
            || self.search_pending(now, rendition)
            || self.dial_pending(now, rendition)
            || self.availability.of(rendition).iter().any(|claim| {
                let soon = now + self.config.ladder.second;
                let usable = claim.connected && claim.covers(chunk) && claim.retry_at <= soon;
                let neighbor = || self.neighbors.by_key(claim.peer);
                usable && neighbor().is_some_and(|n| n.uploads && n.retry_at <= soon)
            })
    }

    /// Whether the holders that come with the license of a play are on their way.
    fn holders_pending(&self, now: Instant, rendition: RenditionKey) -> bool {
        let patience = self.config.search.lookup_patience;
        self.announcer.is_reachable()
            && self.playback.is_some_and(|play| {
                play.rendition == rendition
                    && !play.holders_told
                    && now.since(play.began) < patience
            })
    }

    /// Whether a holder that is not connected is being dialed or may be dialed now.
    pub(crate) fn dial_pending(&self, now: Instant, rendition: RenditionKey) -> bool {
        self.dials_wait(now).is_none() && self.untried(now, rendition).next().is_some()
    }

    /// The claims of holders that are not connected, but are being dialed or may be dialed now.
    pub(crate) fn untried(
        &self,
        now: Instant,
        rendition: RenditionKey,
    ) -> impl Iterator<Item = &Claim> {
        let claims = self.availability.of(rendition).iter();
        claims.filter(move |claim| {
            !claim.connected
                && claim.believed != Believed::Nothing
                && !self.penalties.bars(now, claim.peer)
                && (self.contacts.may_dial(now, claim.peer) || self.contacts.is_dialed(claim.peer))
        })
    }

    pub(crate) fn room_for_peers(&self, hedge: bool) -> bool {
        let extra = if hedge {
            crate::limits::SPANS_EXTRA_FOR_HEDGES
        } else {
            0
        };
        self.requests.to_peers() < SPANS_TO_PEERS_MAX + extra && self.requests.len() < REQUESTS_MAX
    }

    pub(crate) fn room_for_origin(&self, hedge: bool) -> bool {
        let extra = if hedge {
            crate::limits::SPANS_EXTRA_FOR_HEDGES
        } else {
            0
        };
        self.requests.to_origin() < SPANS_TO_ORIGIN_MAX + extra
            && self.requests.len() < REQUESTS_MAX
    }

    /// Sends a request; the caller has checked for room.
    pub(crate) fn order(&mut self, now: Instant, order: Order) {
        if let Source::Origin(route) = order.source {
            self.origin.sent(route);
        }
        let fetch = self.requests.push(Request {
            id: FetchId(0),
            rendition: order.rendition,
            source: order.source,
            span: order.span,
            hedge: order.hedge,
            late: false,
            until: order.span.first().0,
            sent: now,
            progress: now,
            first: None,
        });
        self.stats.requests = self.stats.requests.saturating_add(1);
        if order.hedge {
            self.stats.hedges = self.stats.hedges.saturating_add(1);
        }
        // What is late is still useful for a while.
        let deadline = order.need.max(self.config.ladder.race);
        let Order {
            rendition,
            source,
            span,
            priority,
            ..
        } = order;
        self.emit(Output::Fetch {
            fetch,
            source,
            rendition,
            span,
            priority,
            deadline,
        });
    }

    /// Ends a request that is not wanted any more.
    pub(crate) fn cancel(&mut self, id: FetchId) {
        let Some(request) = self.requests.remove(id) else {
            return;
        };
        if let Source::Origin(route) = request.source {
            self.origin.ended(route);
        }
        self.stats.cancels = self.stats.cancels.saturating_add(1);
        self.emit(Output::Cancel { fetch: id });
    }

    /// Gives up requests whose source said nothing for too long.
    pub(crate) fn give_up_silent(&mut self, now: Instant) {
        let silence = self.config.ladder.silence_max;
        let silent = |request: &&Request| now.since(request.progress) >= silence;
        while let Some(request) = self.requests.iter().find(silent).copied() {
            self.cancel(request.id);
            self.source_failed(now, request.source, silence);
        }
        let next = self
            .requests
            .iter()
            .map(|request| request.progress + silence)
            .min();
        if let Some(next) = next {
            self.wake_at(next);
        }
    }

    /// A source failed us without saying when to come back.
    pub(crate) fn source_failed(&mut self, now: Instant, source: Source, at_least: Duration) {
        self.stats.failures = self.stats.failures.saturating_add(1);
        match source {
            Source::Peer(peer) => {
                if let Some(neighbor) = self.neighbors.by_key_mut(peer) {
                    neighbor.back_off(now, at_least);
                    self.search_plan.due = true;
                    neighbor.estimate.stalled();
                }
            }
            Source::Origin(route) => self.origin.failed(now, route, Duration::ZERO),
        }
    }

    /// The route to the origin that can be asked for `chunk` now, other than those it is asked on.
    pub(crate) fn origin_route(
        &mut self,
        now: Instant,
        rendition: RenditionKey,
        chunk: ChunkIndex,
    ) -> Option<OriginRoute> {
        let lacks = self
            .origin_lacks
            .iter()
            .find(|(lacking, _)| *lacking == rendition);
        if let Some(until) = lacks.map(|(_, until)| *until).filter(|until| *until > now) {
            self.wake_at(until);
            return None;
        }
        let asked = |route: OriginRoute| {
            self.requests.iter().any(|request| {
                request.source == Source::Origin(route)
                    && request.rendition == rendition
                    && request.covers(chunk)
            })
        };
        let asked = match (asked(OriginRoute::Quic), asked(OriginRoute::Http)) {
            (true, true) => return None,
            (true, false) => Some(OriginRoute::Quic),
            (false, true) => Some(OriginRoute::Http),
            (false, false) => None,
        };
        let route = self.origin.route(now, asked);
        if route.is_none() {
            let opens = self.origin.opens_at();
            if opens > now {
                self.wake_at(opens);
            }
        }
        route
    }
}
