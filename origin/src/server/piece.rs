//! Answers cut into pieces, so that a long answer never is in memory as a whole.
//!
//! A piece is read with one read of the object store and handed on without copying: ciphertext as
//! slices of what was read, inner nodes as slices of the cached outboard. The next piece is being
//! read while one is sent.

use std::ops::Range;
use std::sync::Arc;

use antiphon_protocol::chunk::CHUNK_BYTES;
use antiphon_protocol::verified::{Item, PARENT_BYTES, items};
use antiphon_protocol::{ContentId, Span};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use object_store::path::Path;

use super::objects::{Objects, Rendition};
use super::refusal::Refusal;
use crate::library::content_path;

/// Chunks of a piece: reads of 256 KiB cost the same per byte as larger ones (guess, not measured).
pub(crate) const PIECE_CHUNKS: u32 = 16;

/// Chunks of the first piece: what the initial congestion window can carry at once.
const FIRST_PIECE_CHUNKS: u32 = 4;

/// Pieces read ahead of the sender, including the one it is about to send.
const PIECES_AHEAD: usize = 2;

/// The encoded span, piece by piece.
pub(crate) fn span_pieces(
    objects: Arc<Objects>,
    rendition: Arc<Rendition>,
    span: Span,
) -> impl Stream<Item = Result<Vec<Bytes>, Refusal>> + Send {
    let plan = plan(items(rendition.geometry, span));
    stream::iter(plan)
        .map(move |piece| read_piece(Arc::clone(&objects), Arc::clone(&rendition), piece))
        .buffered(PIECES_AHEAD)
}

/// A range of an object's own bytes, piece by piece.
pub(crate) fn range_pieces(
    objects: Arc<Objects>,
    path: Path,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, Refusal>> + Send {
    const PIECE_BYTES: u64 = PIECE_CHUNKS as u64 * CHUNK_BYTES;
    let count = (range.end.saturating_sub(range.start)).div_ceil(PIECE_BYTES);
    stream::iter(0..count)
        .map(move |index| {
            let start = range.start + index * PIECE_BYTES;
            let end = (start + PIECE_BYTES).min(range.end);
            let (objects, path) = (Arc::clone(&objects), path.clone());
            async move { objects.read(&path, start..end).await }
        })
        .buffered(PIECES_AHEAD)
}

/// Cuts the items of a span after each piece's last chunk.
fn plan(items: impl Iterator<Item = Item>) -> Vec<Vec<Item>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut chunks = 0;
    for item in items {
        chunks += u32::from(matches!(item, Item::Chunk { .. }));
        piece.push(item);
        let full = if pieces.is_empty() {
            FIRST_PIECE_CHUNKS
        } else {
            PIECE_CHUNKS
        };
        if chunks == full {
            pieces.push(std::mem::take(&mut piece));
            chunks = 0;
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

async fn read_piece(
    objects: Arc<Objects>,
    rendition: Arc<Rendition>,
    piece: Vec<Item>,
) -> Result<Vec<Bytes>, Refusal> {
    let range = data_range(&piece);
    let path = content_path(rendition.content);
    let data = objects
        .read(&path, range.clone())
        .await
        .inspect_err(|refusal| {
            if *refusal == Refusal::NOT_FOUND {
                objects.forget(rendition.content);
            }
        })?;
    assemble(&piece, &rendition.outboard, &data, range.start).ok_or_else(|| {
        let content: ContentId = rendition.content;
        tracing::error!(%content, "the outboard is shorter than its object needs");
        Refusal::INTERNAL
    })
}

/// The bytes of the object that the piece's chunks are. Chunks of a piece are consecutive.
fn data_range(piece: &[Item]) -> Range<u64> {
    let mut range: Option<Range<u64>> = None;
    for item in piece {
        if let Item::Chunk { chunk, bytes } = item {
            let start = chunk.byte_offset();
            let first = range.map_or(start, |range| range.start);
            range = Some(first..start + *bytes as u64);
        }
    }
    range.unwrap_or(0..0)
}

/// The piece as slices; neighboring inner nodes are one slice, as they are in the outboard.
fn assemble(piece: &[Item], outboard: &Bytes, data: &Bytes, data_start: u64) -> Option<Vec<Bytes>> {
    let mut slices = Vec::with_capacity(piece.len());
    let mut nodes: Option<Range<usize>> = None;
    for item in piece {
        match *item {
            Item::Parent { outboard_offset } => {
                let start = usize::try_from(outboard_offset).ok()?;
                let end = start + PARENT_BYTES;
                nodes = match nodes {
                    Some(open) if open.end == start => Some(open.start..end),
                    open => {
                        push(&mut slices, outboard, open)?;
                        Some(start..end)
                    }
                };
            }
            Item::Chunk { chunk, bytes } => {
                push(&mut slices, outboard, nodes.take())?;
                let start = usize::try_from(chunk.byte_offset() - data_start).ok()?;
                push(&mut slices, data, Some(start..start + bytes))?;
            }
        }
    }
    push(&mut slices, outboard, nodes)?;
    Some(slices)
}

fn push(slices: &mut Vec<Bytes>, from: &Bytes, range: Option<Range<usize>>) -> Option<()> {
    let Some(range) = range else {
        return Some(());
    };
    if range.end > from.len() {
        return None;
    }
    slices.push(from.slice(range));
    Some(())
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::verified::{encode_span, hash_content};
    use antiphon_protocol::{ByteCount, ChunkIndex, Geometry};

    use super::*;

    #[test]
    fn pieces_together_are_the_encoded_span() {
        let data: Vec<u8> = (0..77 * CHUNK_BYTES + 5).map(|i| (i % 251) as u8).collect();
        let geometry = Geometry::new(ByteCount(data.len() as u64)).unwrap();
        let (_, outboard) = hash_content(geometry, &data[..]).unwrap();
        let (outboard, whole) = (Bytes::from(outboard), Bytes::from(data));
        for (first, count) in [(0, 1), (0, 64), (14, 64), (77, 1), (60, 18), (3, 5)] {
            let span = Span::new(ChunkIndex(first), count).unwrap();
            let mut cut = Vec::new();
            for piece in plan(items(geometry, span)) {
                let range = data_range(&piece);
                assert!(range.end - range.start <= u64::from(PIECE_CHUNKS) * CHUNK_BYTES);
                let data = whole.slice(range.start as usize..range.end as usize);
                for slice in assemble(&piece, &outboard, &data, range.start).unwrap() {
                    cut.extend_from_slice(&slice);
                }
            }
            let range = geometry.byte_range(span);
            let own = &whole[range.start as usize..range.end as usize];
            let mut expected = Vec::new();
            encode_span(geometry, span, &outboard, own, &mut expected).unwrap();
            assert!(cut == expected, "span {first}+{count}");
        }
    }

    #[test]
    fn an_outboard_that_is_too_short_is_noticed() {
        let piece = [Item::Parent { outboard_offset: 0 }];
        let short = Bytes::from_static(&[0; PARENT_BYTES - 1]);
        assert!(assemble(&piece, &short, &Bytes::new(), 0).is_none());
    }
}
