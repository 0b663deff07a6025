//! Serving others, keeping within the disk budget, and telling the tracker what is here.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::{EXTENT_UNIT_CHUNKS, Extent, Priority};
use antiphon_protocol::{ByteCount, Span};

use crate::key::{PeerKey, RenditionKey, UploadId};
use crate::limits::ANNOUNCES_PER_REQUEST_MAX;
use crate::node::NodeCore;
use crate::node::announcer::Due;
use crate::node::cache_policy::first_to_go;
use crate::node::input::Keep;
use crate::node::output::Output;
use crate::node::upload::{Asked, Verdict};
use crate::time::{Duration, Instant};

/// When to ask again for what is not held: it may be in a while. Guess.
const NOT_HELD_RETRY: Duration = Duration::from_secs(30);

impl NodeCore {
    pub(crate) fn handle_span_asked(
        &mut self,
        now: Instant,
        upload: UploadId,
        peer: PeerKey,
        rendition: RenditionKey,
        span: Span,
        priority: Priority,
    ) {
        let verdict = if self.shut_down || self.neighbors.by_key(peer).is_none() {
            Verdict::Decline {
                code: ErrorCode::GOING_AWAY,
                retry_after: NOT_HELD_RETRY,
            }
        } else if !self.holdings.has_span(rendition, span) {
            Verdict::Decline {
                code: ErrorCode::NOT_HELD,
                retry_after: NOT_HELD_RETRY,
            }
        } else {
            let spec = self.holdings.spec(rendition);
            let range = spec.map_or(0..0, |spec| spec.geometry.byte_range(span));
            let bytes = range.end - range.start;
            let asked = Asked {
                id: upload,
                peer,
                rendition,
                priority,
                bytes,
            };
            let paused = self.uploads_pause(now);
            self.uploads.ask(now, asked, paused)
        };
        match verdict {
            Verdict::Accept { instead_of } => {
                if let Some(upload) = instead_of {
                    self.emit(Output::EndUpload {
                        upload,
                        code: ErrorCode::BUSY,
                    });
                }
                self.stats.uploads = self.stats.uploads.saturating_add(1);
                self.emit(Output::AcceptUpload { upload });
            }
            Verdict::Decline { code, retry_after } => {
                self.stats.upload_declines = self.stats.upload_declines.saturating_add(1);
                self.emit(Output::DeclineUpload {
                    upload,
                    code,
                    retry_after,
                });
            }
        }
    }

    pub(crate) fn handle_upload_ended(
        &mut self,
        now: Instant,
        upload: UploadId,
        sent: ByteCount,
        _complete: bool,
    ) {
        let Some(ended) = self.uploads.ended(upload, sent.0) else {
            return self.ignore();
        };
        self.stats.uploaded_bytes = self.stats.uploaded_bytes.saturating_add(sent.0);
        if let Some(neighbor) = self.neighbors.by_key_mut(ended.peer) {
            neighbor.used(now, sent.0);
        }
        // What is kept for others is used by them.
        if sent.0 > 0 && self.holdings.keep_of(ended.rendition) == Keep::Placed {
            self.holdings.touch(now, ended.rendition);
        }
    }

    /// More of a rendition is here: neighbors and tracker may want to know.
    pub(crate) fn progressed(
        &mut self,
        now: Instant,
        rendition: RenditionKey,
        chunks: core::ops::Range<u32>,
        completed: bool,
    ) {
        if completed {
            return self.changed(now, rendition);
        }
        let unit_touched = chunks.start / EXTENT_UNIT_CHUNKS != chunks.end / EXTENT_UNIT_CHUNKS;
        let announced = self.holdings.partial(rendition).is_none_or(|p| p.announced);
        let units = self.config.news.partial_units;
        if unit_touched && !announced && self.holdings.units(rendition) >= units {
            self.changed(now, rendition);
        }
    }

    /// What can be served of a rendition changed.
    pub(crate) fn changed(&mut self, now: Instant, rendition: RenditionKey) {
        if self.uploads.allowed() {
            let gap = self.config.news.announce_gap;
            self.announcer.changed(now, rendition, gap);
        }
    }

    pub(crate) fn plan_announces(&mut self, now: Instant) {
        if !self.config.peers {
            return;
        }
        while let Some(due) = self.announcer.due(now) {
            match due {
                Due::Everything if !self.uploads.allowed() => self.announce(Vec::new()),
                Due::Everything => {
                    let units = self.config.news.partial_units;
                    let partial = self.holdings.partials().map(|partial| partial.key);
                    let partial = partial.filter(|key| self.holdings.units(*key) >= units);
                    self.announce(self.holdings.full_keys().chain(partial).collect());
                }
                Due::Changes(changes) => self.announce(changes),
                Due::Nothing => {
                    let entries = Vec::new();
                    self.emit(Output::Announce { entries });
                }
            }
        }
    }

    /// When the tracker is to be told something: a deadline apart, because nothing else follows.
    pub(crate) fn announce_wake(&self) -> Instant {
        if !self.config.peers || self.shut_down {
            return Instant::MAX;
        }
        self.announcer.next()
    }

    fn announce(&mut self, renditions: Vec<RenditionKey>) {
        for batch in renditions.chunks(ANNOUNCES_PER_REQUEST_MAX) {
            let mut entries = Vec::with_capacity(batch.len());
            for rendition in batch {
                let extent = self.holdings.extent(*rendition);
                if matches!(extent, Extent::Partial(_)) {
                    self.holdings.set_announced(*rendition);
                }
                entries.push((*rendition, extent));
            }
            self.emit(Output::Announce { entries });
        }
    }

    /// Drops what was unused longest while the budget is exceeded.
    pub(crate) fn plan_cache(&mut self, now: Instant) {
        while self.holdings.bytes() > self.budget.disk.0 && self.evict_one(now) {}
    }

    /// Drops what was unused longest. False if nothing may go.
    pub(crate) fn evict_one(&mut self, now: Instant) -> bool {
        let spare = |firmest| {
            first_to_go(self.holdings.evictable(firmest), |key| {
                !self.wants(key) && !self.uploads.active().iter().any(|u| u.rendition == key)
            })
        };
        let placed_fits = self.holdings.placed_bytes() <= self.placement_room().0;
        let firmest = if placed_fits {
            Keep::Cached
        } else {
            Keep::Placed
        };
        let Some(rendition) = spare(firmest).or_else(|| spare(Keep::Placed)) else {
            return false;
        };
        self.holdings.remove(rendition);
        self.neighbors.note_news(rendition);
        self.stats.evictions = self.stats.evictions.saturating_add(1);
        self.emit(Output::Evict { rendition });
        self.changed(now, rendition);
        true
    }
}
