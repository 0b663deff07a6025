//! The store after its process was killed or the power went, at every operation and many ways.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use antiphon_node::store::{ChunkStore, StoreOptions};
use antiphon_protocol::{CHUNK_BYTES, ChunkIndex};

use crate::made::Made;
use crate::sim_disk::{Dice, Fault, SimDisk};
use crate::store::options;

fn on(disk: &SimDisk) -> StoreOptions {
    StoreOptions {
        disk: Arc::new(disk.clone()),
        ..options()
    }
}

/// The real files of a store that is still open: its index, as a kill would leave it.
fn copy_index(from: &Path, to: &Path) {
    let (from, to) = (from.join("index"), to.join("index"));
    fs::create_dir_all(to.join("blobs")).expect("works for the test");
    for entry in fs::read_dir(&from).expect("works for the test") {
        let path = entry.expect("works for the test").path();
        if path.is_file() {
            fs::copy(
                &path,
                to.join(path.file_name().expect("works for the test")),
            )
            .expect("works for the test");
        }
    }
}

/// What a listener's evening does to a store. Returns the last acknowledged queue.
fn evening(store: &ChunkStore, made: &[Made]) -> Option<Vec<u8>> {
    let mut acknowledged = None;
    let mut play = |made: &Made, number: u8| {
        for chunk in made.chunks() {
            // Some chunks arrive alone, others together.
            let three = chunk.0 >= 3 && chunk.0 + 3 <= made.geometry.chunk_count();
            if three && chunk.0 % 3 == 0 {
                let _ = made.put_span(store, chunk.0, 3);
            } else {
                let _ = made.put(store, chunk);
            }
            if chunk.0 % 4 == 1 {
                let queue = vec![number, chunk.0 as u8];
                if store.state_put("queue", &queue).is_ok() {
                    acknowledged = Some(queue);
                }
            }
        }
        made.readable(store);
        store.flush();
    };
    play(&made[0], 0);
    play(&made[1], 1);
    store.evict(made[0].content);
    play(&made[2], 2);
    play(&made[0], 3);
    acknowledged
}

/// The queue is the acknowledged one, or a later one whose put failed only after it had taken the
/// name over.
fn assert_survived(found: Option<&[u8]>, acknowledged: Option<&[u8]>) {
    assert!(
        found >= acknowledged,
        "{acknowledged:?} was acknowledged, {found:?} is left"
    );
}

fn renditions() -> [Made; 3] {
    [
        Made::new(1, 6 * CHUNK_BYTES + 5),
        Made::new(2, 3 * CHUNK_BYTES),
        Made::new(3, 9 * CHUNK_BYTES),
    ]
}

/// Every fault at the first, second, third ... operation until the evening ends before it fires.
fn exhaust(fault: Fault, count: u64, stride: usize) {
    let made = renditions();
    for at in (1..).step_by(stride) {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = SimDisk::default();
        let Ok((store, _)) = ChunkStore::open(dir.path(), on(&disk)) else {
            panic!("a healthy disk opens");
        };
        let before = disk.operations();
        disk.fail(at, count, fault);
        let acknowledged = evening(&store, &made);
        let after = disk.operations();

        // Killed here: the disk's state and the index as they are.
        let other = tempfile::tempdir().expect("a folder");
        copy_index(dir.path(), other.path());
        let left = disk.copied(dir.path(), other.path());
        let (again, held) = ChunkStore::open(other.path(), on(&left)).expect("works for the test");
        for held in &held {
            assert!(made.iter().any(|made| made.content == held.content));
        }
        let readable: usize = made.iter().map(|made| made.readable(&again).len()).sum();
        assert!(readable <= made.iter().map(|made| made.chunks().count()).sum());
        let found = again.state_get("queue").expect("readable");
        assert_survived(found.as_deref(), acknowledged.as_deref());

        // The one that lived on heals once the disk does.
        disk.heal();
        assert!(store.flush(), "operation {at}, {fault:?}");
        assert!(!store.is_full());
        for made in &made {
            made.put_all(&store);
            assert_eq!(made.readable(&store).len(), made.chunks().count());
        }
        store
            .state_put("queue", b"healed")
            .expect("works for the test");
        drop(store);
        let (store, _) = ChunkStore::open(dir.path(), on(&disk)).expect("works for the test");
        for made in &made {
            assert_eq!(
                made.readable(&store).len(),
                made.chunks().count(),
                "{at} {fault:?}"
            );
        }
        assert_eq!(
            store
                .state_get("queue")
                .expect("readable")
                .expect("works for the test"),
            b"healed"
        );
        if after < before + at {
            return;
        }
    }
}

#[test]
fn any_operation_may_fail_once() {
    exhaust(Fault::Error(ErrorKind::Other), 1, 3);
}

#[test]
fn the_disk_may_fill_up_at_any_operation() {
    exhaust(Fault::Torn(ErrorKind::StorageFull), u64::MAX, 3);
}

#[test]
fn the_disk_may_become_read_only_at_any_operation() {
    exhaust(Fault::Error(ErrorKind::ReadOnlyFilesystem), u64::MAX, 5);
}

#[test]
fn short_reads_and_writes_change_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let disk = SimDisk::default();
    let made = renditions();
    disk.fail(1, u64::MAX, Fault::Short);
    let (store, _) = ChunkStore::open(dir.path(), on(&disk)).expect("works for the test");
    evening(&store, &made);
    drop(store);
    let (store, _) = ChunkStore::open(dir.path(), on(&disk)).expect("works for the test");
    for made in &made {
        assert_eq!(made.readable(&store).len(), made.chunks().count());
    }
}

#[test]
fn a_kill_forgets_only_what_the_index_had_not_heard_of() {
    let dir = tempfile::tempdir().expect("a folder");
    // The index hears of what is flushed, and of more only if the store's first round comes late.
    let seldom = StoreOptions {
        index_every: Duration::from_secs(3_600),
        ..options()
    };
    let (store, _) = ChunkStore::open(dir.path(), seldom).expect("works for the test");
    let made = Made::new(1, 30 * CHUNK_BYTES);
    for chunk in 0..10 {
        made.put(&store, ChunkIndex(chunk))
            .expect("works for the test");
    }
    store.flush();
    for chunk in 10..30 {
        made.put(&store, ChunkIndex(chunk))
            .expect("works for the test");
    }
    let killed = tempfile::tempdir().expect("a folder");
    copy_index(dir.path(), killed.path());
    let name = made.content.to_string();
    let audio = Path::new("audio").join(&name[..2]);
    fs::create_dir_all(killed.path().join(&audio)).expect("works for the test");
    for extension in ["enc", "obao"] {
        let file = audio.join(format!("{name}.{extension}"));
        fs::copy(dir.path().join(&file), killed.path().join(&file)).expect("works for the test");
    }
    let (store, held) = ChunkStore::open(killed.path(), options()).expect("works for the test");
    let heard = held[0].held.len() as usize;
    assert!(heard >= 10, "what was flushed is remembered: {heard}");
    assert_eq!(made.readable(&store).len(), heard);
}

/// The worst order: the index survives whole, and of the data whatever luck leaves.
#[test]
fn after_a_power_cut_nothing_wrong_is_read_and_no_acknowledged_state_is_lost() {
    let made = renditions();
    let mut dice = Dice(20_261_120);
    let mut lost = 0;
    for _ in 0..60 {
        let dir = tempfile::tempdir().expect("a folder");
        let disk = SimDisk::default();
        let (store, _) = ChunkStore::open(dir.path(), on(&disk)).expect("works for the test");
        store.flush();
        disk.fail(1 + dice.below(400), u64::MAX, Fault::Torn(ErrorKind::Other));
        let acknowledged = evening(&store, &made);
        store.flush();
        // The same evening may have ended in many ways.
        for _ in 0..10 {
            let other = tempfile::tempdir().expect("a folder");
            copy_index(dir.path(), other.path());
            let left = disk.cut(dir.path(), other.path(), &mut dice);
            let (again, held) =
                ChunkStore::open(other.path(), on(&left)).expect("works for the test");
            let claimed: usize = held.iter().map(|held| held.held.len() as usize).sum();
            let readable: usize = made.iter().map(|made| made.readable(&again).len()).sum();
            lost += claimed - readable;
            let found = again.state_get("queue").expect("readable");
            assert_survived(found.as_deref(), acknowledged.as_deref());
        }
    }
    assert!(lost > 0, "no cut ever hurt a chunk: the test tests nothing");
}
