//! Spans on their way: asked, accepted, flowing. What arrives is in [`super::deliver`].

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::Priority;
use antiphon_protocol::{ByteCount, ChunkIndex, Span};
use antiphon_swarm::memory::bring_whole;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::{OriginRoute, Source};
use antiphon_swarm::{Duration, FetchId, Input, PeerKey, RenditionKey, UploadId};

use crate::net::allocate::Demand;
use crate::net::fluid::FlowId;
use crate::net::path;
use crate::scenario::Conduct;
use crate::world::happening::Happening;
use crate::world::online::Incoming;
use crate::world::progress::{next_mark, verified};
use crate::world::wakes::NEVER;
use crate::world::{Chance, World};

/// Bytes of hashes sent with each chunk: one parent node of 64 bytes.
pub(super) const HASH_BYTES: u64 = 64;

/// Bytes of a request and its answer. From the codec.
const REQUEST_BYTES: u64 = 48;

/// Where a transfer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The request travels, or the source thinks.
    Asked,
    /// The origin looks for the bytes.
    Serving,
    /// Bytes leave the source.
    Flowing(FlowId),
    /// All bytes have left.
    Sent,
    /// The source has stopped without an end.
    Stuck,
}

/// One span.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    /// Changes when the number is used again.
    pub(super) life: u32,
    pub(super) to: u32,
    pub(super) fetch: FetchId,
    pub(super) source: Source,
    pub(super) track: u32,
    pub(super) span: Span,
    pub(super) priority: Priority,
    /// How far ahead of need it was asked.
    pub(super) need: Duration,
    pub(super) stage: Stage,
    /// The asker does not want it any more.
    pub(super) canceled: bool,
    /// How its source treats it, if not honestly.
    pub(super) conduct: Option<Conduct>,
    /// Whether its chunks are told of as they come; see [`super::progress`].
    pub(super) followed: bool,
    /// Number of the step that counts; earlier ones are void.
    pub(super) turn: u32,
    /// The chunk after the last of the next mark.
    pub(super) mark: u32,
    /// The chunk after the last that arrived.
    pub(super) arrived: u32,
    pub(super) rtt: u64,
    pub(super) window: u32,
    /// When bytes began to leave the source.
    pub(super) begun: u64,
    /// When its first chunk leaves the source, and when that arrives, unless that is an event of its own.
    pub(super) first: Option<(u64, u64)>,
    pub(super) last_arrival: u64,
}

impl Transfer {
    /// The chunk after the last of what is looked at next.
    pub(super) const fn next_end(&self) -> u32 {
        if self.followed {
            self.mark
        } else {
            self.span.end().0
        }
    }

    /// When its first chunk leaves the source and arrives, if that is known and its node was not told yet.
    pub(super) fn untold_first(&self) -> Option<(u64, u64)> {
        let untold = self.arrived == self.span.first().0;
        self.first.filter(|_| untold && !self.followed)
    }
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    list: Vec<Transfer>,
    free: Vec<u32>,
    /// The transfer of each flow.
    by_flow: Vec<u32>,
}

impl Transfers {
    /// Brings near one.
    pub(super) fn bring(&self, id: u32) {
        if let Some(transfer) = self.list.get(id as usize) {
            let offset = core::mem::offset_of!(Transfer, canceled);
            bring_whole::<Transfer>(&transfer.canceled, offset);
        }
    }

    fn insert(&mut self, mut transfer: Transfer) -> u32 {
        if let Some(id) = self.free.pop() {
            transfer.life = self.list[id as usize].life;
            self.list[id as usize] = transfer;
            return id;
        }
        self.list.push(transfer);
        (self.list.len() - 1) as u32
    }

    pub(super) fn get(&self, id: u32, life: u32) -> Option<Transfer> {
        self.list
            .get(id as usize)
            .filter(|t| t.life == life)
            .copied()
    }

    pub(super) fn peek(&self, id: u32) -> Option<&Transfer> {
        self.list.get(id as usize)
    }

    pub(super) fn of(&mut self, id: u32) -> &mut Transfer {
        &mut self.list[id as usize]
    }

    fn of_upload(&self, upload: UploadId) -> Option<(u32, Transfer)> {
        let (id, life) = (upload.0 as u32, (upload.0 >> 32) as u32);
        self.get(id, life).map(|transfer| (id, transfer))
    }

    fn release(&mut self, id: u32) {
        let life = &mut self.list[id as usize].life;
        *life = life.wrapping_add(1);
        self.free.push(id);
    }

    fn own(&mut self, flow: FlowId, id: u32) {
        let at = flow.0 as usize;
        if self.by_flow.len() <= at {
            self.by_flow.resize(at + 1, 0);
        }
        self.by_flow[at] = id;
    }
}

fn upload_id(id: u32, life: u32) -> UploadId {
    UploadId(u64::from(life) << 32 | u64::from(id))
}

impl World {
    /// Bytes on the line for the chunks of `span` before `until`.
    pub(super) fn line_bytes(&self, track: u32, span: Span, until: u32) -> u64 {
        self.music_bytes(track, span.first().0, until)
            + HASH_BYTES * u64::from(until - span.first().0)
    }

    /// Music in the chunks from `first` to `until`.
    pub(super) fn music_bytes(&self, track: u32, first: u32, until: u32) -> u64 {
        let geometry = self.music.spec(track).geometry;
        geometry.bytes_between(ChunkIndex(first), ChunkIndex(until))
    }

    pub(super) fn request(
        &mut self,
        node: u32,
        (fetch, source, track): (FetchId, Source, u32),
        span: Span,
        priority: Priority,
        need: Duration,
    ) {
        let rtt = match source {
            Source::Peer(peer) => self.rtt_connected(node, peer.0),
            Source::Origin(_) => self.rtt_origin(node),
        };
        let first = span.first().0;
        let id = self.transfers.insert(Transfer {
            life: 0,
            to: node,
            fetch,
            source,
            track,
            span,
            priority,
            need,
            stage: Stage::Asked,
            canceled: false,
            conduct: None,
            followed: true,
            turn: 0,
            mark: first,
            arrived: first,
            rtt,
            window: 0,
            begun: 0,
            first: None,
            last_arrival: 0,
        });
        let life = self.transfers.of(id).life;
        self.tally.requests += 1;
        self.tally.harm.requests += u64::from(self.is_bad(source));
        self.tally.note_control(self.now, REQUEST_BYTES);
        let mut delay = rtt / 2 + self.loss_delay(node, self.tally.requests << 1 | 1, rtt);
        let now = self.now;
        if let Some(online) = self.node_mut(node) {
            if source == Source::Origin(OriginRoute::Http) && !online.http_warm {
                online.http_warm = true;
                // TCP and TLS.
                delay += 2 * rtt;
            }
            online.incoming.push(Incoming {
                transfer: id,
                next_event: now + delay,
            });
        }
        self.after(delay, Happening::Asked { transfer: id, life });
    }

    /// The request is at its source, or the origin has found the bytes.
    pub(super) fn asked(&mut self, id: u32, life: u32) -> u64 {
        let Some(transfer) = self.transfers.get(id, life) else {
            return 0;
        };
        if transfer.canceled {
            self.transfers.release(id);
            return 1;
        }
        let Transfer {
            to,
            source,
            track,
            span,
            priority,
            need,
            ..
        } = transfer;
        // Nothing more happens to it, unless this says otherwise.
        self.note_event(to, id, NEVER);
        match (source, transfer.stage) {
            (Source::Peer(holder), _) => {
                if self.is_connected(holder.0, to) && !self.mistreat(id, holder.0) {
                    let asked = Input::SpanAsked {
                        upload: upload_id(id, life),
                        peer: PeerKey(to),
                        rendition: RenditionKey(track),
                        span,
                        priority,
                        deadline: need,
                    };
                    self.feed(holder.0, asked);
                }
            }
            (Source::Origin(_), Stage::Serving) => self.begin(id),
            (Source::Origin(route), _) => {
                let udp = self
                    .nats
                    .get(self.person(to).nat as usize)
                    .is_none_or(|nat| nat.udp);
                if self.faults.origin_refuses {
                    self.fail(id, FetchEvent::Failed);
                } else if !self.faults.origin_lost && (udp || route == OriginRoute::Http) {
                    let service = self.origin_service(to, transfer.fetch);
                    self.transfers.of(id).stage = Stage::Serving;
                    self.note_event(to, id, self.now + service);
                    self.after(service, Happening::Asked { transfer: id, life });
                }
            }
        }
        self.secure_wake(to);
        2
    }

    fn origin_service(&self, node: u32, fetch: FetchId) -> u64 {
        let mut draws = self.draws(Chance::Origin, u64::from(node) << 32 ^ fetch.0);
        let origin = &self.scenario.origin;
        let seconds = draws.log_normal(origin.first_byte.0, origin.first_byte_sigma);
        (seconds * 1e6) as u64
    }

    pub(super) fn accept(&mut self, upload: UploadId) {
        let Some((id, transfer)) = self.transfers.of_upload(upload) else {
            return;
        };
        if transfer.priority == Priority::Urgent {
            // Others hear of the first chunk soon enough.
            let event = FetchEvent::Accepted;
            self.tell(&transfer, event);
        }
        self.begin(id);
    }

    pub(super) fn decline(&mut self, upload: UploadId, code: ErrorCode, retry_after: Duration) {
        if let Some((id, _)) = self.transfers.of_upload(upload) {
            self.tally.declines += 1;
            self.fail(id, FetchEvent::Declined { code, retry_after });
        }
    }

    /// The holder ends an upload it had accepted.
    pub(super) fn end_upload(&mut self, upload: UploadId) {
        if let Some((id, _)) = self.transfers.of_upload(upload) {
            self.stop_flow(id);
            self.fail(id, FetchEvent::Failed);
        }
    }

    pub(super) fn tell(&mut self, transfer: &Transfer, event: FetchEvent) {
        let fetch = transfer.fetch;
        self.feed_after(transfer.rtt / 2, transfer.to, Input::Fetch { fetch, event });
    }

    /// The last news of a transfer that does not come to its end.
    pub(super) fn fail(&mut self, id: u32, event: FetchEvent) {
        let transfer = *self.transfers.of(id);
        if !transfer.canceled {
            self.tell(&transfer, event);
        }
        let to = transfer.to;
        self.forget(id);
        self.secure_wake(to);
    }

    /// Takes the transfer off its asker's list and frees its number.
    pub(super) fn forget(&mut self, id: u32) {
        let to = self.transfers.of(id).to;
        if let Some(online) = self.node_mut(to) {
            online.drop_incoming(id);
        }
        self.transfers.release(id);
    }

    /// Bytes begin to leave the source.
    pub(super) fn begin(&mut self, id: u32) {
        let transfer = *self.transfers.of(id);
        if transfer.stage != Stage::Asked && transfer.stage != Stage::Serving {
            return;
        }
        let window = match transfer.source {
            Source::Peer(peer) => {
                let to = transfer.to;
                let Some(holder) = self.node_mut(peer.0) else {
                    return;
                };
                holder.outgoing.push(id);
                holder
                    .connection_mut(to)
                    .map_or(0, |connection| connection.window)
            }
            Source::Origin(_) => self
                .node(transfer.to)
                .map_or(0, |online| online.origin_window),
        };
        let route = self.route(transfer.source, transfer.to);
        let cap = path::loss_cap(self.scenario.network.loss.0, transfer.rtt);
        let cap = cap.min(self.held_back(&transfer));
        let background = transfer.priority >= Priority::Prefetch;
        let demand = Demand {
            route,
            cap,
            weight: path::weight(transfer.rtt),
            background,
        };
        let flow = self.network.start(self.now, demand);
        self.transfers.own(flow, id);
        let rate = self.network.rate(flow);
        let followed = self.is_awaited(&transfer);
        let now = self.now;
        let transfer = self.transfers.of(id);
        transfer.stage = Stage::Flowing(flow);
        transfer.window = window;
        transfer.begun = now;
        transfer.followed = followed;
        transfer.mark = next_mark(transfer, rate);
        self.plan_steps();
    }

    /// Rates changed: looks anew when each flow reaches its next mark.
    pub(super) fn plan_steps(&mut self) {
        let mut flows = core::mem::take(&mut self.scratch_flows);
        self.network.take_changed(&mut flows);
        for flow in &flows {
            let Some(id) = self.transfers.by_flow.get(flow.0 as usize).copied() else {
                continue;
            };
            self.plan_step(id);
        }
        self.scratch_flows = flows;
    }

    /// Ends the flow, if one runs, and lets its holder hear of that.
    pub(super) fn stop_flow(&mut self, id: u32) {
        if let Some((holder, ended)) = self.end_flow(id, false) {
            self.feed_after(0, holder, ended);
        }
    }

    /// Ends the flow, if one runs: what its holder is to be told, if that is a peer.
    pub(super) fn end_flow(&mut self, id: u32, complete: bool) -> Option<(u32, Input)> {
        let transfer = *self.transfers.of(id);
        let Stage::Flowing(flow) = transfer.stage else {
            return None;
        };
        let sent = self.network.stop(self.now, flow);
        self.transfers.of(id).stage = Stage::Sent;
        self.tally.note_sent(self.now, sent);
        let mut told = None;
        if let Source::Peer(peer) = transfer.source {
            let upload = upload_id(id, transfer.life);
            let sent = ByteCount(sent);
            let ended = Input::UploadEnded {
                upload,
                sent,
                complete,
            };
            let to = transfer.to;
            if let Some(holder) = self.node_mut(peer.0) {
                holder.outgoing.retain(|other| *other != id);
                if let Some(connection) = holder.connection_mut(to) {
                    connection.window = path::window_after(connection.window, sent.0);
                }
                told = Some((peer.0, ended));
            }
            self.tally.note_upload(self.now, peer.0, sent.0);
            self.note_bad_bytes(peer.0, sent.0);
        } else if let Some(online) = self.node_mut(transfer.to) {
            online.origin_window = path::window_after(online.origin_window, sent);
            self.tally.note_origin(self.now, sent);
        }
        self.plan_steps();
        told
    }

    /// The asker does not want it any more; the source hears of it later.
    pub(super) fn cancel(&mut self, node: u32, fetch: FetchId) {
        let is_it = |id: &u32| self.transfers.peek(*id).is_some_and(|t| t.fetch == fetch);
        let Some(id) = self.incoming(node).find(is_it) else {
            return;
        };
        if let Some(online) = self.node_mut(node) {
            online.drop_incoming(id);
        }
        let transfer = self.transfers.of(id);
        transfer.canceled = true;
        let (life, delay) = (transfer.life, transfer.rtt / 2);
        self.after(delay, Happening::Canceled { transfer: id, life });
    }

    pub(super) fn canceled(&mut self, id: u32, life: u32) -> u64 {
        let Some(transfer) = self.transfers.get(id, life) else {
            return 0;
        };
        match transfer.stage {
            Stage::Flowing(_) => {
                self.stop_flow(id);
                self.transfers.release(id);
            }
            // Everything is sent already; it is freed when it arrives.
            Stage::Sent => {}
            Stage::Asked | Stage::Serving | Stage::Stuck => self.transfers.release(id),
        }
        1
    }

    /// Nothing of what `from` sends `to` arrives any more.
    pub(super) fn cut_transfers(&mut self, from: u32, to: u32) {
        let source = Source::Peer(PeerKey(from));
        let ids: Vec<u32> = self.incoming(to).collect();
        for id in ids {
            let transfer = *self.transfers.of(id);
            if transfer.source == source {
                if let Some(until) = self.take_in(id) {
                    self.feed_after(0, to, verified(&transfer, until));
                }
                self.stop_flow(id);
                self.forget(id);
            }
        }
        self.secure_wake(to);
        // Those that were canceled and still flow.
        let ids = self
            .node(from)
            .map(|online| online.outgoing.clone())
            .unwrap_or_default();
        for id in ids {
            if self.transfers.of(id).to == to {
                self.stop_flow(id);
                self.transfers.release(id);
            }
        }
    }
}
