//! Verified chunks that the disk would not take, in bounded memory.
//!
//! What a reader needs next stays; what it has passed goes first, then what nobody reads, then
//! what is furthest ahead. Lock order: this window, then a rendition; never the other way round.

use std::collections::HashMap;
use std::sync::Arc;

use antiphon_protocol::verified::PARENT_BYTES;
use antiphon_protocol::{ByteCount, ChunkIndex, ContentId};

use super::rendition::{Need, Rendition};

/// Inner nodes kept for chunks in memory. A full default window is 512 chunks with at most 16
/// nodes above each; what does not fit only cannot be served to peers.
const NODES_MAX: usize = 8 * 1024;

/// The window.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u64,
    used: u64,
    chunks: HashMap<(ContentId, ChunkIndex), Kept>,
    nodes: HashMap<(ContentId, u64), [u8; PARENT_BYTES]>,
    inserted: u64,
}

/// One chunk in memory.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) rendition: Arc<Rendition>,
    pub(crate) chunk: ChunkIndex,
    pub(crate) bytes: Arc<[u8]>,
    age: u64,
}

impl Window {
    pub(crate) fn new(limit: ByteCount) -> Self {
        Self {
            limit: limit.0,
            used: 0,
            chunks: HashMap::new(),
            nodes: HashMap::new(),
            inserted: 0,
        }
    }

    /// Keeps a chunk, unless it is itself the least needed. Says whether it did, and which
    /// others had to go.
    pub(crate) fn insert(
        &mut self,
        rendition: &Arc<Rendition>,
        chunk: ChunkIndex,
        bytes: &[u8],
    ) -> (bool, Vec<Kept>) {
        self.inserted += 1;
        let age = self.inserted;
        let need = rendition.need(chunk, age);
        let mut dropped = Vec::new();
        while self.used + bytes.len() as u64 > self.limit {
            let least = self.least_needed().filter(|(least, _)| *least < need);
            let Some((_, key)) = least else {
                return (false, dropped);
            };
            dropped.extend(self.take(key));
        }
        let kept = Kept {
            rendition: Arc::clone(rendition),
            chunk,
            bytes: bytes.into(),
            age,
        };
        self.used += bytes.len() as u64;
        self.chunks.insert((rendition.content, chunk), kept);
        rendition.lock().insert_in_memory(chunk);
        (true, dropped)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.nodes.is_empty()
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn get(&self, content: ContentId, chunk: ChunkIndex) -> Option<Arc<[u8]>> {
        self.chunks
            .get(&(content, chunk))
            .map(|kept| Arc::clone(&kept.bytes))
    }

    /// Some chunk, to try to write it.
    pub(crate) fn first(&self) -> Option<Kept> {
        self.chunks.values().min_by_key(|kept| kept.age).cloned()
    }

    /// Takes a chunk out that the disk has now. The caller says so in its rendition while it
    /// still holds this window, so that nobody finds the chunk in neither place.
    pub(crate) fn stored(&mut self, kept: &Kept) {
        self.remove((kept.rendition.content, kept.chunk));
    }

    pub(crate) fn insert_node(
        &mut self,
        content: ContentId,
        offset: u64,
        node: &[u8; PARENT_BYTES],
    ) -> bool {
        let room = self.nodes.len() < NODES_MAX;
        if room {
            self.nodes.insert((content, offset), *node);
        }
        room
    }

    pub(crate) fn node(&self, content: ContentId, offset: u64) -> Option<[u8; PARENT_BYTES]> {
        self.nodes.get(&(content, offset)).copied()
    }

    pub(crate) fn first_node(&self) -> Option<(ContentId, u64, [u8; PARENT_BYTES])> {
        self.nodes
            .iter()
            .next()
            .map(|((content, offset), node)| (*content, *offset, *node))
    }

    pub(crate) fn remove_node(&mut self, content: ContentId, offset: u64) {
        self.nodes.remove(&(content, offset));
    }

    pub(crate) fn forget(&mut self, content: ContentId) {
        self.nodes.retain(|(other, _), _| *other != content);
        let gone: Vec<_> = self
            .chunks
            .keys()
            .filter(|key| key.0 == content)
            .copied()
            .collect();
        for key in gone {
            self.take(key);
        }
    }

    /// The chunk that would be missed least. Looks at all of them: at most some hundreds, and
    /// only while the disk takes nothing and the window is full.
    fn least_needed(&self) -> Option<(Need, (ContentId, ChunkIndex))> {
        let need = |kept: &Kept| kept.rendition.need(kept.chunk, kept.age);
        self.chunks
            .iter()
            .map(|(key, kept)| (need(kept), *key))
            .min_by_key(|(need, _)| *need)
    }

    fn take(&mut self, key: (ContentId, ChunkIndex)) -> Option<Kept> {
        let kept = self.remove(key)?;
        kept.rendition.lock().remove_in_memory(key.1);
        Some(kept)
    }

    fn remove(&mut self, key: (ContentId, ChunkIndex)) -> Option<Kept> {
        let kept = self.chunks.remove(&key)?;
        self.used -= kept.bytes.len() as u64;
        Some(kept)
    }
}
