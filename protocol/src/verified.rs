//! Verified spans: bytes of a rendition together with the hashes that prove them.
//!
//! A rendition's ciphertext is hashed as a BLAKE3 tree with chunk groups of 16 KiB (`bao-tree`).
//! The *outboard* holds the tree's inner nodes in pre-order, 64 bytes each. An encoded span is, in
//! pre-order, the inner nodes on the way to its chunks and the chunks themselves, so that every
//! item is checked the moment it is complete and a lie costs at most one chunk.
//!
//! Sans-IO: the receiver asks [`SpanVerifier::wanted`] how many bytes come next, reads exactly
//! those from wherever, and hands them to [`SpanVerifier::accept`].

use std::io::{self, Read};

use bao_tree::blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use bao_tree::{BaoTree, BlockSize};
use blake3::Hash;

use crate::chunk::{CHUNK_BYTES, ChunkIndex, Geometry, Span};
use crate::id::ContentId;
use crate::limits::SPAN_CHUNKS_MAX;
use crate::units::ByteCount;

use walk::{LEVELS_MAX, Node, Walk};

mod walk;

/// 2^4 BLAKE3 chunks of 1,024 bytes are one of our chunks.
const BLOCK: BlockSize = BlockSize::from_chunk_log(4);

/// Bytes of one inner node: the hashes of its two children.
pub const PARENT_BYTES: usize = 64;

/// Bytes of one part on a data stream at most: a chunk and every inner node above it.
pub const PART_BYTES_MAX: usize = CHUNK_BYTES as usize + LEVELS_MAX * PARENT_BYTES;

/// Bytes of an encoded span at most. Inner nodes lie between the span's chunks, one fewer than
/// those, or above its two ends.
pub const ENCODED_SPAN_BYTES_MAX: u64 = SPAN_CHUNKS_MAX as u64
    * (CHUNK_BYTES + PARENT_BYTES as u64)
    + 2 * (LEVELS_MAX * PARENT_BYTES) as u64;

/// Bytes of a rendition's outboard: one inner node fewer than chunks.
#[must_use]
pub fn outboard_bytes(geometry: Geometry) -> u64 {
    u64::from(geometry.chunk_count() - 1) * PARENT_BYTES as u64
}

/// Hashes a whole rendition's ciphertext: its name and its outboard.
///
/// # Errors
/// If reading fails or ends before the size in `geometry`.
pub fn hash_content(geometry: Geometry, data: impl Read) -> io::Result<(ContentId, Vec<u8>)> {
    let tree = BaoTree::new(geometry.size().0, BLOCK);
    let mut outboard = bao_tree::io::outboard::PreOrderMemOutboard {
        root: Hash::from([0; 32]),
        tree,
        data: vec![0; outboard_bytes(geometry) as usize],
    };
    let root = bao_tree::io::sync::outboard(data, tree, &mut outboard)?;
    Ok((ContentId(*root.as_bytes()), outboard.data))
}

/// One item of an encoded span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// An inner node: [`PARENT_BYTES`] bytes.
    Parent {
        /// Its offset in the outboard.
        outboard_offset: u64,
    },
    /// A chunk's bytes.
    Chunk {
        /// Which chunk.
        chunk: ChunkIndex,
        /// How many bytes; only the rendition's last chunk may be short.
        bytes: usize,
    },
}

impl Item {
    /// Bytes of the item in the encoding.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Parent { .. } => PARENT_BYTES,
            Self::Chunk { bytes, .. } => bytes,
        }
    }
}

/// The items of an encoded span in order; empty if the span is not inside the rendition.
pub fn items(geometry: Geometry, span: Span) -> impl Iterator<Item = Item> {
    Walk::new(geometry, span).map(|node| node.item)
}

/// Bytes of an encoded span: what the holder sends and the asker expects.
#[must_use]
pub fn encoded_bytes(geometry: Geometry, span: Span) -> ByteCount {
    ByteCount(items(geometry, span).map(|item| item.bytes() as u64).sum())
}

/// Appends an encoded span to `out`, from the rendition's outboard and the span's own bytes.
///
/// # Errors
/// If the span is outside, or `outboard` or `data` are of the wrong length.
pub fn encode_span(
    geometry: Geometry,
    span: Span,
    outboard: &[u8],
    data: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let range = geometry.byte_range(span);
    if !geometry.contains(span)
        || outboard.len() as u64 != outboard_bytes(geometry)
        || data.len() as u64 != range.end - range.start
    {
        return Err(EncodeError);
    }
    for item in items(geometry, span) {
        let (source, start) = match item {
            Item::Parent { outboard_offset } => (outboard, outboard_offset),
            Item::Chunk { chunk, .. } => (data, chunk.byte_offset() - range.start),
        };
        let start = start as usize;
        out.extend_from_slice(source.get(start..start + item.bytes()).ok_or(EncodeError)?);
    }
    Ok(())
}

/// Checks one chunk against the rendition's name through the inner nodes in `outboard`, which are
/// themselves not trusted: how a chunk is checked when it is first read after a restart.
#[must_use]
pub fn chunk_is_genuine(
    content: ContentId,
    geometry: Geometry,
    outboard: &[u8],
    chunk: ChunkIndex,
    data: &[u8],
) -> bool {
    let Some(span) = Span::new(chunk, 1).filter(|span| geometry.contains(*span)) else {
        return false;
    };
    let mut verifier = SpanVerifier::new(content, geometry, span);
    while let Some(item) = verifier.wanted() {
        let bytes = match item {
            Item::Parent { outboard_offset } => {
                let start = outboard_offset as usize;
                outboard.get(start..start + PARENT_BYTES)
            }
            Item::Chunk { bytes, .. } => Some(data).filter(|data| data.len() == bytes),
        };
        if bytes.is_none_or(|bytes| verifier.accept(bytes).is_err()) {
            return false;
        }
    }
    true
}

/// Checks an encoded span item by item as it arrives.
#[derive(Clone, Debug)]
pub struct SpanVerifier {
    nodes: Walk,
    next: Option<Node>,
    /// Hashes still owed by data to come, the next one last. At most one a tree level.
    expected: Vec<Hash>,
}

impl SpanVerifier {
    /// A verifier of `span` of the rendition named `content`. Wants nothing if the span is outside.
    #[must_use]
    pub fn new(content: ContentId, geometry: Geometry, span: Span) -> Self {
        let mut nodes = Walk::new(geometry, span);
        let next = nodes.next();
        Self {
            nodes,
            next,
            expected: vec![Hash::from(content.0)],
        }
    }

    /// The item that must come next, or nothing when the span is complete.
    #[must_use]
    pub fn wanted(&self) -> Option<Item> {
        self.next.map(|node| node.item)
    }

    /// Bytes of the part that must come next: the items up to and with the next chunk. Nothing
    /// when the span is complete.
    #[must_use]
    pub fn wanted_part(&self) -> Option<usize> {
        let next = self.next?;
        let is_chunk = |item: &Item| matches!(item, Item::Chunk { .. });
        let mut bytes = next.item.bytes();
        if !is_chunk(&next.item) {
            for node in self.nodes.clone() {
                bytes += node.item.bytes();
                if is_chunk(&node.item) {
                    break;
                }
            }
        }
        Some(bytes)
    }

    /// Checks the bytes of the wanted item. On success they are genuine and may be kept.
    ///
    /// # Errors
    /// If they are of the wrong length or do not have the hash that the content's name demands.
    /// The verifier then stays where it was: the rest of this encoding is worthless.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<Item, VerifyError> {
        let node = self.next.ok_or(VerifyError::Complete)?;
        let expected = self.expected.last().ok_or(VerifyError::Complete)?;
        if bytes.len() != node.item.bytes() {
            return Err(VerifyError::Length {
                expected: node.item.bytes(),
                got: bytes.len(),
            });
        }
        match node.item {
            Item::Parent { .. } => {
                let (first, second) = bytes.split_at(PARENT_BYTES / 2);
                let (first, second) = (hash_of(first), hash_of(second));
                if parent_hash(&first, &second, node.is_root) != *expected {
                    return Err(VerifyError::Corrupt(node.item));
                }
                self.expected.pop();
                self.expected.extend(node.right.then_some(second));
                self.expected.extend(node.left.then_some(first));
            }
            Item::Chunk { chunk, .. } => {
                if chunk_hash(chunk, bytes, node.is_root) != *expected {
                    return Err(VerifyError::Corrupt(node.item));
                }
                self.expected.pop();
            }
        }
        self.next = self.nodes.next();
        Ok(node.item)
    }

    /// Checks one whole part: the inner nodes on the way to a chunk, and that chunk.
    ///
    /// # Errors
    /// As [`SpanVerifier::accept`]; after an error the verifier must not be used for another part.
    pub fn accept_part<'a>(&mut self, part: &'a [u8]) -> Result<VerifiedChunk<'a>, VerifyError> {
        let wanted = self.wanted_part().ok_or(VerifyError::Complete)?;
        if part.len() != wanted {
            return Err(VerifyError::Length {
                expected: wanted,
                got: part.len(),
            });
        }
        let mut rest = part;
        loop {
            let item = self.wanted().ok_or(VerifyError::Complete)?;
            let (bytes, after) =
                rest.split_at_checked(item.bytes())
                    .ok_or(VerifyError::Length {
                        expected: item.bytes(),
                        got: rest.len(),
                    })?;
            if let Item::Chunk { chunk, .. } = self.accept(bytes)? {
                return Ok(VerifiedChunk { chunk, bytes });
            }
            rest = after;
        }
    }
}

/// A chunk whose bytes were just checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedChunk<'a> {
    /// Which chunk.
    pub chunk: ChunkIndex,
    /// All its bytes.
    pub bytes: &'a [u8],
}

fn hash_of(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(bytes);
    Hash::from(hash)
}

fn parent_hash(left: &Hash, right: &Hash, is_root: bool) -> Hash {
    let (left, right): (ChainingValue, ChainingValue) = (*left.as_bytes(), *right.as_bytes());
    if is_root {
        merge_subtrees_root(&left, &right, Mode::Hash)
    } else {
        Hash::from(merge_subtrees_non_root(&left, &right, Mode::Hash))
    }
}

fn chunk_hash(chunk: ChunkIndex, data: &[u8], is_root: bool) -> Hash {
    if is_root {
        return blake3::hash(data);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(chunk.byte_offset());
    hasher.update(data);
    Hash::from(hasher.finalize_non_root())
}

/// A span that could not be encoded: it is outside, or the bytes given are not its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the span, its outboard and its bytes do not belong together")]
pub struct EncodeError;

/// Why bytes of an encoded span were not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes given are not as many as the next item has.
    #[error("expected {expected} bytes, got {got}")]
    Length {
        /// Bytes of the next item.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The bytes do not have the hash the content's name demands.
    #[error("bytes failed verification at {0:?}")]
    Corrupt(Item),
    /// Nothing more belongs to the span.
    #[error("the span is already complete")]
    Complete,
}
