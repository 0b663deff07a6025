//! The chunk store on a healthy, full, failing and damaged disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use antiphon_node::reader::TrackReader;
use antiphon_node::store::{
    ChunkStore, OpenStoreError, Put, StateError, StoreError, StoreNotice, StoreOptions,
};
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::{ByteCount, CHUNK_BYTES, ChunkIndex, ChunkSet};
use antiphon_swarm::node::input::Keep;
use proptest::prelude::*;

use crate::made::Made;
use crate::sim_disk::{Dice, Fault, SimDisk};

/// Upkeep happens when the test says so, and the reserve is small.
pub fn options() -> StoreOptions {
    StoreOptions {
        index_every: Duration::from_secs(3600),
        reserve: ByteCount::kib(64),
        ..StoreOptions::default()
    }
}

fn on(disk: &SimDisk) -> StoreOptions {
    StoreOptions {
        disk: Arc::new(disk.clone()),
        ..options()
    }
}

fn open(dir: &Path) -> ChunkStore {
    ChunkStore::open(dir, options()).expect("the store opens").0
}

pub fn told(store: &ChunkStore) -> Vec<StoreNotice> {
    let mut notices = store.notices().expect("the first to ask");
    std::iter::from_fn(|| notices.try_recv().ok()).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path))
        } else {
            files.push(path)
        }
    }
    files.sort();
    files
}

#[test]
fn chunks_and_what_is_known_of_them_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let made = Made::new(1, 10 * CHUNK_BYTES + 77);
    let store = open(dir.path());
    for chunk in [0, 3, 10].map(ChunkIndex) {
        assert_eq!(made.put(&store, chunk), Ok(Put::Stored));
        assert_eq!(made.put(&store, chunk), Ok(Put::Already));
    }
    store.set_keep(made.content, Keep::Pinned);
    assert_eq!(
        store.bytes_on_disk(),
        ByteCount(2 * CHUNK_BYTES + 77 + 10 * 64)
    );
    drop(store);

    let (store, held) = ChunkStore::open(dir.path(), options()).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(
        (held[0].content, held[0].geometry),
        (made.content, made.geometry)
    );
    assert_eq!(
        held[0].held.iter().collect::<Vec<_>>(),
        [0, 3, 10].map(ChunkIndex)
    );
    assert!(held[0].keep == Keep::Pinned && held[0].idle < Duration::from_secs(60));
    assert_eq!(made.readable(&store), [0, 3, 10].map(ChunkIndex));
    assert_eq!(
        store.bytes_on_disk(),
        ByteCount(2 * CHUNK_BYTES + 77 + 10 * 64)
    );
    assert_eq!(told(&store), []);
}

#[test]
fn what_does_not_belong_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let made = Made::new(1, 2 * CHUNK_BYTES + 5);
    let chunk = ChunkIndex(0);
    let unknown = store.put_chunk(made.content, chunk, made.bytes(chunk));
    assert_eq!(unknown, Err(StoreError::Unknown));
    store.create(made.content, made.geometry).unwrap();
    store.create(made.content, made.geometry).unwrap();
    let other = Made::new(2, 99).geometry;
    assert_eq!(store.create(made.content, other), Err(StoreError::Geometry));
    for (chunk, len) in [
        (0, 5),
        (2, CHUNK_BYTES as usize),
        (3, 0),
        (3, 5),
        (u32::MAX, 5),
    ] {
        let put = store.put_chunk(made.content, ChunkIndex(chunk), &vec![0; len]);
        assert_eq!(
            put,
            Err(StoreError::Outside),
            "chunk {chunk} of {len} bytes"
        );
    }
    for offset in [1, 128, u64::MAX, u64::MAX - 63] {
        let put = store.put_parent(made.content, offset, &[0; 64]);
        assert_eq!(put, Err(StoreError::Outside), "node at {offset}");
    }
    assert!(store.held(made.content).is_some_and(|held| held.is_empty()));
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u32),
    Read(usize),
    Evict(usize),
    Keep(usize, Keep),
    Flush,
    Restart,
}

fn keep() -> impl Strategy<Value = Keep> {
    proptest::sample::select(vec![Keep::Cached, Keep::Placed, Keep::Pinned])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3_usize, 0..20_u32).prop_map(|(which, chunk)| Step::Put(which, chunk)),
        4 => (0..3_usize).prop_map(Step::Read),
        1 => (0..3_usize).prop_map(Step::Evict),
        1 => (0..3_usize, keep()).prop_map(|(which, keep)| Step::Keep(which, keep)),
        1 => Just(Step::Flush),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_store_holds_what_a_plain_model_holds(
        steps in proptest::collection::vec(step(), 1..60),
        open_renditions in 1..4_usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let made = [
            Made::new(1, 100),
            Made::new(2, 7 * CHUNK_BYTES),
            Made::new(3, 19 * CHUNK_BYTES + 1),
        ];
        let options = StoreOptions { open_renditions, ..options() };
        let mut store = ChunkStore::open(dir.path(), options.clone()).unwrap().0;
        let mut model: BTreeMap<usize, (BTreeSet<ChunkIndex>, Keep)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(which, chunk) => {
                    let chunk = ChunkIndex(chunk % made[which].geometry.chunk_count());
                    let new = model.entry(which).or_default().0.insert(chunk);
                    let expected = if new { Put::Stored } else { Put::Already };
                    prop_assert_eq!(made[which].put(&store, chunk), Ok(expected));
                }
                Step::Read(which) => {
                    let expected = model.get(&which).map(|(chunks, _)| chunks.clone());
                    let readable = made[which].readable(&store);
                    prop_assert!(readable.iter().eq(expected.unwrap_or_default().iter()));
                }
                Step::Evict(which) => {
                    let known = model.remove(&which).is_some();
                    prop_assert_eq!(store.evict(made[which].content), known);
                }
                Step::Keep(which, keep) => {
                    store.set_keep(made[which].content, keep);
                    if let Some(entry) = model.get_mut(&which) {
                        entry.1 = keep;
                    }
                }
                Step::Flush => prop_assert!(store.flush()),
                Step::Restart => {
                    store.close();
                    let (again, held) = ChunkStore::open(dir.path(), options.clone()).unwrap();
                    store = again;
                    let mut found: BTreeMap<usize, (BTreeSet<ChunkIndex>, Keep)> = held
                        .iter()
                        .map(|held| {
                            let which = made.iter().position(|made| made.content == held.content);
                            (which.unwrap(), (held.held.iter().collect(), held.keep))
                        })
                        .collect();
                    model.retain(|_, (chunks, _)| !chunks.is_empty());
                    prop_assert_eq!(&found, &model);
                    found.clear();
                }
            }
        }
        let sets = model.iter().map(|(which, (chunks, _))| (&made[*which], chunks));
        let bytes: u64 = sets
            .filter(|(_, chunks)| !chunks.is_empty())
            .map(|(made, chunks)| {
                let chunks = chunks.iter().map(|chunk| made.bytes(*chunk).len() as u64);
                chunks.sum::<u64>() + made.outboard.len() as u64
            })
            .sum();
        prop_assert_eq!(store.bytes_on_disk(), ByteCount(bytes));
        prop_assert_eq!(told(&store), []);
    }

    #[test]
    fn a_bit_flipped_on_the_disk_is_noticed_and_the_chunk_comes_back(
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        whole_file in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let made = Made::new(7, 37 * CHUNK_BYTES + 4321);
        let store = open(dir.path());
        made.put_all(&store);
        drop(store);
        let victim = {
            let files = files(&dir.path().join("audio"));
            prop_assert_eq!(files.len(), 2);
            files[usize::from(whole_file)].clone()
        };
        let mut bytes = std::fs::read(&victim).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(&victim, &bytes).unwrap();

        let store = open(dir.path());
        let readable = made.readable(&store);
        prop_assert!(readable.len() < made.chunks().count(), "nobody noticed");
        let mut lost = ChunkSet::empty(made.geometry);
        for notice in told(&store) {
            let StoreNotice::Lost { content, span } = notice else {
                return Err(TestCaseError::fail(format!("{notice:?}")));
            };
            prop_assert_eq!(content, made.content);
            for chunk in span.chunks() {
                prop_assert!(lost.insert(chunk), "told twice");
            }
        }
        prop_assert_eq!(lost.len() as usize + readable.len(), made.chunks().count());
        if victim.extension().is_some_and(|extension| extension == "enc") {
            prop_assert_eq!(lost.len(), 1);
        }
        let held = store.held(made.content).unwrap();
        prop_assert!(held.iter().eq(readable.iter().copied()));
        made.put_all(&store);
        prop_assert_eq!(made.readable(&store).len(), made.chunks().count());
        drop(store);
        prop_assert_eq!(made.readable(&open(dir.path())).len(), made.chunks().count());
    }
}

#[test]
fn files_cut_short_or_removed_are_not_counted_as_held() {
    let dir = tempfile::tempdir().unwrap();
    let (cut, gone) = (Made::new(1, 5 * CHUNK_BYTES), Made::new(2, 5 * CHUNK_BYTES));
    let store = open(dir.path());
    cut.put_all(&store);
    gone.put_all(&store);
    drop(store);
    for path in files(&dir.path().join("audio")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(&gone.content.to_string()) {
            std::fs::remove_file(path).unwrap();
        } else if name.ends_with(".enc") {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(2 * CHUNK_BYTES + 100).unwrap();
        }
    }
    let (store, held) = ChunkStore::open(dir.path(), options()).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].content, cut.content);
    assert_eq!(cut.readable(&store), [ChunkIndex(0), ChunkIndex(1)]);
    assert!(gone.readable(&store).is_empty());
}

#[test]
fn files_that_nothing_claims_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, evicted) = (Made::new(1, 5 * CHUNK_BYTES), Made::new(2, 5 * CHUNK_BYTES));
    let store = open(dir.path());
    kept.put_all(&store);
    evicted.put_all(&store);
    assert!(store.evict(evicted.content));
    assert!(!store.evict(evicted.content));
    drop(store);
    let audio = dir.path().join("audio");
    assert_eq!(files(&audio).len(), 2);
    std::fs::write(
        audio.join(&kept.content.to_string()[..2]).join("stray.enc"),
        b"x",
    )
    .unwrap();
    let orphan = Made::new(3, 100).content.to_string();
    std::fs::create_dir_all(audio.join(&orphan[..2])).unwrap();
    std::fs::write(audio.join(&orphan[..2]).join(format!("{orphan}.enc")), b"x").unwrap();
    drop(open(dir.path()));
    assert_eq!(files(&audio).len(), 2);
}

#[test]
fn a_folder_is_used_by_one_store_at_a_time_and_never_after_a_newer_release() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let second = ChunkStore::open(dir.path(), options());
    assert!(matches!(second, Err(OpenStoreError::InUse { .. })));
    store.close();
    let store = open(dir.path());
    store.state_put("schema", &2_u32.to_le_bytes()).unwrap();
    drop(store);
    let newer = ChunkStore::open(dir.path(), options());
    assert!(matches!(newer, Err(OpenStoreError::Newer { .. })));
}

#[test]
fn a_full_disk_turns_into_a_window_in_memory_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::default();
    let (old, new) = (
        Made::new(1, 10 * CHUNK_BYTES),
        Made::new(2, 6 * CHUNK_BYTES),
    );
    let (store, _) = ChunkStore::open(dir.path(), on(&disk)).unwrap();
    old.put_all(&store);
    assert!(store.flush());
    disk.set_capacity(Some(disk.used() + 3 * CHUNK_BYTES));

    let puts: Vec<Put> = new
        .chunks()
        .map(|chunk| new.put(&store, chunk).unwrap())
        .collect();
    assert_eq!(puts.first(), Some(&Put::Stored));
    assert_eq!(puts.last(), Some(&Put::InMemory));
    assert!(store.is_full());
    assert_eq!(new.readable(&store).len(), 6);
    assert!(!store.flush(), "nothing changed on the disk");
    assert!(store.evict(old.content));
    assert!(store.flush());
    assert!(!store.is_full());
    assert_eq!(new.readable(&store).len(), 6);
    assert_eq!(told(&store), [StoreNotice::Full, StoreNotice::Writable]);
    assert_eq!(store.bytes_on_disk(), ByteCount(6 * CHUNK_BYTES + 5 * 64));
    store.close();
    let (store, _) = ChunkStore::open(dir.path(), on(&disk)).unwrap();
    assert_eq!(new.readable(&store).len(), 6);
    assert_eq!(told(&store), []);
}

#[test]
fn the_window_in_memory_is_bounded_and_tells_what_it_drops() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::default();
    let options = StoreOptions {
        memory_window: ByteCount(4 * CHUNK_BYTES),
        ..on(&disk)
    };
    let (store, _) = ChunkStore::open(dir.path(), options).unwrap();
    assert!(store.flush());
    disk.fail(1, u64::MAX, Fault::Error(ErrorKind::ReadOnlyFilesystem));
    let made = Made::new(1, 10 * CHUNK_BYTES);
    for chunk in made.chunks() {
        assert_eq!(made.put(&store, chunk), Ok(Put::InMemory));
    }
    assert_eq!(made.readable(&store), [6, 7, 8, 9].map(ChunkIndex));
    let lost: u32 = told(&store)
        .iter()
        .map(|notice| match notice {
            StoreNotice::Lost { span, .. } => span.count(),
            _ => 0,
        })
        .sum();
    assert_eq!(lost, 6);
}

#[test]
fn small_state_is_kept_on_a_disk_that_audio_filled() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::default();
    let (store, _) = ChunkStore::open(dir.path(), on(&disk)).unwrap();
    store.state_put("queue", b"before").unwrap();
    assert!(store.flush());
    disk.set_capacity(Some(disk.used()));
    store.state_put("queue", b"after").unwrap();
    assert_eq!(store.state_get("queue").unwrap().unwrap(), b"after");
    // The room that came free is not for audio.
    let made = Made::new(1, CHUNK_BYTES);
    assert_eq!(made.put(&store, ChunkIndex(0)), Ok(Put::InMemory));
    assert!(!store.flush());
    assert_eq!(made.put(&store, ChunkIndex(0)), Ok(Put::Already));
    disk.set_capacity(None);
    assert!(store.flush());
    assert_eq!(told(&store), [StoreNotice::Full, StoreNotice::Writable]);
}

#[test]
fn damaged_state_is_put_aside_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.state_put("session", b"who I am").unwrap();
    store.state_put("queue", b"what comes").unwrap();
    assert!(matches!(
        store.state_put("../queue", b""),
        Err(StateError::Key { .. })
    ));
    assert!(matches!(
        store.state_put("", b""),
        Err(StateError::Key { .. })
    ));
    let long = vec![0; antiphon_node::store::STATE_BYTES_MAX + 1];
    assert!(matches!(
        store.state_put("queue", &long),
        Err(StateError::TooLong { .. })
    ));
    drop(store);
    let path = dir.path().join("state").join("session");
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        let store = open(dir.path());
        assert_eq!(store.state_get("session").unwrap(), None, "byte {at}");
        assert_eq!(store.state_get("session").unwrap(), None);
        assert_eq!(store.state_get("queue").unwrap().unwrap(), b"what comes");
        assert_eq!(
            told(&store),
            [StoreNotice::StateDamaged {
                key: "session".to_owned()
            }]
        );
    }
}

#[test]
fn a_damaged_index_is_put_aside_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = Made::new(1, 5 * CHUNK_BYTES);
    let store = open(dir.path());
    made.put_all(&store);
    store.state_put("session", b"who I am").unwrap();
    drop(store);
    // The engine takes this for its own files from the future.
    std::fs::write(dir.path().join("index").join("conf"), [0xff; 64]).unwrap();
    let (store, held) = ChunkStore::open(dir.path(), options()).unwrap();
    assert_eq!(held, []);
    assert_eq!(told(&store), [StoreNotice::IndexDamaged]);
    assert_eq!(store.state_get("session").unwrap().unwrap(), b"who I am");
    made.put_all(&store);
    drop(store);
    let (store, held) = ChunkStore::open(dir.path(), options()).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(told(&store), []);
}

#[test]
fn an_index_that_ended_two_starts_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let made = Made::new(1, 5 * CHUNK_BYTES);
    let store = open(dir.path());
    made.put_all(&store);
    drop(store);
    let mark = dir.path().join("index.opening");
    assert!(!mark.exists());
    std::fs::write(&mark, b"!").unwrap();
    assert_eq!(made.readable(&open(dir.path())).len(), 5);
    std::fs::write(&mark, b"!!").unwrap();
    let (store, held) = ChunkStore::open(dir.path(), options()).unwrap();
    assert_eq!(held, []);
    assert_eq!(told(&store), [StoreNotice::IndexDamaged]);
    assert!(!mark.exists());
}

#[test]
fn threads_share_a_store_through_its_handles() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        open_renditions: 2,
        ..options()
    };
    let (store, _) = ChunkStore::open(dir.path(), options).unwrap();
    let made: Vec<Made> = (0..4)
        .map(|seed| Made::new(seed, 40 * CHUNK_BYTES + 9))
        .collect();
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let (store, made) = (store.clone(), &made);
            scope.spawn(move || {
                for chunk in made[0].chunks() {
                    for made in made.iter().cycle().skip(turn).take(4) {
                        made.put(&store, chunk).unwrap();
                    }
                    made[turn].readable(&store);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                store.flush();
            }
        });
    });
    for made in &made {
        assert_eq!(made.readable(&store).len(), 41);
    }
    assert_eq!(told(&store), []);
}

#[test]
fn what_a_reader_needs_next_stays_in_a_full_window() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SimDisk::default();
    let options = StoreOptions {
        memory_window: ByteCount(4 * CHUNK_BYTES),
        ..on(&disk)
    };
    let (store, _) = ChunkStore::open(dir.path(), options).unwrap();
    assert!(store.flush());
    disk.fail(1, u64::MAX, Fault::Error(ErrorKind::StorageFull));
    let (played, other) = (
        Made::new(1, 10 * CHUNK_BYTES),
        Made::new(2, 4 * CHUNK_BYTES),
    );
    let key = ContentKey::new([1; 16]);
    let (mut reader, _) =
        TrackReader::new(store.clone(), played.content, played.geometry, key, drop).unwrap();
    for chunk in other.chunks() {
        assert_eq!(other.put(&store, chunk), Ok(Put::InMemory));
    }
    for chunk in (0..4).map(ChunkIndex) {
        assert_eq!(played.put(&store, chunk), Ok(Put::InMemory));
    }
    // What nobody reads had to go; what is further ahead than all the rest is not taken in.
    assert!(other.readable(&store).is_empty());
    assert_eq!(played.put(&store, ChunkIndex(4)), Err(StoreError::NoRoom));
    assert_eq!(other.put(&store, ChunkIndex(0)), Err(StoreError::NoRoom));
    // Once the reader has passed a chunk, its room is free for one ahead.
    let mut out = vec![0; 2 * CHUNK_BYTES as usize];
    reader.read_exact(&mut out).unwrap();
    assert_eq!(played.put(&store, ChunkIndex(4)), Ok(Put::InMemory));
    assert_eq!(played.readable(&store), [1, 2, 3, 4].map(ChunkIndex));
    disk.heal();
    assert!(store.flush());
    assert_eq!(played.readable(&store), [1, 2, 3, 4].map(ChunkIndex));
}

#[test]
fn no_damage_to_the_index_keeps_the_store_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let made: Vec<Made> = (0..20)
        .map(|seed| Made::new(seed, 5 * CHUNK_BYTES))
        .collect();
    let store = open(dir.path());
    made.iter().for_each(|made| made.put_all(&store));
    drop(store);
    let index = dir.path().join("index");
    let pristine: Vec<(PathBuf, Vec<u8>)> = files(&index)
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    let mut dice = Dice(29);
    for (path, bytes) in &pristine {
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
        for _ in 0..40 {
            let mut damaged = bytes.clone();
            let Some(byte) = damaged.get_mut(dice.below(used) as usize) else {
                break;
            };
            *byte ^= 1 << dice.below(8);
            std::fs::remove_dir_all(&index).unwrap();
            std::fs::create_dir_all(index.join("blobs")).unwrap();
            for (path, bytes) in &pristine {
                std::fs::write(path, bytes).unwrap();
            }
            std::fs::write(path, &damaged).unwrap();
            let (store, held) = ChunkStore::open(dir.path(), options()).unwrap();
            for held in held {
                assert!(made.iter().any(|made| made.content == held.content));
            }
            for made in &made {
                made.readable(&store);
            }
        }
    }
}
