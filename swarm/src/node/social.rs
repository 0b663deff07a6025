//! Neighbors coming, going and talking.

use antiphon_protocol::QueryId;
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::Extent;

use crate::key::{PeerKey, RenditionKey};
use crate::limits::{
    FIND_HOPS_MAX, HOLDERS_PER_ANSWER_MAX, HOLDINGS_PER_MESSAGE_MAX, SPANS_PER_PEER_MAX,
};
use crate::node::NodeCore;
use crate::node::availability::Believed;
use crate::node::input::{Message, NeighborEvent};
use crate::node::neighbors::Neighbor;
use crate::node::output::{Offense, Output};
use crate::node::overlay::FINDS_PER_SECOND_MAX;
use crate::node::wants::TOLD_FULL;
use crate::time::{Duration, Instant};

/// A connection that ends sooner counts like a failed dial. Guess.
const SHORT_CONNECTION: Duration = Duration::from_secs(10);

impl NodeCore {
    pub(crate) fn handle_neighbor(&mut self, now: Instant, peer: PeerKey, event: NeighborEvent) {
        match event {
            NeighborEvent::Connected {
                outbound,
                rtt,
                spans_in_flight,
                uploads,
            } => {
                self.connected(now, peer, outbound, rtt);
                let spans_max = spans_in_flight.min(SPANS_PER_PEER_MAX as u8);
                self.neighbors.offers(peer, spans_max, uploads);
                self.prune(now);
            }
            NeighborEvent::DialFailed => {
                self.contacts
                    .failed(now, peer, self.config.search.dial_backoff);
            }
            NeighborEvent::Disconnected { code } => {
                let Some(neighbor) = self.neighbors.by_key(peer) else {
                    return;
                };
                let brief = now.since(neighbor.since) < SHORT_CONNECTION || code.is_some();
                let backoff = if brief {
                    self.config.search.dial_backoff
                } else {
                    Duration::from_secs(1)
                };
                self.part_with(peer, None);
                self.contacts.failed(now, peer, backoff);
            }
            NeighborEvent::Rtt(rtt) => match self.neighbors.by_key_mut(peer) {
                Some(neighbor) => neighbor.measured_rtt(rtt),
                None => self.ignore(),
            },
            NeighborEvent::Misbehaved => self.penalize(now, peer, Offense::Misbehaved),
        }
    }

    pub(crate) fn handle_message(&mut self, now: Instant, peer: PeerKey, message: Message) {
        let known = match &message {
            // Most messages are these: one look for who sent it.
            Message::Interest { renditions } => self.neighbors.interested(peer, renditions),
            _ => self.neighbors.is_connected(peer),
        };
        if !known {
            return self.ignore();
        }
        match message {
            Message::Interest { .. } => {}
            Message::Have { holdings } => {
                for (rendition, extent) in holdings.into_iter().take(HOLDINGS_PER_MESSAGE_MAX) {
                    if self.wants(rendition) || self.parked.contains(&rendition) {
                        self.availability.said(rendition, peer, extent);
                    }
                }
            }
            Message::Find {
                query,
                rendition,
                hops,
            } => {
                self.asked_to_find(now, peer, query, rendition, hops);
            }
            Message::Found {
                query,
                rendition,
                holders,
            } => {
                self.found(peer, query, rendition, holders);
            }
            Message::Bye { code: _ } => {
                self.part_with(peer, None);
                self.contacts
                    .failed(now, peer, self.config.search.dial_backoff);
            }
        }
    }

    fn connected(&mut self, now: Instant, peer: PeerKey, outbound: bool, rtt: Duration) {
        self.contacts.connected(peer);
        let refused = if self.shut_down || !self.config.peers || peer == PeerKey::OURSELVES {
            Some(ErrorCode::GOING_AWAY)
        } else if self.penalties.bars(now, peer) {
            Some(ErrorCode::FORBIDDEN)
        } else if self.neighbors.by_key(peer).is_none()
            && self.neighbors.len() >= self.config.search.neighbors_hard
        {
            Some(ErrorCode::BUSY)
        } else {
            None
        };
        if let Some(code) = refused {
            return self.emit(Output::Close { peer, code });
        }
        if self.neighbors.by_key(peer).is_some() {
            // A second connection replaces the first; what ran on it is lost.
            self.part_with(peer, None);
        }
        let mut neighbor = Neighbor::new(now, peer, outbound, rtt);
        neighbor.spans_max = 1;
        let added = self.neighbors.insert(neighbor);
        self.availability.note_connected(peer, added);
        self.interest.note_newcomer();
    }

    /// Ends what runs with a neighbor and forgets it; with a code, closes the connection too.
    pub(crate) fn part_with(&mut self, peer: PeerKey, code: Option<ErrorCode>) {
        if let Some(code) = code {
            self.emit(Output::Close { peer, code });
        }
        if !self.forget_neighbor(peer) {
            return;
        }
        self.search_plan.due = true;
        let source = crate::node::output::Source::Peer(peer);
        let lost: Vec<_> = self
            .requests
            .iter()
            .filter(|r| r.source == source)
            .map(|r| r.id)
            .collect();
        for id in lost {
            self.cancel(id);
        }
        for upload in self.uploads.end(|upload| upload.peer == peer) {
            self.emit(Output::EndUpload {
                upload,
                code: ErrorCode::CANCELED,
            });
        }
    }

    /// The peer is a neighbor no more; false if it was none.
    pub(crate) fn forget_neighbor(&mut self, peer: PeerKey) -> bool {
        self.availability.note_connected(peer, false);
        self.neighbors.remove(peer)
    }

    fn asked_to_find(
        &mut self,
        now: Instant,
        peer: PeerKey,
        query: QueryId,
        rendition: RenditionKey,
        hops: u8,
    ) {
        let Some(neighbor) = self.neighbors.by_key_mut(peer) else {
            return;
        };
        // Two searches 18 hours apart that count as of one second are no flood.
        let second = (now.as_micros() / 1_000_000) as u16;
        if neighbor.finds_second != second {
            (neighbor.finds_second, neighbor.finds) = (second, 0);
        }
        neighbor.finds = neighbor.finds.saturating_add(1);
        let flooding = neighbor.finds > FINDS_PER_SECOND_MAX;
        if flooding || !self.overlay.note(query, rendition, Some(peer)) {
            return self.ignore();
        }
        let mut holders = Vec::new();
        if self.uploads.allowed() && self.holdings.is_full(rendition) {
            holders.push(PeerKey::OURSELVES);
        }
        let known = self.availability.of(rendition).iter();
        let known = known.filter(|claim| claim.connected && claim.believed == Believed::Full);
        let known = known.filter(|claim| claim.peer != peer);
        holders.extend(known.map(|claim| claim.peer));
        holders.truncate(HOLDERS_PER_ANSWER_MAX);
        let found = !holders.is_empty();
        if found {
            let message = Message::Found {
                query,
                rendition,
                holders,
            };
            self.emit(Output::Send { peer, message });
        }
        let hops = hops.min(FIND_HOPS_MAX).saturating_sub(1);
        if hops == 0 || found {
            return;
        }
        let others: Vec<_> = self
            .neighbors
            .iter()
            .map(|n| n.peer)
            .filter(|other| *other != peer)
            .collect();
        for other in others {
            let message = Message::Find {
                query,
                rendition,
                hops,
            };
            self.emit(Output::Send {
                peer: other,
                message,
            });
        }
    }

    fn found(
        &mut self,
        from: PeerKey,
        query: QueryId,
        rendition: RenditionKey,
        mut holders: Vec<PeerKey>,
    ) {
        holders.truncate(HOLDERS_PER_ANSWER_MAX);
        match self.overlay.asker(query, rendition) {
            None => self.ignore(),
            Some(Some(asker)) if asker != from && self.neighbors.by_key(asker).is_some() => {
                holders.retain(|holder| *holder != asker && *holder != PeerKey::OURSELVES);
                if !holders.is_empty() {
                    let message = Message::Found {
                        query,
                        rendition,
                        holders,
                    };
                    self.emit(Output::Send {
                        peer: asker,
                        message,
                    });
                }
            }
            Some(Some(_)) => self.ignore(),
            Some(None) => {
                if let Some(neighbor) = self.neighbors.by_key_mut(from) {
                    // Answers make a neighbor useful, like 64 KiB of music. Guess.
                    neighbor.useful_kib = neighbor.useful_kib.saturating_add(64);
                }
                if self.wants(rendition) && self.holdings.partial(rendition).is_some() {
                    holders.retain(|holder| *holder != PeerKey::OURSELVES);
                    for holder in holders {
                        // Behind what the tracker names: it knows who is online.
                        let connected = self.neighbors.is_connected(holder);
                        self.availability
                            .named(rendition, (holder, connected), true, 100);
                    }
                }
            }
        }
    }

    /// Tells neighbors what this node wants to hear of, and what it has of what they want. `looked` says whether
    /// anything came that may change how many holders there are of what.
    pub(crate) fn plan_news(&mut self, now: Instant, looked: bool) {
        if self.neighbors.len() == 0 {
            return;
        }
        self.tell_interest(looked);
        self.tell_have(now);
    }

    pub(crate) fn tell_have(&mut self, now: Instant) {
        if !self.uploads.allowed() {
            return;
        }
        let waited = self.have_wake <= now;
        if !self.neighbors.take_news_due() && !waited {
            return self.wake_at(self.have_wake);
        }
        let interval = self.config.news.have_interval;
        let mut messages = Vec::new();
        let mut wake = Instant::MAX;
        let mut news = self.neighbors.take_news();
        while news != 0 {
            let at = news.trailing_zeros() as usize;
            news &= news - 1;
            let mut later = false;
            let Some((peer, wants)) = self.neighbors.wants_of_nth(at) else {
                break;
            };
            let mut holdings: Vec<(RenditionKey, Extent)> = Vec::new();
            let mut completed = false;
            let have_at = wants.have_at;
            for (rendition, told) in wants.iter_mut() {
                let full = self.holdings.is_full(rendition);
                let units = if full {
                    TOLD_FULL
                } else {
                    self.holdings.units(rendition) as u16
                };
                if units == *told {
                    continue;
                }
                completed |= full;
                if !full && now < have_at && !completed {
                    wake = wake.min(have_at);
                    later = true;
                    continue;
                }
                *told = units;
                holdings.push((rendition, self.holdings.extent(rendition)));
            }
            if !holdings.is_empty() {
                wants.have_at = now + interval;
                messages.push((peer, holdings));
            }
            if later {
                self.neighbors.postpone_news(at);
            }
        }
        for (peer, holdings) in messages {
            self.emit(Output::Send {
                peer,
                message: Message::Have { holdings },
            });
        }
        self.have_wake = wake;
        self.wake_at(wake);
    }
}
