//! Chunks that were verified together and are put together.

use std::collections::BTreeSet;
use std::sync::Arc;

use antiphon_node::store::{ChunkStore, StoreNotice, StoreOptions};
use antiphon_protocol::{ByteCount, CHUNK_BYTES, ChunkIndex};
use proptest::prelude::*;

use crate::made::Made;
use crate::sim_disk::SimDisk;
use crate::store::{options, told};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn together_is_as_one_after_the_other(
        spans in proptest::collection::vec((0..20_u32, 1..9_u32, any::<bool>()), 1..12),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let made = Made::new(3, 19 * CHUNK_BYTES + 1);
        let (store, _) = ChunkStore::open(dir.path(), options()).expect("opens");
        let mut model = BTreeSet::new();
        for (first, count, together) in spans {
            let count = count.min(made.geometry.chunk_count() - first);
            let span = made.span(first, count);
            if together {
                prop_assert_eq!(made.put_span(&store, first, count), Ok(()));
            } else {
                made.put(&store, ChunkIndex(first)).expect("the store takes it");
                model.insert(ChunkIndex(first));
                continue;
            }
            model.extend(span.chunks());
        }
        prop_assert!(made.readable(&store).iter().eq(model.iter()));
        let bytes: usize = model.iter().map(|chunk| made.bytes(*chunk).len()).sum();
        let on_disk = ByteCount((bytes + made.outboard.len()) as u64);
        prop_assert_eq!(store.bytes_on_disk(), on_disk);
        drop(store);
        let (store, held) = ChunkStore::open(dir.path(), options()).expect("opens");
        prop_assert!(held[0].held.iter().eq(model.iter().copied()));
        prop_assert!(made.readable(&store).iter().eq(model.iter()));
    }
}

#[test]
fn chunks_that_come_together_go_where_there_is_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = SimDisk::default();
    let made = Made::new(1, 12 * CHUNK_BYTES);
    let on_disk = StoreOptions {
        disk: Arc::new(disk.clone()),
        ..options()
    };
    let (store, _) = ChunkStore::open(dir.path(), on_disk).expect("opens");
    made.put_span(&store, 0, 4).expect("room");
    assert!(store.flush());
    let before = disk.operations();
    made.put_span(&store, 4, 4).expect("room");
    // One write for the chunks, one or two for the nodes among them.
    assert!(disk.operations() - before <= 3);
    disk.set_capacity(Some(disk.used()));
    made.put_span(&store, 8, 4).expect("room in memory");
    assert!(store.is_full());
    assert_eq!(made.readable(&store).len(), 12);
    made.put_span(&store, 2, 8).expect("there already");
    disk.set_capacity(None);
    assert!(store.flush());
    assert_eq!(made.readable(&store).len(), 12);
    assert_eq!(told(&store), [StoreNotice::Full, StoreNotice::Writable]);
    assert_eq!(store.bytes_on_disk(), ByteCount(12 * CHUNK_BYTES + 11 * 64));
}
