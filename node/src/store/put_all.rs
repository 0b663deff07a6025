//! Keeping chunks that were verified together: one write for the chunks, one for the inner nodes
//! that lie together, one change of the table. Half the calls and locks of a chunk at a time.
//!
//! Data first, then the table, as for a single chunk. Where anything is out of the ordinary, the
//! items are put one after the other.

use std::io::{self, IoSlice};
use std::sync::Arc;

use antiphon_protocol::verified::{PARENT_BYTES, outboard_bytes};
use antiphon_protocol::{ChunkIndex, ContentId};

use super::StoreError;
use super::files::Files;
use super::inner::Inner;
use super::rendition::{Place, Rendition};
use crate::span_io::VerifiedItems;

type Node<'a> = (u64, &'a [u8; PARENT_BYTES]);

impl Inner {
    pub(crate) fn put_all(
        &self,
        content: ContentId,
        items: &VerifiedItems<'_>,
    ) -> Result<(), StoreError> {
        let rendition = self.rendition(content).ok_or(StoreError::Unknown)?;
        if !self.is_full()
            && let Some((first, nodes)) = plain(&rendition, items)
            && self.write_all(&rendition, first, &nodes, items).is_ok()
        {
            return Ok(());
        }
        for (offset, node) in &items.nodes {
            // As for a single one: the chunk says whether the store works.
            let _ = self.put_parent(content, *offset, node);
        }
        for (chunk, bytes) in &items.chunks {
            self.put_chunk(content, *chunk, bytes)?;
        }
        Ok(())
    }

    fn write_all(
        &self,
        rendition: &Arc<Rendition>,
        first: ChunkIndex,
        nodes: &[Node<'_>],
        items: &VerifiedItems<'_>,
    ) -> io::Result<()> {
        let files = self.handles.files(rendition, true)?;
        write_nodes(&files, nodes)?;
        let mut pieces: Vec<IoSlice<'_>> = items
            .chunks
            .iter()
            .map(|(_, bytes)| IoSlice::new(bytes))
            .collect();
        files
            .audio
            .write_all_pieces_at(&mut pieces, first.byte_offset())?;
        self.change(rendition, |holding| {
            for (offset, _) in nodes {
                holding.set_node_checked(*offset);
            }
            for (chunk, _) in &items.chunks {
                holding.insert_stored(*chunk);
            }
        });
        rendition.wake();
        self.chunks_put(items.chunks.len());
        Ok(())
    }
}

/// The first chunk and the inner nodes that are new, if all chunks are missing ones that follow
/// each other and everything lies inside the rendition.
fn plain<'a>(
    rendition: &Rendition,
    items: &VerifiedItems<'a>,
) -> Option<(ChunkIndex, Vec<Node<'a>>)> {
    let geometry = rendition.geometry;
    let (first, _) = *items.chunks.first()?;
    let end = outboard_bytes(geometry);
    let inside = |offset: u64| offset < end && offset.is_multiple_of(PARENT_BYTES as u64);
    let holding = rendition.lock();
    let plain = (first.0..)
        .zip(&items.chunks)
        .all(|(expected, (chunk, bytes))| {
            chunk.0 == expected
                && !bytes.is_empty()
                && bytes.len() == geometry.chunk_bytes(*chunk)
                && holding.place(*chunk) == Place::Missing
        });
    if !plain || !items.nodes.iter().all(|(offset, _)| inside(*offset)) {
        return None;
    }
    let new = |(offset, _): &&Node<'a>| !holding.is_node_checked(*offset);
    Some((first, items.nodes.iter().filter(new).copied().collect()))
}

/// Nodes of consecutive chunks follow each other in the outboard but for a few.
fn write_nodes(files: &Files, nodes: &[Node<'_>]) -> io::Result<()> {
    let follows = |(one, _): &Node<'_>, (next, _): &Node<'_>| one + PARENT_BYTES as u64 == *next;
    for together in nodes.chunk_by(follows) {
        let Some((first, _)) = together.first() else {
            continue;
        };
        let mut pieces: Vec<IoSlice<'_>> = together
            .iter()
            .map(|(_, node)| IoSlice::new(*node))
            .collect();
        files.outboard.write_all_pieces_at(&mut pieces, *first)?;
    }
    Ok(())
}
