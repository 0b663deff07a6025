//! A made-up rendition with its name and outboard, and ways to bring it into a store.

use antiphon_node::span_io::{ChunkSink, SinkError, VerifiedItems};
use antiphon_node::store::{ChunkStore, Put, StoreError};
use antiphon_protocol::verified::{Item, PARENT_BYTES, hash_content, items};
use antiphon_protocol::{ByteCount, ChunkIndex, ContentId, Geometry, Span};

pub struct Made {
    pub content: ContentId,
    pub geometry: Geometry,
    pub data: Vec<u8>,
    pub outboard: Vec<u8>,
}

impl Made {
    pub fn new(seed: u64, bytes: u64) -> Self {
        let geometry = Geometry::new(ByteCount(bytes)).expect("a legal size");
        let mut data = vec![0; bytes as usize];
        blake3::Hasher::new()
            .update(&seed.to_le_bytes())
            .finalize_xof()
            .fill(&mut data);
        let (content, outboard) = hash_content(geometry, data.as_slice()).expect("memory reads");
        Self {
            content,
            geometry,
            data,
            outboard,
        }
    }

    pub fn chunks(&self) -> impl Iterator<Item = ChunkIndex> + use<> {
        (0..self.geometry.chunk_count()).map(ChunkIndex)
    }

    pub fn bytes(&self, chunk: ChunkIndex) -> &[u8] {
        let start = chunk.byte_offset() as usize;
        &self.data[start..start + self.geometry.chunk_bytes(chunk)]
    }

    pub fn node(&self, outboard_offset: u64) -> &[u8; PARENT_BYTES] {
        let start = outboard_offset as usize;
        self.outboard[start..start + PARENT_BYTES]
            .try_into()
            .expect("a whole node")
    }

    pub fn item(&self, item: Item) -> &[u8] {
        match item {
            Item::Parent { outboard_offset } => self.node(outboard_offset),
            Item::Chunk { chunk, .. } => self.bytes(chunk),
        }
    }

    pub fn span(&self, first: u32, count: u32) -> Span {
        Span::new(ChunkIndex(first), count).expect("a legal span")
    }

    /// Puts one chunk the way a fetch does: the nodes above it first.
    pub fn put(&self, store: &ChunkStore, chunk: ChunkIndex) -> Result<Put, StoreError> {
        store.create(self.content, self.geometry)?;
        let mut put = Err(StoreError::Unknown);
        for item in items(self.geometry, self.span(chunk.0, 1)) {
            match item {
                Item::Parent { outboard_offset } => {
                    // A node without room only keeps its chunks from being served.
                    let _ =
                        store.put_parent(self.content, outboard_offset, self.node(outboard_offset));
                }
                Item::Chunk { chunk, .. } => {
                    put = store.put_chunk(self.content, chunk, self.bytes(chunk));
                }
            }
        }
        put
    }

    /// Puts chunks that arrived together, the way a fetch does.
    pub fn put_span(&self, store: &ChunkStore, first: u32, count: u32) -> Result<(), SinkError> {
        store
            .create(self.content, self.geometry)
            .map_err(|_| SinkError::Unknown)?;
        let mut verified = VerifiedItems::default();
        for item in items(self.geometry, self.span(first, count)) {
            match item {
                Item::Parent { outboard_offset } => {
                    let node = self.node(outboard_offset);
                    verified.nodes.push((outboard_offset, node));
                }
                Item::Chunk { chunk, .. } => verified.chunks.push((chunk, self.bytes(chunk))),
            }
        }
        ChunkSink::put_all(store, self.content, &verified)
    }

    pub fn put_all(&self, store: &ChunkStore) {
        for chunk in self.chunks() {
            self.put(store, chunk).expect("the store takes it");
        }
    }

    /// The chunks the store gives, all of which must be genuine, as must every item it serves.
    pub fn readable(&self, store: &ChunkStore) -> Vec<ChunkIndex> {
        let mut bytes = Vec::new();
        let mut readable = Vec::new();
        for chunk in self.chunks() {
            for item in items(self.geometry, self.span(chunk.0, 1)) {
                bytes.clear();
                if store.read_item(self.content, item, &mut bytes) == Ok(true) {
                    assert_eq!(bytes, self.item(item), "served {item:?}");
                }
            }
            if store.read_chunk(self.content, chunk, &mut bytes) == Ok(true) {
                assert_eq!(bytes, self.bytes(chunk), "read {chunk:?}");
                readable.push(chunk);
            }
        }
        readable
    }
}
