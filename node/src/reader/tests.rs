use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use antiphon_protocol::Span;
use antiphon_protocol::verified::{Item, hash_content, items};

use super::*;
use crate::store::StoreOptions;

const DEADLINE: Duration = Duration::from_secs(20);

struct Rig {
    _dir: tempfile::TempDir,
    store: ChunkStore,
    content: ContentId,
    geometry: Geometry,
    plain: Vec<u8>,
    sealed: Vec<u8>,
    outboard: Vec<u8>,
}

fn key() -> ContentKey {
    ContentKey::new([9; 16])
}

impl Rig {
    fn new(bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = ChunkStore::open(dir.path(), StoreOptions::default()).unwrap();
        let plain: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
        let mut sealed = plain.clone();
        key().apply(0, &mut sealed);
        let geometry = Geometry::new(ByteCount(bytes as u64)).unwrap();
        let (content, outboard) = hash_content(geometry, sealed.as_slice()).unwrap();
        store.create(content, geometry).unwrap();
        Self {
            _dir: dir,
            store,
            content,
            geometry,
            plain,
            sealed,
            outboard,
        }
    }

    fn put(&self, chunk: u32) {
        let span = Span::new(ChunkIndex(chunk), 1).unwrap();
        for item in items(self.geometry, span) {
            match item {
                Item::Parent {
                    outboard_offset: at,
                } => {
                    let node = self.outboard[at as usize..][..64].try_into().unwrap();
                    self.store.put_parent(self.content, at, node).unwrap();
                }
                Item::Chunk { chunk, bytes } => {
                    let data = &self.sealed[chunk.byte_offset() as usize..][..bytes];
                    self.store.put_chunk(self.content, chunk, data).unwrap();
                }
            }
        }
    }

    fn reader(&self) -> (TrackReader, ReaderControl, Receiver<ReaderEvent>) {
        let (sender, events) = sync_channel(1000);
        let tell = move |event| sender.send(event).unwrap();
        let store = self.store.clone();
        let (reader, control) =
            TrackReader::new(store, self.content, self.geometry, key(), tell).unwrap();
        (reader, control, events)
    }
}

fn await_wait(events: &Receiver<ReaderEvent>, chunk: u32) {
    while events.recv_timeout(DEADLINE).unwrap() != ReaderEvent::Waiting(ChunkIndex(chunk)) {}
}

#[test]
fn a_whole_rendition_comes_out_as_it_was_sealed() {
    let rig = Rig::new(5 * CHUNK_BYTES as usize + 333);
    (0..6).for_each(|chunk| rig.put(chunk));
    let (mut reader, control, events) = rig.reader();
    let mut out = Vec::new();
    io::copy(&mut reader, &mut out).unwrap();
    assert!(out == rig.plain);
    let stats = control.stats();
    assert_eq!(stats.bytes_served, ByteCount(rig.plain.len() as u64));
    assert_eq!((stats.waits, stats.waiting), (0, None));
    drop(reader);
    let entered = (0..6).map(|chunk| ReaderEvent::Entered(ChunkIndex(chunk)));
    assert!(events.iter().eq(entered));
}

#[test]
fn reading_goes_on_when_the_chunk_it_waits_for_arrives() {
    let rig = Rig::new(3 * CHUNK_BYTES as usize);
    rig.put(0);
    let (mut reader, control, events) = rig.reader();
    let copy = thread::spawn(move || {
        let mut out = Vec::new();
        io::copy(&mut reader, &mut out).map(|_| out)
    });
    await_wait(&events, 1);
    assert!(control.stats().waiting.is_some());
    rig.put(2);
    rig.put(1);
    assert!(copy.join().unwrap().unwrap() == rig.plain);
    let stats = control.stats();
    assert_eq!((stats.waits, stats.waiting), (1, None));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, ReaderEvent::Resumed { .. }))
    );
}

#[test]
fn an_abort_ends_a_waiting_read_and_every_later_one() {
    let rig = Rig::new(3 * CHUNK_BYTES as usize);
    rig.put(1);
    let (mut reader, control, events) = rig.reader();
    let read = thread::spawn(move || {
        let first = io::copy(&mut reader, &mut io::sink()).unwrap_err().kind();
        reader.seek(SeekFrom::Start(CHUNK_BYTES)).unwrap();
        (first, reader.read(&mut [0; 10]).unwrap_err().kind())
    });
    await_wait(&events, 0);
    control.abort();
    let aborted = io::ErrorKind::ConnectionAborted;
    assert_eq!(read.join().unwrap(), (aborted, aborted));
}

#[test]
fn an_interrupted_read_can_be_tried_again_elsewhere() {
    let rig = Rig::new(3 * CHUNK_BYTES as usize);
    rig.put(2);
    let (mut reader, control, events) = rig.reader();
    let read = thread::spawn(move || {
        let mut out = [0; 100];
        let interrupted = reader.read(&mut out).unwrap_err().kind();
        reader.seek(SeekFrom::End(-200)).unwrap();
        (interrupted, reader.read(&mut out).unwrap(), out)
    });
    await_wait(&events, 0);
    control.interrupt();
    let (interrupted, read, out) = read.join().unwrap();
    assert_eq!((interrupted, read), (io::ErrorKind::Interrupted, 100));
    assert_eq!(out, rig.plain[rig.plain.len() - 200..][..100]);
}

#[test]
fn an_eviction_ends_a_waiting_read() {
    let rig = Rig::new(3 * CHUNK_BYTES as usize);
    let (mut reader, _, events) = rig.reader();
    let read = thread::spawn(move || reader.read(&mut [0; 10]).unwrap_err().kind());
    await_wait(&events, 0);
    rig.store.evict(rig.content);
    assert_eq!(read.join().unwrap(), io::ErrorKind::NotFound);
}

#[test]
fn a_chunk_that_went_bad_is_waited_for_instead_of_played() {
    let rig = Rig::new(3 * CHUNK_BYTES as usize);
    (0..3).for_each(|chunk| rig.put(chunk));
    rig.store.close();
    let name = rig.content.to_string();
    let path = rig
        ._dir
        .path()
        .join("audio")
        .join(&name[..2])
        .join(format!("{name}.enc"));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[CHUNK_BYTES as usize + 5] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (store, _) = ChunkStore::open(rig._dir.path(), StoreOptions::default()).unwrap();
    let rig = Rig { store, ..rig };
    let (mut reader, _, events) = rig.reader();
    let copy = thread::spawn(move || {
        let mut out = Vec::new();
        io::copy(&mut reader, &mut out).map(|_| out)
    });
    await_wait(&events, 1);
    rig.put(1);
    assert!(copy.join().unwrap().unwrap() == rig.plain);
}

#[test]
fn seeking_follows_the_rules_of_files() {
    let rig = Rig::new(3 * CHUNK_BYTES as usize);
    rig.put(2);
    let (mut reader, _, _events) = rig.reader();
    assert_eq!(
        reader.seek(SeekFrom::End(10)).unwrap(),
        reader.byte_len() + 10
    );
    assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
    assert_eq!(
        reader.seek(SeekFrom::Current(-20)).unwrap(),
        reader.byte_len() - 10
    );
    assert_eq!(reader.read(&mut [0; 100]).unwrap(), 10);
    assert!(reader.seek(SeekFrom::Current(i64::MIN)).is_err());
    assert!(reader.seek(SeekFrom::End(i64::MIN)).is_err());
    assert_eq!(reader.position(), reader.byte_len());
}
