//! What the store noticed by itself, on its way to the driver.
//!
//! The channel is bounded. What does not fit waits in a backlog in which repeats merge, so that
//! its size is bounded by what the store holds and nothing is ever left unsaid.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use antiphon_protocol::limits::SPAN_CHUNKS_MAX;
use antiphon_protocol::{ChunkIndex, ChunkSet, ContentId, Geometry, Span};
use tokio::sync::mpsc;

/// Notices that may wait for the driver; guess.
const CHANNEL_LEN: usize = 256;

/// Something the store noticed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreNotice {
    /// Chunks that counted as held turned out wrong or gone.
    Lost {
        /// Of what.
        content: ContentId,
        /// Which.
        span: Span,
    },
    /// The disk takes nothing more; chunks go into the window in memory.
    Full,
    /// The disk takes chunks again.
    Writable,
    /// The index was damaged. It was put aside, and what it claimed is forgotten.
    IndexDamaged,
    /// A piece of small state was damaged. It was put aside and counts as absent.
    StateDamaged {
        /// Which.
        key: String,
    },
}

/// The sending side.
#[derive(Debug)]
pub(crate) struct Notices {
    sender: mpsc::Sender<StoreNotice>,
    backlog: Mutex<Backlog>,
}

#[derive(Debug, Default)]
struct Backlog {
    lost: BTreeMap<ContentId, ChunkSet>,
    /// Damage is found while opening and on first use: a handful at most.
    damage: Vec<StoreNotice>,
    /// The last word on the disk: whether it is full.
    full: Option<bool>,
}

impl Notices {
    pub(crate) fn new() -> (Self, mpsc::Receiver<StoreNotice>) {
        let (sender, receiver) = mpsc::channel(CHANNEL_LEN);
        (
            Self {
                sender,
                backlog: Mutex::default(),
            },
            receiver,
        )
    }

    pub(crate) fn lost(&self, content: ContentId, geometry: Geometry, chunks: &[ChunkIndex]) {
        self.add(|backlog| {
            let lost = backlog
                .lost
                .entry(content)
                .or_insert_with(|| ChunkSet::empty(geometry));
            for chunk in chunks {
                lost.insert(*chunk);
            }
        });
    }

    pub(crate) fn full(&self, full: bool) {
        self.add(|backlog| backlog.full = Some(full));
    }

    pub(crate) fn damage(&self, notice: StoreNotice) {
        self.add(|backlog| {
            if !backlog.damage.contains(&notice) {
                backlog.damage.push(notice);
            }
        });
    }

    /// Nothing of it is there to be lost any more.
    pub(crate) fn forget(&self, content: ContentId) {
        self.backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lost
            .remove(&content);
    }

    /// Sends what fits; true if nothing is left over.
    pub(crate) fn drain(&self) -> bool {
        self.backlog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain(&self.sender)
    }

    fn add(&self, change: impl FnOnce(&mut Backlog)) {
        let mut backlog = self.backlog.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut backlog);
        backlog.drain(&self.sender);
    }
}

impl Backlog {
    fn drain(&mut self, sender: &mpsc::Sender<StoreNotice>) -> bool {
        // With nobody to tell there is nothing to keep.
        let send = |notice| match sender.try_send(notice) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => true,
            Err(mpsc::error::TrySendError::Full(_)) => false,
        };
        while let Some(notice) = self.damage.first() {
            if !send(notice.clone()) {
                return false;
            }
            self.damage.remove(0);
        }
        if let Some(full) = self.full {
            if !send(if full {
                StoreNotice::Full
            } else {
                StoreNotice::Writable
            }) {
                return false;
            }
            self.full = None;
        }
        while let Some(mut entry) = self.lost.first_entry() {
            let content = *entry.key();
            while let Some(span) = first_span(entry.get()) {
                if !send(StoreNotice::Lost { content, span }) {
                    return false;
                }
                for chunk in span.chunks() {
                    entry.get_mut().remove(chunk);
                }
            }
            entry.remove();
        }
        true
    }
}

fn first_span(chunks: &ChunkSet) -> Option<Span> {
    let first = chunks.iter().next()?;
    let run = chunks.present_until(first).0 - first.0;
    Span::new(first, run.min(SPAN_CHUNKS_MAX))
}
