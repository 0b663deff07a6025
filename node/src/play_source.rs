//! What the player reads: a [`TrackReader`] whose bytes are audited on their way to the decoder.
//!
//! The store verifies a chunk when it arrives and again when it is first read after a restart. The
//! audit is the other end of that promise: it takes the very bytes the decoder got, encrypts them
//! again and checks them against the content's name. It never holds anything up; it counts.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_player::{Interrupter, TrackSource};
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::verified::{Item, SpanVerifier};
use antiphon_protocol::{CHUNK_BYTES, ChunkIndex, ContentId, Geometry, Span};

use crate::reader::{ReaderControl, TrackReader};
use crate::store::ChunkStore;

/// A rendition as the player plays it.
pub(crate) struct PlaySource {
    reader: TrackReader,
    control: ReaderControl,
    audit: Audit,
}

/// Re-checks whole chunks that were read in one go.
struct Audit {
    store: ChunkStore,
    content: ContentId,
    geometry: Geometry,
    key: ContentKey,
    /// Bytes handed on since the start of the chunk they belong to; nothing after a jump into the
    /// middle of one.
    chunk: Vec<u8>,
    whole: bool,
    failures: Arc<AtomicU64>,
}

impl PlaySource {
    pub(crate) fn new(
        reader: TrackReader,
        control: ReaderControl,
        (store, content, geometry): (ChunkStore, ContentId, Geometry),
        key: ContentKey,
        failures: Arc<AtomicU64>,
    ) -> Self {
        let chunk = Vec::with_capacity(CHUNK_BYTES as usize);
        let audit = Audit {
            store,
            content,
            geometry,
            key,
            chunk,
            whole: true,
            failures,
        };
        Self {
            reader,
            control,
            audit,
        }
    }
}

impl Read for PlaySource {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let position = self.reader.position();
        let read = self.reader.read(into)?;
        let bytes = into.get(..read).unwrap_or_default();
        self.audit.handed_on(position, bytes);
        Ok(read)
    }
}

impl Seek for PlaySource {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let before = self.reader.position();
        let position = self.reader.seek(to)?;
        if position != before {
            self.audit.jumped(position);
        }
        Ok(position)
    }
}

impl TrackSource for PlaySource {
    fn byte_len(&self) -> u64 {
        self.reader.byte_len()
    }

    fn interrupter(&self) -> Option<Interrupter> {
        let control = self.control.clone();
        Some(Arc::new(move || control.interrupt()))
    }
}

impl Audit {
    fn jumped(&mut self, position: u64) {
        self.chunk.clear();
        self.whole = position.is_multiple_of(CHUNK_BYTES);
    }

    /// `bytes` from `position` went to the decoder. They never cross the end of a chunk, because
    /// the reader gives one chunk at a time.
    fn handed_on(&mut self, position: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if position.is_multiple_of(CHUNK_BYTES) {
            self.jumped(position);
        }
        self.chunk.extend_from_slice(bytes);
        let chunk = ChunkIndex::of_byte(position);
        if self.whole && self.chunk.len() == self.geometry.chunk_bytes(chunk) {
            let mut sealed = std::mem::take(&mut self.chunk);
            self.key.apply(chunk.byte_offset(), &mut sealed);
            if self.is_genuine(chunk, &sealed) == Some(false) {
                tracing::error!(content = %self.content, ?chunk, "the decoder got wrong bytes");
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
            sealed.clear();
            self.chunk = sealed;
        }
    }

    /// Nothing if the proof cannot be read (any more), for example after an eviction.
    fn is_genuine(&self, chunk: ChunkIndex, sealed: &[u8]) -> Option<bool> {
        let span = Span::new(chunk, 1)?;
        let mut verifier = SpanVerifier::new(self.content, self.geometry, span);
        let mut parent = Vec::new();
        while let Some(item) = verifier.wanted() {
            if let Item::Chunk { .. } = item {
                return Some(verifier.accept(sealed).is_ok());
            }
            parent.clear();
            if !self.store.read_item(self.content, item, &mut parent).ok()? {
                return None;
            }
            verifier.accept(&parent).ok()?;
        }
        None
    }
}
