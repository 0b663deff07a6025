//! What a node is asked to keep for others.

use antiphon_protocol::limits::PLACEMENTS_PER_ANSWER_MAX;
use antiphon_protocol::tracker::{Placement, TrackerReply};

use super::answers::Refusal;
use crate::clock;
use crate::context::Context;
use crate::swarms::{Offer, ProvenNode};

/// Bytes of all manifests of an answer, so that it fits a frame even if they are at their limit.
const MANIFESTS_BYTES_MAX: usize = 232 * 1024;

/// Answers with manifests and holders, never with keys: what is kept stays sealed.
pub(super) async fn placements(
    context: &Context,
    asker: ProvenNode,
    limit: u8,
) -> Result<TrackerReply, Refusal> {
    let limit = usize::from(limit).min(PLACEMENTS_PER_ANSWER_MAX);
    let mut placements = Vec::with_capacity(limit);
    let Some(key) = context.catalog_key.get() else {
        return Ok(TrackerReply::Placements { placements });
    };
    let mut bytes = 0;
    for Offer { content, holders } in context.swarms.offer(asker, limit).await {
        let Some(track) = context.catalog.owner(content) else {
            continue;
        };
        if let Some(playable) = context.catalog.playable(track, key).await? {
            bytes += playable.manifest.to_bytes().len();
            if bytes > MANIFESTS_BYTES_MAX {
                break;
            }
            placements.push(Placement {
                manifest: playable.manifest.clone(),
                content,
                swarm: context.names.asked(content, clock::now()),
                holders,
            });
        }
    }
    Ok(TrackerReply::Placements { placements })
}
