//! Serving others, keeping within the disk budget, and telling the tracker what is here.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::{EXTENT_UNIT_CHUNKS, Extent, Priority};
use antiphon_protocol::{ByteCount, Span};

use crate::key::{PeerKey, RenditionKey, UploadId};
use crate::limits::ANNOUNCES_PER_REQUEST_MAX;
use crate::node::NodeCore;
use crate::node::announcer::Due;
use crate::node::availability::Believed;
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
        let verdict = if self.shut_down || !self.neighbors.is_connected(peer) {
            Verdict::Decline {
                code: ErrorCode::GOING_AWAY,
                retry_after: NOT_HELD_RETRY,
            }
        } else if let Some((bytes, keep)) = self.holdings.held_span(rendition, span) {
            let asked = Asked {
                id: upload,
                peer,
                rendition,
                priority,
                bytes,
                placed: keep == Keep::Placed,
            };
            let paused = self.uploads_pause(now);
            self.uploads.ask(now, asked, paused)
        } else {
            Verdict::Decline {
                code: ErrorCode::NOT_HELD,
                retry_after: NOT_HELD_RETRY,
            }
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
        if sent.0 > 0 && ended.placed {
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
        if unit_touched
            && !announced
            && self.holdings.units(rendition) >= units
            && self.known_full(rendition) < self.config.news.partial_below
        {
            self.changed(now, rendition);
        }
    }

    /// Peers that are believed to hold all of it, connected or not.
    fn known_full(&self, rendition: RenditionKey) -> usize {
        let claims = self.availability.of(rendition).iter();
        claims
            .filter(|claim| claim.believed == Believed::Full)
            .count()
    }

    /// What can be served of a rendition changed: the tracker is told at once.
    pub(crate) fn changed(&mut self, now: Instant, rendition: RenditionKey) {
        self.changed_within(now, rendition, Duration::ZERO);
    }

    /// The same, but the news may wait for others.
    fn changed_within(&mut self, now: Instant, rendition: RenditionKey, wait: Duration) {
        if self.uploads.allowed() {
            self.announcer.changed(now, rendition, wait);
        }
    }

    pub(crate) fn plan_announces(&mut self, now: Instant) {
        if !self.config.peers {
            return;
        }
        let gap = self.config.news.announce_gap;
        while let Some(due) = self.announcer.due(now, gap) {
            match due {
                Due::Everything if !self.uploads.allowed() => {}
                Due::Everything => self.announce_everything(),
                Due::Changes(changes) => self.announce_changes(changes),
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

    fn announce_everything(&mut self) {
        let units = self.config.news.partial_units;
        let partial = self.holdings.partials().map(|partial| partial.key);
        let partial = partial.filter(|key| self.holdings.units(*key) >= units);
        let partial: Vec<RenditionKey> = partial.collect();
        let full = self.holdings.full_keys();
        let mut entries = Vec::with_capacity(self.holdings.complete() + partial.len());
        entries.extend(full.map(|rendition| (rendition, Extent::Full)));
        self.add_changes(&mut entries, &partial);
        self.announce(entries);
    }

    fn announce_changes(&mut self, changes: Vec<RenditionKey>) {
        let mut entries = Vec::with_capacity(changes.len());
        self.add_changes(&mut entries, &changes);
        self.announce(entries);
    }

    /// What is to be told of some renditions, of which those that are incomplete are told of from now on.
    fn add_changes(&mut self, entries: &mut Vec<(RenditionKey, Extent)>, some: &[RenditionKey]) {
        for rendition in some {
            let extent = self.holdings.extent(*rendition);
            if matches!(extent, Extent::Partial(_)) {
                self.holdings.set_announced(*rendition);
            }
            entries.push((*rendition, extent));
        }
    }

    fn announce(&mut self, mut entries: Vec<(RenditionKey, Extent)>) {
        while entries.len() > ANNOUNCES_PER_REQUEST_MAX {
            let later = entries.split_off(ANNOUNCES_PER_REQUEST_MAX);
            self.emit(Output::Announce { entries });
            entries = later;
        }
        if !entries.is_empty() {
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
        self.changed_within(now, rendition, self.config.news.evictions_wait);
        true
    }
}
