//! Proves what is on the disk before it is believed: the first use of a chunk or inner node after
//! a start.
//!
//! Inner nodes on the disk are as little trusted as chunks, so a proof walks from the name down.
//! What was written in this run was verified when it arrived and is not proved again.

use std::ops::Range;
use std::sync::Arc;

use antiphon_protocol::verified::{Item, PARENT_BYTES, SpanVerifier};
use antiphon_protocol::{ChunkIndex, Geometry, Span};

use super::inner::Inner;
use super::rendition::Rendition;

impl Inner {
    /// Whether `data` is the chunk it is said to be. What is thereby known to be wrong is lost.
    pub(crate) fn prove_chunk(
        &self,
        rendition: &Arc<Rendition>,
        chunk: ChunkIndex,
        data: &[u8],
    ) -> bool {
        let Some(span) = Span::new(chunk, 1) else {
            return false;
        };
        let mut verifier = SpanVerifier::new(rendition.content, rendition.geometry, span);
        while let Some(item) = verifier.wanted() {
            match item {
                Item::Parent { outboard_offset } => {
                    if !self.prove_next_node(rendition, &mut verifier, outboard_offset) {
                        return false;
                    }
                }
                Item::Chunk { .. } => {
                    if verifier.accept(data).is_err() {
                        self.lose_unproved(rendition, chunk.0..chunk.0 + 1);
                        return false;
                    }
                    rendition.lock().set_checked(chunk);
                }
            }
        }
        true
    }

    /// Whether the inner node on the disk (or in memory) is genuine.
    pub(crate) fn prove_node(&self, rendition: &Arc<Rendition>, outboard_offset: u64) -> bool {
        let under = chunks_under(rendition.geometry, outboard_offset);
        let Some(span) = Span::new(ChunkIndex(under.start), 1) else {
            return false;
        };
        let mut verifier = SpanVerifier::new(rendition.content, rendition.geometry, span);
        while let Some(Item::Parent {
            outboard_offset: next,
        }) = verifier.wanted()
        {
            if !self.prove_next_node(rendition, &mut verifier, next) {
                return false;
            }
            if next == outboard_offset {
                return true;
            }
        }
        false
    }

    fn prove_next_node(
        &self,
        rendition: &Arc<Rendition>,
        verifier: &mut SpanVerifier,
        outboard_offset: u64,
    ) -> bool {
        let node = self.read_node(rendition, outboard_offset);
        if node.is_ok_and(|node| verifier.accept(&node).is_ok()) {
            rendition.lock().set_node_checked(outboard_offset);
            return true;
        }
        // Nothing under a wrong node can be proved until it is fetched again. It may have been
        // proved before and gone bad since, so that the next fetch must write it.
        rendition.lock().clear_node_checked(outboard_offset);
        self.lose_unproved(rendition, chunks_under(rendition.geometry, outboard_offset));
        false
    }
}

/// The chunks below an inner node. BLAKE3's tree: the left side of `n` chunks has the largest
/// power of two that is less than `n`; nodes are numbered in pre-order.
fn chunks_under(geometry: Geometry, outboard_offset: u64) -> Range<u32> {
    let wanted = outboard_offset / PARENT_BYTES as u64;
    let (mut start, mut count, mut node) = (0_u32, geometry.chunk_count(), 0_u64);
    while node != wanted && count > 1 {
        let left = count.div_ceil(2).next_power_of_two();
        let right_node = node + u64::from(left);
        if wanted < right_node {
            (count, node) = (left, node + 1);
        } else {
            (start, count, node) = (start + left, count - left, right_node);
        }
    }
    start..start + count
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_protocol::verified::items;
    use antiphon_protocol::{ByteCount, CHUNK_BYTES};

    #[test]
    fn every_node_covers_the_chunks_whose_proofs_pass_through_it() {
        for count in 1..=130_u64 {
            let geometry = Geometry::new(ByteCount(count * CHUNK_BYTES - 1)).expect("legal");
            for chunk in 0..count as u32 {
                let span = Span::new(ChunkIndex(chunk), 1).expect("legal");
                let passed: Vec<u64> = items(geometry, span)
                    .filter_map(|item| match item {
                        Item::Parent { outboard_offset } => Some(outboard_offset),
                        Item::Chunk { .. } => None,
                    })
                    .collect();
                for node in (0..count - 1).map(|node| node * PARENT_BYTES as u64) {
                    let covers = chunks_under(geometry, node).contains(&chunk);
                    assert_eq!(covers, passed.contains(&node), "{count} {chunk} {node}");
                }
            }
        }
    }
}
