//! What is about to happen, looked at early.
//!
//! In a large world each event concerns another node, and nothing of it is in any cache of the
//! machine: most of an event's time is waiting for memory, one line after the other. So the nodes of
//! the events of the next moment are read beforehand, all together, and those waits overlap. Nothing
//! is changed or decided here.

use crate::world::World;
use crate::world::happening::{Deferred, Happening};
use crate::world::online::Online;
use crate::world::transfers::Transfers;

/// Nobody.
const NONE: u32 = u32::MAX;

impl World {
    /// The next event that happens no later than `until`.
    pub(super) fn next_event(&mut self, until: u64) -> Option<(u64, Happening)> {
        let (online, shelves) = (&self.online, &self.shelves);
        let (transfers, deferred, wakes) = (&self.transfers, &self.deferred, &self.wakes);
        let nodes = &mut self.scratch_soon;
        self.queue.pop_announced(until, |events| {
            nodes.clear();
            for (at, happening) in events {
                let node = match happening {
                    Happening::Due { node } => {
                        let wake = wakes[*node as usize];
                        let comes = wake.queued == *at && wake.due <= *at;
                        if comes { *node } else { NONE }
                    }
                    Happening::Deferred { slot } => {
                        let waits = deferred.get(*slot as usize).and_then(Option::as_ref);
                        waits.map_or(NONE, Deferred::concerns)
                    }
                    other => concerned(other, transfers),
                };
                if node != NONE {
                    nodes.push(node);
                }
            }
            let mut read = 0;
            for node in nodes.iter() {
                let node = online[*node as usize].as_deref();
                read += node.map_or(0, |node| node.session as usize);
            }
            for node in nodes.iter() {
                read += shelves[*node as usize].preload();
                let node = online[*node as usize].as_deref();
                read += node.map_or(0, Online::preload);
            }
            core::hint::black_box(read);
        })
    }
}

/// Whose state a small event reads first.
fn concerned(happening: &Happening, transfers: &Transfers) -> u32 {
    match happening {
        Happening::Asked { transfer, .. } => transfers.source_of(*transfer).unwrap_or(NONE),
        Happening::Arrive { transfer, .. } => transfers.peek(*transfer).map_or(NONE, |t| t.to),
        Happening::Playhead { user, .. } | Happening::Licensed { user, .. } => *user,
        _ => NONE,
    }
}
