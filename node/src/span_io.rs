//! Where verified spans go and where served spans come from, as seen by the transports.
//!
//! Both are implemented by the chunk store and by small in-memory stands in tests. Calls block for
//! as long as a write to or a read from the page cache takes; the transports call them from where
//! that is allowed. Not here: whether to fetch or serve anything.

use antiphon_protocol::verified::{Item, PARENT_BYTES};
use antiphon_protocol::{ChunkIndex, ContentId, Geometry};

/// Takes what a span verifier has accepted, item by item. Nothing unverified ever gets here.
pub trait ChunkSink: Send + Sync {
    /// Keeps one verified inner node of the rendition's outboard.
    fn put_parent(&self, content: ContentId, outboard_offset: u64, node: &[u8; PARENT_BYTES]);

    /// Keeps one verified chunk; true if it was not there before.
    ///
    /// # Errors
    /// If it could not be kept; the fetch it belongs to then fails.
    fn put_chunk(
        &self,
        content: ContentId,
        chunk: ChunkIndex,
        data: &[u8],
    ) -> Result<bool, SinkError>;

    /// Keeps what was verified together: as one item after the other, at less cost.
    ///
    /// # Errors
    /// If a chunk could not be kept; those before it may have been.
    fn put_all(&self, content: ContentId, items: &VerifiedItems<'_>) -> Result<(), SinkError> {
        for (outboard_offset, node) in &items.nodes {
            self.put_parent(content, *outboard_offset, node);
        }
        for (chunk, data) in &items.chunks {
            self.put_chunk(content, *chunk, data)?;
        }
        Ok(())
    }
}

/// Items of one span that a verifier has accepted, in the order of the span.
#[derive(Debug, Default)]
pub struct VerifiedItems<'a> {
    /// Inner nodes with their offsets in the outboard. None is missing above the chunks, unless
    /// it came before.
    pub nodes: Vec<(u64, &'a [u8; PARENT_BYTES])>,
    /// Consecutive chunks.
    pub chunks: Vec<(ChunkIndex, &'a [u8])>,
}

/// Gives the items of encoded spans that peers asked for.
pub trait SpanSource: Send + Sync {
    /// Appends exactly [`Item::bytes`] bytes of the item to `into`.
    ///
    /// # Errors
    /// If the bytes are not there (any more) or cannot be read; what was appended is then ignored.
    fn item(
        &self,
        content: ContentId,
        geometry: Geometry,
        item: Item,
        into: &mut Vec<u8>,
    ) -> Result<(), SourceError>;

    /// Appends items that follow each other in an encoded span: as one after the other, at less
    /// cost.
    ///
    /// # Errors
    /// As for one; what was appended is then ignored.
    fn items(
        &self,
        content: ContentId,
        geometry: Geometry,
        items: &[Item],
        into: &mut Vec<u8>,
    ) -> Result<(), SourceError> {
        items
            .iter()
            .try_for_each(|item| self.item(content, geometry, *item, into))
    }
}

/// Why a verified chunk was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// Nobody introduced this rendition to the store, or it was dropped meanwhile.
    #[error("the store does not know this rendition")]
    Unknown,
    /// The disk is full or failed.
    #[error("the store cannot write")]
    Write,
}

/// Why bytes that a peer asked for cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Not in the store, or evicted meanwhile.
    #[error("the store does not hold this")]
    NotHeld,
    /// The disk failed, or the bytes on it turned out wrong.
    #[error("the store cannot read")]
    Read,
}
