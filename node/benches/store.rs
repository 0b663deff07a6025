//! What a chunk costs in the store: put, read, and the first read after a restart, which hashes.

use std::hint::black_box;
use std::time::Duration;

use antiphon_node::store::{ChunkStore, Put, StoreOptions};
use antiphon_protocol::verified::{Item, PARENT_BYTES, hash_content, items};
use antiphon_protocol::{ByteCount, CHUNK_BYTES, ChunkIndex, ContentId, Geometry, Span};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// About 14 minutes at 160 kbit/s.
const CHUNKS: u32 = 1024;

struct Rendition {
    content: ContentId,
    geometry: Geometry,
    data: Vec<u8>,
    outboard: Vec<u8>,
}

impl Rendition {
    fn new() -> Self {
        let geometry = Geometry::new(ByteCount(u64::from(CHUNKS) * CHUNK_BYTES)).expect("legal");
        let mut data = vec![0; geometry.size().0 as usize];
        blake3::Hasher::new().finalize_xof().fill(&mut data);
        let (content, outboard) = hash_content(geometry, data.as_slice()).expect("memory reads");
        Self {
            content,
            geometry,
            data,
            outboard,
        }
    }

    fn put_all(&self, store: &ChunkStore) {
        store.create(self.content, self.geometry).expect("room");
        for first in (0..CHUNKS).step_by(64) {
            let span = Span::new(ChunkIndex(first), 64).expect("legal");
            for item in items(self.geometry, span) {
                self.put(store, item);
            }
        }
    }

    fn put(&self, store: &ChunkStore, item: Item) {
        match item {
            Item::Parent {
                outboard_offset: at,
            } => {
                let node = &self.outboard[at as usize..][..PARENT_BYTES];
                let node = node.try_into().expect("a whole node");
                store.put_parent(self.content, at, node).expect("room");
            }
            Item::Chunk { chunk, bytes } => {
                let data = &self.data[chunk.byte_offset() as usize..][..bytes];
                let put = store.put_chunk(self.content, chunk, data);
                assert_eq!(put, Ok(Put::Stored));
            }
        }
    }

    fn read_all(&self, store: &ChunkStore) {
        let mut into = Vec::with_capacity(CHUNK_BYTES as usize);
        for chunk in (0..CHUNKS).map(ChunkIndex) {
            assert_eq!(store.read_chunk(self.content, chunk, &mut into), Ok(true));
            black_box(&into);
        }
    }
}

fn store(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder");
    let open = || {
        ChunkStore::open(dir.path(), StoreOptions::default())
            .expect("opens")
            .0
    };
    let rendition = Rendition::new();
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Bytes(rendition.geometry.size().0));
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(4));

    let store = open();
    group.bench_function("put", |b| {
        let empty = || store.evict(rendition.content);
        b.iter_batched(
            empty,
            |_| rendition.put_all(&store),
            BatchSize::PerIteration,
        );
    });
    store.evict(rendition.content);
    rendition.put_all(&store);
    group.bench_function("read", |b| b.iter(|| rendition.read_all(&store)));
    store.close();
    drop(store);
    group.bench_function("first read after a start", |b| {
        b.iter_batched(
            open,
            |store| rendition.read_all(&store),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, store);
criterion_main!(benches);
