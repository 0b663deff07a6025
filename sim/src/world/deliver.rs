//! Spans arriving: from the line to the shelf, the core and the player.

use antiphon_swarm::node::input::{FetchEvent, StoreEvent};
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Input, RenditionKey};

use crate::net::path;
use crate::scenario::Conduct;
use crate::world::happening::Happening;
use crate::world::shelf::{Added, Sender};
use crate::world::transfers::{Stage, next_mark, until};
use crate::world::{Chance, World};

/// Packets of a chunk, each of which may be lost.
const CHUNK_PACKETS: i32 = 14;

impl World {
    /// A flow has moved the bytes of its mark: when are they at the other end?
    pub(super) fn step(&mut self, id: u32, life: u32, turn: u32) -> u64 {
        let Some(transfer) = self.transfers.get(id, life).filter(|t| t.turn == turn) else {
            return 0;
        };
        let Stage::Flowing(flow) = transfer.stage else {
            return 0;
        };
        let bytes = self.line_bytes(transfer.track, transfer.span, transfer.mark);
        let rate = self.network.rate(flow);
        let ramp = path::ramp_delay(bytes, transfer.window, rate, transfer.rtt);
        let first = transfer.last_arrival == 0;
        let lost = if first {
            self.first_chunk_loss(id, life, transfer.rtt)
        } else {
            0
        };
        let arrival = self.now + transfer.rtt / 2 + ramp + lost;
        let arrival = arrival.max(transfer.last_arrival);
        let mark = transfer.mark;
        self.transfers.of(id).last_arrival = arrival;
        self.queue.push(
            arrival,
            Happening::Arrive {
                transfer: id,
                life,
                until: mark,
            },
        );
        if mark == transfer.span.end().0 {
            self.stop_flow(id, ramp + 1);
        } else if transfer.conduct == Some(Conduct::Staller) {
            self.stop_flow(id, ramp + 1);
            self.transfers.of(id).stage = Stage::Stuck;
        } else {
            let transfer = self.transfers.of(id);
            transfer.mark = next_mark(transfer, rate);
            self.plan_step(id);
        }
        u64::from(mark)
    }

    /// A packet of the first chunk is lost now and then; nothing behind it can be used before it
    /// is there. Later chunks have the rate's cap for it.
    fn first_chunk_loss(&self, id: u32, life: u32, rtt: u64) -> u64 {
        let loss = self.scenario.network.loss.0;
        let some = 1.0 - libm::pow(1.0 - loss, f64::from(CHUNK_PACKETS));
        let mut draws = self.draws(
            Chance::Loss,
            u64::from(id) << 32 ^ u64::from(life) ^ self.now,
        );
        if draws.chance(some) {
            path::retransmission(rtt)
        } else {
            0
        }
    }

    /// Chunks are at the asker.
    pub(super) fn arrive(&mut self, id: u32, life: u32, mark: u32) -> u64 {
        let Some(transfer) = self.transfers.get(id, life) else {
            return 0;
        };
        let done = mark == transfer.span.end().0;
        let (node, track, fetch) = (transfer.to, transfer.track, transfer.fetch);
        let from = transfer.arrived;
        self.transfers.of(id).arrived = mark;
        if transfer.canceled || self.node(node).is_none() {
            if done {
                self.forget(id);
            }
            return 1;
        }
        if transfer.conduct == Some(Conduct::Polluter) {
            self.spoiled(id);
            return 3;
        }
        self.shelve(node, track, transfer.source, from..mark);
        if done {
            self.forget(id);
            self.feed(
                node,
                Input::Fetch {
                    fetch,
                    event: FetchEvent::Done,
                },
            );
        } else {
            let event = FetchEvent::Verified { until: until(mark) };
            self.feed(node, Input::Fetch { fetch, event });
        }
        self.data_arrived(node, track);
        2
    }

    fn shelve(&mut self, node: u32, track: u32, source: Source, chunks: core::ops::Range<u32>) {
        let geometry = self.music.spec(track).geometry;
        let second = (self.now / 1_000_000) as i32;
        let sender = match source {
            Source::Peer(_) => Sender::Peer,
            Source::Origin(_) => Sender::Origin,
        };
        let shelf = &mut self.shelves[node as usize];
        let Added { new, known } = shelf.add(track, chunks, sender, (geometry, second));
        self.tally.note_arrived(self.now, node, source, new, known);
        self.note_good_of_bad(source, new);
        if !self.is_in_use(node, track) {
            self.shelves[node as usize].close(track);
        }
    }

    pub(super) fn evict(&mut self, node: u32, rendition: RenditionKey) {
        self.shelves[node as usize].remove(rendition.0);
        self.feed_after(0, node, Input::Store(StoreEvent::Evicted { rendition }));
    }

    /// Whether the track plays or is expected.
    pub(super) fn is_in_use(&self, node: u32, track: u32) -> bool {
        self.node(node).is_some_and(|online| {
            online
                .playing
                .as_ref()
                .is_some_and(|playing| playing.track == track)
                || online
                    .expected
                    .is_some_and(|(expected, _)| expected == track)
        })
    }
}
