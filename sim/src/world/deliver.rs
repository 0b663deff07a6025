//! Spans arriving: from the line to the shelf, the core and the player.

use antiphon_protocol::ChunkIndex;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Input, RenditionKey};

use crate::scenario::Conduct;
use crate::world::World;
use crate::world::progress::arrived;
use crate::world::shelf::{Added, Sender};

impl World {
    /// Chunks are at the asker.
    pub(super) fn arrive(&mut self, id: u32, life: u32, mark: u32) -> u64 {
        let Some(transfer) = self.transfers.get(id, life) else {
            return 0;
        };
        let done = mark == transfer.span.end().0;
        if !done && mark <= transfer.arrived {
            // It is on the shelf already.
            return 0;
        }
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
        let event = if done {
            self.forget(id);
            match transfer.untold_first() {
                Some((_, at)) => arrived(at, ChunkIndex(mark)),
                None => FetchEvent::Done,
            }
        } else {
            FetchEvent::Verified {
                until: ChunkIndex(mark),
            }
        };
        self.catch_up(node);
        self.hand_in(node, Input::Fetch { fetch, event });
        self.data_arrived(node, track);
        2
    }

    pub(super) fn shelve(
        &mut self,
        node: u32,
        track: u32,
        source: Source,
        chunks: core::ops::Range<u32>,
    ) {
        let geometry = self.music.spec(track).geometry;
        let second = (self.now / 1_000_000) as i32;
        let sender = match source {
            Source::Peer(_) => Sender::Peer,
            Source::Origin(_) => Sender::Origin,
        };
        let shelf = &mut self.seats[node as usize].shelf;
        let Added { new, known } = shelf.add(track, chunks, sender, (geometry, second));
        self.tally.note_arrived(self.now, node, source, new, known);
        self.note_good_of_bad(source, new);
        if !self.is_in_use(node, track) {
            self.seats[node as usize].shelf.close(track);
        }
    }

    /// The core counts it as gone from when it decided that, and needs not hear that it is.
    pub(super) fn evict(&mut self, node: u32, rendition: RenditionKey) {
        self.seats[node as usize].shelf.remove(rendition.0);
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
                    .is_some_and(|expected| expected.track == track)
        })
    }
}
