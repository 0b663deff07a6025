//! The origin's server, and a node's client of it over two ways that fail apart.
//! Follows `node/src/origin_client/`. Over HTTP the same frames travel as over QUIC, on a
//! connection without 0-RTT; the text of HTTP is not modelled.

use antiphon_protocol::codec::encode;
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::verified::{Item, SpanVerifier, encode_span, encoded_bytes};
use antiphon_protocol::{ChunkIndex, ErrorCode, Millis, Span};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::OriginRoute;
use antiphon_swarm::{Duration, FetchId, Input};

use crate::packet::frames;
use crate::packet::happening::{Happening, OriginAsk, Task};
use crate::packet::harness::{Harness, Tag};
use crate::packet::profile::Chance;
use crate::packet::transport::{ConnectionId, Settings};

/// How a way to the origin answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Up,
    /// Says no.
    Refusing,
    /// Says nothing.
    Silent,
}

/// The origin.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) host: u16,
    /// Counts starts: sessions for 0-RTT end with each.
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) services: [Service; 2],
    /// Its line is nearly full with other things.
    pub(crate) starved: bool,
    asked: u64,
}

impl Origin {
    pub(crate) const fn new(host: u16) -> Self {
        Self {
            host,
            life: 0,
            alive: true,
            services: [Service::Up; 2],
            starved: false,
            asked: 0,
        }
    }
}

/// One way to the origin, as a node has it.
#[derive(Debug, Default)]
pub(crate) struct OriginLink {
    pub(crate) connection: Option<ConnectionId>,
    open: bool,
    /// The origin's life a session is kept of.
    session: Option<u32>,
    waiting: Vec<FetchId>,
}

/// Where a fetch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Asked,
    Receiving,
}

/// A span asked of the origin.
#[derive(Debug)]
pub(crate) struct OriginFetch {
    route: OriginRoute,
    track: usize,
    span: Span,
    verifier: SpanVerifier,
    stage: Stage,
    at: Option<(ConnectionId, u16)>,
    asks: u8,
    touched: u64,
    limit_at: u64,
}

/// Connecting; an answer over QUIC and over HTTP; a chunk: the client's constants.
const CONNECT_MICROS: u64 = 1_000_000;
const QUIC_REPLY_MICROS: u64 = 2_000_000;
const HTTP_REPLY_MICROS: u64 = 4_000_000;
const STALL_MICROS: u64 = 4_000_000;
const TOTAL_MICROS: (u64, u64) = (5_000_000, 60_000_000);
const ASKS_MAX: u8 = 3;
/// Finding a span on the origin's disk: median. Guess.
const SERVICE_MICROS: f64 = 4_000.0;

const CLIENT: Settings = Settings {
    window: 12_000,
    trip: 100_000,
    send_window: 64 * 1024,
    stream_window: 256 * 1024,
    idle: 40_000_000,
    keep_alive: 15_000_000,
    resets: false,
};
const SERVER: Settings = Settings {
    window: 64 * 1024,
    // A whole span of 64 chunks may be written at once.
    send_window: 4 << 20,
    ..CLIENT
};

const fn index(route: OriginRoute) -> usize {
    match route {
        OriginRoute::Quic => 0,
        OriginRoute::Http => 1,
    }
}

impl Harness {
    pub(crate) fn fetch_from_origin(
        &mut self,
        node: u16,
        fetch: FetchId,
        route: OriginRoute,
        (track, span): (usize, Span),
        deadline: Duration,
    ) {
        let data = &self.music.tracks[track];
        let limit = deadline.as_micros().clamp(TOTAL_MICROS.0, TOTAL_MICROS.1);
        let order = OriginFetch {
            route,
            track,
            span,
            verifier: SpanVerifier::new(data.content, data.geometry, span),
            stage: Stage::Connecting,
            at: None,
            asks: 0,
            touched: self.now,
            limit_at: self.now + limit,
        };
        self.nodes[usize::from(node)]
            .origin_fetches
            .insert(fetch, order);
        self.later(node, limit, Task::OriginBy(fetch));
        self.ask_origin(node, fetch);
    }

    fn ask_origin(&mut self, node: u16, fetch: FetchId) {
        let now = self.now;
        let origin = (self.origin.host, self.origin.life);
        let entry = &mut self.nodes[usize::from(node)];
        let Some(order) = entry.origin_fetches.get_mut(&fetch) else {
            return;
        };
        let route = order.route;
        let link = &mut entry.origin[index(route)];
        if let Some(id) = link.connection.filter(|_| link.open) {
            let stream = self.network.open_stream(id);
            let request = OriginRequest::Span {
                capability: None,
                content: self.music.tracks[order.track].content,
                span: order.span,
            };
            frames::put(&mut self.network, id, 0, stream, &request);
            self.network.finish(id, 0, stream);
            (order.stage, order.at) = (Stage::Asked, Some((id, stream)));
            (order.asks, order.touched) = (order.asks + 1, now);
            let patience = reply_patience(route);
            return self.later(node, patience, Task::OriginBy(fetch));
        }
        order.stage = Stage::Connecting;
        link.waiting.push(fetch);
        if link.connection.is_none() {
            let tag = match route {
                OriginRoute::Quic => Tag::OriginQuic,
                OriginRoute::Http => Tag::OriginHttp,
            };
            let early = route == OriginRoute::Quic && link.session == Some(origin.1);
            let resets = route == OriginRoute::Http;
            let settings = [CLIENT, SERVER].map(|side| Settings { resets, ..side });
            let id = self
                .network
                .open(node, origin.0, settings, early, tag as u8);
            link.connection = Some(id);
            let patience = match route {
                OriginRoute::Quic => CONNECT_MICROS,
                OriginRoute::Http => HTTP_REPLY_MICROS,
            };
            self.later(node, patience, Task::OriginConnectBy(id));
        }
    }

    pub(crate) fn origin_connected(&mut self, node: u16, id: ConnectionId, _tag: Tag) {
        let life = self.origin.life;
        let entry = &mut self.nodes[usize::from(node)];
        let link = entry
            .origin
            .iter_mut()
            .find(|link| link.connection == Some(id));
        let Some(link) = link else {
            return;
        };
        (link.open, link.session) = (true, Some(life));
        for fetch in core::mem::take(&mut link.waiting) {
            self.ask_origin(node, fetch);
        }
    }

    pub(crate) fn origin_connect_by(&mut self, node: u16, id: ConnectionId) {
        let entry = &mut self.nodes[usize::from(node)];
        let link = entry
            .origin
            .iter()
            .position(|link| link.connection == Some(id) && !link.open);
        if link.is_some() {
            self.network.close(id, 0, 0);
            self.origin_closed(node, id);
        }
    }

    /// The connection is over: who waited for it fails, who was not answered asks again.
    pub(crate) fn origin_closed(&mut self, node: u16, id: ConnectionId) {
        let entry = &mut self.nodes[usize::from(node)];
        let mut waiting = Vec::new();
        for link in &mut entry.origin {
            if link.connection == Some(id) {
                (link.connection, link.open) = (None, false);
                waiting.append(&mut link.waiting);
            }
        }
        let on_it: Vec<(FetchId, Stage, u8)> = entry
            .origin_fetches
            .iter()
            .filter(|(_, order)| order.at.is_some_and(|(connection, _)| connection == id))
            .map(|(fetch, order)| (*fetch, order.stage, order.asks))
            .collect();
        for fetch in waiting {
            self.end_origin_fetch(node, fetch, FetchEvent::Failed);
        }
        for (fetch, stage, asks) in on_it {
            if stage == Stage::Asked && asks < ASKS_MAX {
                self.ask_origin(node, fetch);
            } else {
                self.end_origin_fetch(node, fetch, FetchEvent::Failed);
            }
        }
    }

    pub(crate) fn origin_by(&mut self, node: u16, fetch: FetchId) {
        let now = self.now;
        let entry = &mut self.nodes[usize::from(node)];
        let Some(order) = entry.origin_fetches.get(&fetch) else {
            return;
        };
        let patience = match order.stage {
            Stage::Connecting => u64::MAX / 2,
            Stage::Asked => reply_patience(order.route),
            Stage::Receiving => STALL_MICROS,
        };
        let due = (order.touched + patience).min(order.limit_at);
        if due > now {
            return self.later(node, due - now, Task::OriginBy(fetch));
        }
        let (stage, at) = (order.stage, order.at);
        if stage == Stage::Asked
            && let Some((id, _)) = at
            && let Some(link) = entry.origin.iter_mut().find(|l| l.connection == Some(id))
        {
            // What does not answer is left alone; the next fetch connects anew.
            (link.connection, link.open) = (None, false);
        }
        self.end_origin_fetch(node, fetch, FetchEvent::Failed);
    }

    pub(crate) fn cancel_origin_fetch(&mut self, node: u16, fetch: FetchId) {
        let entry = &mut self.nodes[usize::from(node)];
        if let Some(order) = entry.origin_fetches.remove(&fetch)
            && let Some((id, stream)) = order.at
        {
            self.network.reset(id, 0, stream);
        }
    }

    fn end_origin_fetch(&mut self, node: u16, fetch: FetchId, event: FetchEvent) {
        let entry = &mut self.nodes[usize::from(node)];
        let Some(order) = entry.origin_fetches.remove(&fetch) else {
            return;
        };
        if event != FetchEvent::Done
            && let Some((id, stream)) = order.at
        {
            self.network.reset(id, 0, stream);
        }
        self.tell(node, Input::Fetch { fetch, event });
    }

    pub(crate) fn origin_readable(&mut self, node: u16, id: ConnectionId, stream: u16) {
        let entry = &self.nodes[usize::from(node)];
        let found = entry
            .origin_fetches
            .iter()
            .find(|(_, order)| order.at == Some((id, stream)));
        let Some(fetch) = found.map(|(fetch, _)| *fetch) else {
            let unread = self.network.readable(id, 0, stream).len();
            return self.network.consume(id, 0, stream, unread);
        };
        while let Some(event) = self.read_origin(node, fetch, id, stream) {
            let last = !matches!(event, FetchEvent::Accepted | FetchEvent::Verified { .. });
            if last {
                return self.end_origin_fetch(node, fetch, event);
            }
            self.tell(node, Input::Fetch { fetch, event });
        }
        if self.network.is_ended(id, 0, stream) {
            self.end_origin_fetch(node, fetch, FetchEvent::Failed);
        }
    }

    /// The next thing there is to tell of what arrived.
    fn read_origin(
        &mut self,
        node: u16,
        fetch: FetchId,
        id: ConnectionId,
        stream: u16,
    ) -> Option<FetchEvent> {
        let now = self.now;
        let entry = &mut self.nodes[usize::from(node)];
        let order = entry.origin_fetches.get_mut(&fetch)?;
        let geometry = self.music.tracks[order.track].geometry;
        if order.stage == Stage::Asked {
            let reply = frames::take::<OriginReply>(&mut self.network, id, 0, stream);
            let reply = match reply {
                Ok(reply) => reply?.0,
                Err(_) => return Some(FetchEvent::Failed),
            };
            (order.stage, order.touched) = (Stage::Receiving, now);
            return Some(match reply {
                OriginReply::Accept { size, encoded }
                    if size == geometry.size()
                        && encoded == encoded_bytes(geometry, order.span) =>
                {
                    FetchEvent::Accepted
                }
                OriginReply::Accept { .. } => FetchEvent::Corrupt,
                OriginReply::Refuse { code, retry_after } => FetchEvent::Declined {
                    code,
                    retry_after: Duration::from_millis(u64::from(retry_after.clamped().0)),
                },
            });
        }
        loop {
            let order = self.nodes[usize::from(node)]
                .origin_fetches
                .get_mut(&fetch)?;
            let Some(item) = order.verifier.wanted() else {
                return Some(FetchEvent::Done);
            };
            let bytes = self.network.readable(id, 0, stream).get(..item.bytes())?;
            order.touched = now;
            if order.verifier.accept(bytes).is_err() {
                return Some(FetchEvent::Corrupt);
            }
            let track = order.track;
            let genuine = match item {
                Item::Chunk { chunk, .. } => bytes == self.music.tracks[track].chunk(chunk),
                Item::Parent { .. } => true,
            };
            self.network.consume(id, 0, stream, item.bytes());
            if let Item::Chunk { chunk, .. } = item {
                if !self.store(node, track, chunk, genuine, false) {
                    return Some(FetchEvent::Failed);
                }
                let until = ChunkIndex(chunk.0 + 1);
                return Some(FetchEvent::Verified { until });
            }
        }
    }

    /// A request is at the origin.
    pub(crate) fn origin_asked(&mut self, id: ConnectionId, stream: u16, tag: Tag) {
        let service = self.origin.services[usize::from(tag == Tag::OriginHttp)];
        if service == Service::Silent {
            return;
        }
        let frame = frames::take::<OriginRequest>(&mut self.network, id, 1, stream);
        let request = match frame {
            Ok(None) => return,
            Ok(Some((OriginRequest::Span { content, span, .. }, _))) => (content, span),
            Err(_) => return self.network.reset(id, 1, stream),
        };
        let (content, span) = request;
        let refusal = match self.music.by_content(content) {
            _ if service == Service::Refusing => Some((ErrorCode::BUSY, Millis(2_000))),
            None => Some((ErrorCode::NOT_FOUND, Millis(60_000))),
            Some(track) if !self.music.tracks[track].geometry.contains(span) => {
                Some((ErrorCode::INVALID, Millis(0)))
            }
            Some(track) => {
                self.origin.asked += 1;
                let mut draws = self.draws(Chance::Lines, 1 << 32 | self.origin.asked);
                let after = draws.log_normal(SERVICE_MICROS, 0.7) as u64;
                let life = self.origin.life;
                let request = OriginAsk { track, span, life };
                let serves = Happening::OriginServes {
                    connection: id,
                    stream,
                    request,
                };
                self.queue.push(self.now + after, serves);
                None
            }
        };
        if let Some((code, retry_after)) = refusal {
            let reply = OriginReply::Refuse { code, retry_after };
            frames::put(&mut self.network, id, 1, stream, &reply);
            self.network.finish(id, 1, stream);
        }
    }

    /// The origin has the bytes and sends them.
    pub(crate) fn origin_serves(&mut self, id: ConnectionId, stream: u16, ask: OriginAsk) {
        if ask.life != self.origin.life || !self.origin.alive {
            return;
        }
        let track = &self.music.tracks[ask.track];
        let range = track.geometry.byte_range(ask.span);
        let data = &track.bytes[range.start as usize..range.end as usize];
        let reply = OriginReply::Accept {
            size: track.geometry.size(),
            encoded: encoded_bytes(track.geometry, ask.span),
        };
        let mut bytes = encode(&reply);
        encode_span(track.geometry, ask.span, &track.outboard, data, &mut bytes)
            .expect("the span was checked");
        self.network.write(id, 1, stream, &bytes);
        self.network.finish(id, 1, stream);
    }
}

const fn reply_patience(route: OriginRoute) -> u64 {
    match route {
        OriginRoute::Quic => QUIC_REPLY_MICROS,
        OriginRoute::Http => HTTP_REPLY_MICROS,
    }
}
