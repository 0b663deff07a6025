//! Why a playhead ran dry. Only looks; changes nothing.

use antiphon_protocol::ChunkIndex;
use antiphon_swarm::node::output::Source;

use crate::measure::stall::StallCause;
use crate::world::World;
use crate::world::transfers::{Stage, Transfer};

impl World {
    /// What had become of the chunk at `byte`, which is missing.
    pub(super) fn stall_cause(&self, user: u32, track: u32, byte: u64) -> StallCause {
        let chunk = ChunkIndex::of_byte(byte);
        let asked = self.incoming(user).filter_map(|id| {
            let transfer = self.transfers.peek(id)?;
            let covers = transfer.track == track
                && (transfer.span.first()..transfer.span.end()).contains(&chunk);
            covers.then(|| cause_of(transfer))
        });
        // The origin's come last in the order of causes.
        asked.max().unwrap_or(StallCause::NotAsked)
    }
}

fn cause_of(transfer: &Transfer) -> StallCause {
    let sends = matches!(transfer.stage, Stage::Flowing(_) | Stage::Sent);
    match (transfer.source, sends) {
        (Source::Peer(_), false) => StallCause::PeerSilent,
        (Source::Peer(_), true) => StallCause::PeerSlow,
        (Source::Origin(_), false) => StallCause::OriginSilent,
        (Source::Origin(_), true) => StallCause::OriginSlow,
    }
}
