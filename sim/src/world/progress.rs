//! How far spans are, told when it matters: an event for each chunk of each span would be most of what
//! a world costs, and nearly all of them would change nothing.
//!
//! A span that somebody waits for, or that takes long, is told of as it comes. Of any other only the
//! end is an event; what came before is told as soon as its node acts or looks, the first chunk as of
//! when it came, so that no decision sees less than the node itself would have seen. Not here: what
//! becomes of what arrived ([`super::deliver`]).

use antiphon_protocol::peer::Priority;
use antiphon_protocol::{CHUNK_BYTES, ChunkIndex};
use antiphon_swarm::limits::SPAN_CHUNKS_MAX;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::{Duration, Input, Instant};

use crate::net::fluid::FlowId;
use crate::net::path;
use crate::scenario::Conduct;
use crate::world::happening::Happening;
use crate::world::transfers::{HASH_BYTES, Stage, Transfer};
use crate::world::wakes::NEVER;
use crate::world::{Chance, World};

/// Most chunks told of in one event, of a span that is needed soon: 256 KiB.
const MARK_CHUNKS_MAX: u32 = 16;

/// Time between two events of a span that is followed: of one needed within 10 s, soon, and in the
/// background. The shortest patience of the core is 250 ms, and 8 s in the background.
const MARK_SECONDS: [f64; 3] = [0.05, 0.1, 1.0];

/// A span that will have left its source within this is not followed. Its pace is judged by whole chunks
/// at the moments they came: told at others, slow peers look slower than they are, and `spotify-2010`
/// gets a tenth more twice.
const BRIEF_MICROS: u64 = 2_000_000;

/// What is needed within this is waited for: the core plans at each chunk while less is there. From
/// its ladder.
const SOON: Duration = Duration::from_secs(5);

/// Packets of a chunk, each of which may be lost.
const CHUNK_PACKETS: i32 = 14;

impl World {
    /// Whether each chunk of a transfer is to be told of as it comes: somebody listens for it, or its
    /// source treats it in a way of its own.
    pub(super) fn is_awaited(&mut self, transfer: &Transfer) -> bool {
        self.is_raced(transfer)
            || transfer.need < SOON
            || transfer.conduct.is_some()
            || self.waits_for(transfer.to, transfer.track)
    }

    /// The listener hears nothing until more of what plays is there: from now on each chunk counts.
    pub(super) fn hurry(&mut self, node: u32) {
        self.catch_up(node);
        let mut at = 0;
        while let Some(id) = self.nth_incoming(node, at) {
            at += 1;
            let track = self.transfers.of(id).track;
            if self.waits_for(node, track) {
                self.follow(id);
            }
        }
    }

    /// Tells of each chunk of a transfer as it comes, from now on.
    fn follow(&mut self, id: u32) {
        let transfer = *self.transfers.of(id);
        let Stage::Flowing(flow) = transfer.stage else {
            return;
        };
        if transfer.followed {
            return;
        }
        let gone = self.chunks_gone(&transfer, flow, self.now);
        let on_its_way = transfer
            .untold_first()
            .filter(|(left, _)| *left <= self.now);
        let transfer = self.transfers.of(id);
        transfer.followed = true;
        transfer.mark = gone + 1;
        if let Some((_, arrival)) = on_its_way {
            let until = transfer.span.first().0 + 1;
            self.plan_arrival(id, until, arrival);
        }
        self.plan_step(id);
    }

    /// Whether the same chunks are on their way to a node twice: what comes first ends the other one, so
    /// both are followed.
    fn is_raced(&mut self, transfer: &Transfer) -> bool {
        let (mut at, mut raced) = (0, false);
        while let Some(id) = self.nth_incoming(transfer.to, at) {
            at += 1;
            let other = *self.transfers.of(id);
            let overlaps = other.span.first() < transfer.span.end()
                && transfer.span.first() < other.span.end();
            if other.track == transfer.track && other.fetch != transfer.fetch && overlaps {
                self.follow(id);
                raced = true;
            }
        }
        raced
    }

    /// Plans the next events of a transfer from its present rate.
    pub(super) fn plan_step(&mut self, id: u32) {
        let transfer = *self.transfers.of(id);
        let Stage::Flowing(flow) = transfer.stage else {
            return;
        };
        if !transfer.followed && !self.is_brief(&transfer, flow) {
            return self.follow(id);
        }
        let leaves = transfer.first.is_none_or(|(gone, _)| gone > self.now);
        if !transfer.followed && leaves && transfer.mark < transfer.span.end().0 {
            self.plan_first(id, &transfer, flow);
        }
        let mark = transfer.next_end();
        let bytes = self.line_bytes(transfer.track, transfer.span, mark);
        let at = self.network.time_of(self.now, flow, bytes);
        let transfer = self.transfers.of(id);
        transfer.turn = transfer.turn.wrapping_add(1);
        let (life, turn) = (transfer.life, transfer.turn);
        self.expect_event(id, at.unwrap_or(NEVER));
        if let Some(at) = at {
            let step = Happening::Step {
                transfer: id,
                life,
                turn,
            };
            self.queue.push(at, step);
        }
    }

    fn is_brief(&self, transfer: &Transfer, flow: FlowId) -> bool {
        let bytes = self.line_bytes(transfer.track, transfer.span, transfer.span.end().0);
        let ends = self.network.time_of(self.now, flow, bytes);
        ends.is_some_and(|ends| ends - transfer.begun <= BRIEF_MICROS)
    }

    /// Notes when the first chunk arrives.
    fn plan_first(&mut self, id: u32, transfer: &Transfer, flow: FlowId) {
        let until = transfer.span.first().0 + 1;
        let bytes = self.line_bytes(transfer.track, transfer.span, until);
        let Some(gone) = self.network.time_of(self.now, flow, bytes) else {
            return;
        };
        let ramp = path::ramp_delay(
            bytes,
            transfer.window,
            self.network.rate(flow),
            transfer.rtt,
        );
        let arrival = gone + transfer.rtt / 2 + ramp + self.first_chunk_loss(id, transfer);
        let transfer = self.transfers.of(id);
        transfer.first = Some((gone, arrival));
        transfer.last_arrival = arrival;
    }

    fn plan_arrival(&mut self, id: u32, until: u32, arrival: u64) {
        let transfer = self.transfers.of(id);
        transfer.last_arrival = arrival;
        let life = transfer.life;
        self.expect_event(id, arrival);
        let arrive = Happening::Arrive {
            transfer: id,
            life,
            until,
        };
        self.queue.push(arrival, arrive);
    }

    /// The bytes of a mark have left: when do they arrive, and what is looked at next?
    pub(super) fn step(&mut self, id: u32, life: u32, turn: u32) -> u64 {
        let Some(transfer) = self.transfers.get(id, life).filter(|t| t.turn == turn) else {
            return 0;
        };
        let Stage::Flowing(flow) = transfer.stage else {
            return 0;
        };
        let (until, end) = (transfer.next_end(), transfer.span.end().0);
        let bytes = self.line_bytes(transfer.track, transfer.span, until);
        let rate = self.network.rate(flow);
        let ramp = path::ramp_delay(bytes, transfer.window, rate, transfer.rtt);
        let lost = if transfer.last_arrival == 0 {
            self.first_chunk_loss(id, &transfer)
        } else {
            0
        };
        let arrival = self.now + transfer.rtt / 2 + ramp + lost;
        self.plan_arrival(id, until, arrival.max(transfer.last_arrival));
        let stalls = transfer.conduct == Some(Conduct::Staller);
        if until < end && !stalls {
            let transfer = self.transfers.of(id);
            transfer.mark = next_mark(transfer, rate);
            self.plan_step(id);
            return u64::from(until);
        }
        let ended = self.end_flow(id, until == end);
        if stalls && until < end {
            self.transfers.of(id).stage = Stage::Stuck;
            self.expect_event(id, NEVER);
        }
        match ended {
            Some((holder, ended)) if ramp == 0 => self.feed(holder, ended),
            Some((holder, ended)) => self.feed_after(ramp, holder, ended),
            None => {}
        }
        u64::from(until)
    }

    /// A packet of the first chunk is lost now and then; nothing behind it can be used before it
    /// is there. Later chunks have the rate's cap for it.
    fn first_chunk_loss(&self, id: u32, transfer: &Transfer) -> u64 {
        let mut draws = self.draws(
            Chance::Loss,
            u64::from(id) << 32 ^ u64::from(transfer.life) ^ transfer.begun,
        );
        if draws.chance(self.chunk_loss) {
            path::retransmission(transfer.rtt)
        } else {
            0
        }
    }

    /// Tells a node of everything that has arrived by now.
    pub(super) fn catch_up(&mut self, node: u32) {
        let mut at = 0;
        while let Some(id) = self.nth_incoming(node, at) {
            at += 1;
            let transfer = *self.transfers.of(id);
            let Some(until) = self.take_in(id) else {
                continue;
            };
            let event = match transfer.untold_first() {
                Some((_, at)) => arrived(at, until),
                None => FetchEvent::Verified { until },
            };
            let fetch = transfer.fetch;
            self.hand_in(node, Input::Fetch { fetch, event });
        }
    }

    /// Puts what has arrived of a transfer, and was not told of, on the shelf: the chunk after it.
    pub(super) fn take_in(&mut self, id: u32) -> Option<ChunkIndex> {
        let transfer = *self.transfers.of(id);
        let first = transfer.untold_first();
        let begins = transfer.arrived == transfer.span.first().0;
        let waits = begins && first.is_none_or(|(_, arrival)| arrival > self.now);
        if transfer.followed || transfer.canceled || waits {
            return None;
        }
        let until = match transfer.stage {
            Stage::Flowing(flow) => {
                let gone = self.network.gone(self.now, flow, transfer.begun, self.now);
                let rate = self.network.rate(flow);
                let ramp = path::ramp_delay(gone, transfer.window, rate, transfer.rtt);
                let left_at = self.now.saturating_sub(transfer.rtt / 2 + ramp);
                self.chunks_gone(&transfer, flow, left_at)
            }
            _ => transfer.arrived,
        };
        let until = until.max(transfer.arrived + u32::from(begins));
        if until <= transfer.arrived {
            return None;
        }
        self.transfers.of(id).arrived = until;
        let chunks = transfer.arrived..until;
        self.shelve(transfer.to, transfer.track, transfer.source, chunks);
        Some(ChunkIndex(until))
    }

    /// The chunk after the last that had left the source whole at `at`; never the last of the span,
    /// which is an event of its own.
    fn chunks_gone(&self, transfer: &Transfer, flow: FlowId, at: u64) -> u32 {
        let bytes = self.network.gone(self.now, flow, transfer.begun, at);
        let chunks = bytes / (CHUNK_BYTES + HASH_BYTES);
        let first = transfer.span.first().0;
        let until = first.saturating_add(u32::try_from(chunks).unwrap_or(u32::MAX));
        until.min(transfer.span.end().0 - 1)
    }
}

/// The chance that a packet of a chunk is lost, given that for each of them.
pub(super) fn chunk_loss(packet_loss: f64) -> f64 {
    1.0 - libm::pow(1.0 - packet_loss, f64::from(CHUNK_PACKETS))
}

/// What a node is told of a span of which it was told nothing yet: its first chunk came at `first`.
pub(super) const fn arrived(first: u64, until: ChunkIndex) -> FetchEvent {
    let first = Instant::from_micros(first);
    FetchEvent::Arrived { first, until }
}

/// What the node of a transfer is told of what came before `until`.
pub(super) const fn verified(transfer: &Transfer, until: ChunkIndex) -> Input {
    let (fetch, event) = (transfer.fetch, FetchEvent::Verified { until });
    Input::Fetch { fetch, event }
}

/// The end of the chunks told of together of a span that is followed: few where they are needed soon or
/// come slowly, so that the core sees a stall as early as the node would. The first is told of alone.
pub(super) fn next_mark(transfer: &Transfer, rate: f64) -> u32 {
    let (from, end) = (transfer.mark, transfer.span.end().0);
    if from == transfer.span.first().0 {
        return (from + 1).min(end);
    }
    let [urgent, soon, background] = MARK_SECONDS;
    let (seconds, most) = if transfer.priority == Priority::Urgent {
        (urgent, MARK_CHUNKS_MAX)
    } else if transfer.need < Duration::from_secs(30) {
        (soon, MARK_CHUNKS_MAX)
    } else {
        (background, SPAN_CHUNKS_MAX)
    };
    let chunks = (rate * seconds / CHUNK_BYTES as f64) as u32;
    (from + chunks.clamp(1, most)).min(end)
}
