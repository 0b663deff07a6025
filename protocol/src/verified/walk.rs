//! The pre-order walk over the tree nodes that an encoded span consists of.
//!
//! BLAKE3's tree is fixed by the number of chunks alone: the left side of every node is the
//! largest power of two of chunks that leaves something for the right. So a node is a range of
//! chunks, and its place in the pre-order outboard follows by counting. No allocation, no hashing.

use super::{Item, PARENT_BYTES};
use crate::chunk::{CHUNK_BYTES, ChunkIndex, Geometry, Span};
use crate::limits::RENDITION_BYTES_MAX;

/// Levels of inner nodes above the chunks of the largest rendition.
pub(super) const LEVELS_MAX: usize = (RENDITION_BYTES_MAX.0 / CHUNK_BYTES)
    .next_power_of_two()
    .ilog2() as usize;

/// A node of the tree: consecutive chunks under one hash.
#[derive(Clone, Copy, Debug, Default)]
struct Subtree {
    first: u32,
    chunks: u32,
    /// Inner nodes before this one in the outboard.
    index: u32,
}

/// One node of the walk: what is sent, and what its hash is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) item: Item,
    pub(super) is_root: bool,
    /// Whether the walk goes on below the left and the right child; false for chunks.
    pub(super) left: bool,
    pub(super) right: bool,
}

/// The nodes of an encoded span in pre-order; none if the span is not inside the rendition.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    geometry: Geometry,
    first: u32,
    end: u32,
    /// Subtrees still to visit, the next one last. A step takes one and leaves at most two, one
    /// level lower, so there is never more than one a level and the next.
    open: [Subtree; LEVELS_MAX + 2],
    depth: usize,
}

impl Walk {
    pub(super) fn new(geometry: Geometry, span: Span) -> Self {
        let mut walk = Self {
            geometry,
            first: span.first().0,
            end: span.end().0,
            open: [Subtree::default(); LEVELS_MAX + 2],
            depth: 0,
        };
        if geometry.contains(span) {
            walk.push(Subtree {
                first: 0,
                chunks: geometry.chunk_count(),
                index: 0,
            });
        }
        walk
    }

    fn touches(&self, subtree: Subtree) -> bool {
        subtree.first < self.end && subtree.first + subtree.chunks > self.first
    }

    fn push(&mut self, subtree: Subtree) {
        let slot = self.open.get_mut(self.depth);
        *slot.expect("a rendition's tree has no more levels than LEVELS_MAX") = subtree;
        self.depth += 1;
    }

    fn pop(&mut self) -> Option<Subtree> {
        self.depth = self.depth.checked_sub(1)?;
        self.open.get(self.depth).copied()
    }
}

impl Iterator for Walk {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        let subtree = self.pop()?;
        let is_root = subtree.chunks == self.geometry.chunk_count();
        if subtree.chunks == 1 {
            let chunk = ChunkIndex(subtree.first);
            return Some(Node {
                item: Item::Chunk {
                    chunk,
                    bytes: self.geometry.chunk_bytes(chunk),
                },
                is_root,
                left: false,
                right: false,
            });
        }
        let left_chunks = subtree.chunks.div_ceil(2).next_power_of_two();
        let left = Subtree {
            first: subtree.first,
            chunks: left_chunks,
            index: subtree.index + 1,
        };
        let right = Subtree {
            first: subtree.first + left_chunks,
            chunks: subtree.chunks - left_chunks,
            index: subtree.index + left_chunks,
        };
        let (goes_left, goes_right) = (self.touches(left), self.touches(right));
        if goes_right {
            self.push(right);
        }
        if goes_left {
            self.push(left);
        }
        Some(Node {
            item: Item::Parent {
                outboard_offset: u64::from(subtree.index) * PARENT_BYTES as u64,
            },
            is_root,
            left: goes_left,
            right: goes_right,
        })
    }
}
