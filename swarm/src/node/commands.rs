//! What the person, the player and the operator want: [`Command`]s.

use antiphon_protocol::ChunkIndex;
use antiphon_protocol::error_code::ErrorCode;

use crate::key::{PlayId, RenditionKey};
use crate::limits::{EXPECTED_MAX, PINS_MAX};
use crate::node::NodeCore;
use crate::node::input::{Budget, Command, Expected, Keep, Restored, StoreEvent};
use crate::node::output::Output;
use crate::node::playback::Playback;
use crate::time::Instant;

impl NodeCore {
    pub(crate) fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Restore(all) => {
                self.holdings.expect_full(all.len());
                for restored in all {
                    self.restore(now, restored);
                }
            }
            Command::Introduce { rendition, spec } => {
                if !self.holdings.introduce(now, rendition, spec) {
                    self.ignore();
                }
                self.forget_introduced(rendition);
            }
            Command::Play {
                play,
                rendition,
                from,
            } => self.play(now, play, rendition, from),
            Command::Playhead { chunk, playing } => {
                if let Some(play) = &mut self.playback {
                    play.report(now, chunk, playing);
                }
            }
            Command::Seek { to } => {
                if let Some(play) = &mut self.playback {
                    play.seek(now, to);
                    self.settle_whole_play();
                    self.cancel_passed(to);
                }
            }
            Command::Stop => {
                self.playback = None;
                self.drop_unwanted();
            }
            Command::Expect { next } => self.expect(next),
            Command::Pin { rendition } => self.pin(now, rendition),
            Command::Place { rendition } => self.place(now, rendition),
            Command::Unpin { rendition } => {
                self.keep(rendition, Keep::Cached);
                self.pins.retain(|pinned| *pinned != rendition);
                self.drop_unwanted();
            }
            Command::Budget(budget) => self.set_budget(now, budget),
            Command::Shutdown => self.shut_down(),
        }
    }

    pub(crate) fn handle_store(&mut self, now: Instant, event: StoreEvent) {
        match event {
            StoreEvent::Lost { rendition, span } => {
                if let Some(play) = &mut self.playback {
                    play.note_loss();
                }
                if !self.holdings.lose(rendition, span) {
                    return self.ignore();
                }
                self.neighbors.note_news(rendition);
                if self.holdings.keep_of(rendition) != Keep::Cached {
                    self.want_kept(rendition);
                }
                self.changed(now, rendition);
            }
            StoreEvent::Full => {
                self.disk_full = true;
                // The budget was too hopeful: make room by what is needed least.
                self.evict_one(now);
            }
            StoreEvent::Writable => self.disk_full = false,
            // It counted as gone from the moment its eviction was decided.
            StoreEvent::Evicted { .. } => {}
        }
    }

    fn restore(&mut self, now: Instant, restored: Restored) {
        let (rendition, keep) = (restored.rendition, restored.keep);
        if !self.holdings.restore(now, restored) {
            return self.ignore();
        }
        self.neighbors.note_news(rendition);
        if keep != Keep::Cached && !self.holdings.is_full(rendition) {
            self.want_kept(rendition);
        }
    }

    fn play(&mut self, now: Instant, play: PlayId, rendition: RenditionKey, from: ChunkIndex) {
        let Some(spec) = self.holdings.spec(rendition) else {
            return self.ignore();
        };
        self.holdings.touch(now, rendition);
        self.origin.retry();
        let mut playback = Playback::new(now, play, rendition, from, spec);
        playback.holders_told = self.holders_at_start(now, rendition);
        self.playback = Some(playback);
        self.settle_whole_play();
        self.drop_unwanted();
    }

    /// A play of what is complete has nothing to wait for.
    fn settle_whole_play(&mut self) {
        let whole = self.has_all_of_play();
        if let Some(play) = &mut self.playback {
            play.settled |= whole;
        }
    }

    fn expect(&mut self, mut next: Vec<Expected>) {
        next.truncate(EXPECTED_MAX);
        next.retain(|expected| self.holdings.spec(expected.rendition).is_some());
        self.expected = next.into_boxed_slice();
        self.drop_unwanted();
    }

    fn pin(&mut self, now: Instant, rendition: RenditionKey) {
        if !self.keep(rendition, Keep::Pinned) {
            return self.ignore();
        }
        self.holdings.touch(now, rendition);
        if !self.holdings.is_full(rendition) {
            self.want_kept(rendition);
        }
    }

    /// Keeps a rendition as firmly as said, and has that remembered. False if it is unknown.
    pub(crate) fn keep(&mut self, rendition: RenditionKey, keep: Keep) -> bool {
        let before = self.holdings.keep_of(rendition);
        if !self.holdings.keep(rendition, keep) {
            return false;
        }
        if before != keep {
            self.emit(Output::Keep { rendition, keep });
        }
        true
    }

    pub(crate) fn want_kept(&mut self, rendition: RenditionKey) {
        if self.pins.contains(&rendition) {
            return;
        }
        if self.pins.len() >= PINS_MAX {
            return self.ignore();
        }
        self.pins.push_back(rendition);
    }

    fn set_budget(&mut self, now: Instant, budget: Budget) {
        let before = self.uploads.allowed();
        self.budget = budget;
        let allowed = budget.uploads && self.config.peers;
        self.uploads.set_budget(now, budget.upload, allowed);
        if !self.uploads.allowed() {
            for upload in self.uploads.end(|_| true) {
                let code = ErrorCode::UPLOADS_PAUSED;
                self.emit(Output::EndUpload { upload, code });
            }
        }
        if before != self.uploads.allowed() {
            self.neighbors.note_news_to_all();
            self.announcer.everything_changed(now);
        }
    }

    fn shut_down(&mut self) {
        self.shut_down = true;
        let requests: Vec<_> = self.requests.iter().map(|request| request.id).collect();
        for id in requests {
            self.cancel(id);
        }
        for upload in self.uploads.end(|_| true) {
            let code = ErrorCode::GOING_AWAY;
            self.emit(Output::EndUpload { upload, code });
        }
        let peers: Vec<_> = self
            .neighbors
            .iter()
            .map(|neighbor| neighbor.peer)
            .collect();
        for peer in peers {
            self.forget_neighbor(peer);
            self.emit(Output::Close {
                peer,
                code: ErrorCode::GOING_AWAY,
            });
        }
        self.playback = None;
        self.expected = Box::default();
    }

    /// Whether something may be fetched of it.
    pub(crate) fn wants(&self, rendition: RenditionKey) -> bool {
        self.playback
            .is_some_and(|play| play.rendition == rendition)
            || self
                .expected
                .iter()
                .any(|expected| expected.rendition == rendition)
            || self.active_pins().any(|pinned| pinned == rendition)
    }

    /// Whether something that is wanted is incomplete, or still on its way.
    pub(crate) fn lacks_something(&self) -> bool {
        let lacks = |rendition| self.holdings.partial(rendition).is_some();
        !self.pins.is_empty()
            || self.requests.len() > 0
            || !self.has_all_of_play()
            || self.expected.iter().any(|next| lacks(next.rendition))
    }

    /// After a jump: ends requests for what lies behind, other than the setup.
    fn cancel_passed(&mut self, to: ChunkIndex) {
        let Some(play) = self.playback else {
            return;
        };
        let passed = self.requests.iter().filter(|request| {
            let rest = request.rest();
            request.rendition == play.rendition && rest.start > 0 && rest.end <= to.0
        });
        let passed: Vec<_> = passed.map(|request| request.id).collect();
        for id in passed {
            self.cancel(id);
        }
    }

    /// Ends requests for what nothing wants any more.
    pub(crate) fn cancel_unwanted(&mut self) {
        let unwanted = self
            .requests
            .iter()
            .filter(|request| !self.wants(request.rendition));
        let unwanted: Vec<_> = unwanted.map(|request| request.id).collect();
        for id in unwanted {
            self.cancel(id);
        }
    }

    /// After a change of mind: forgets claims and searches nothing wants any more.
    pub(crate) fn drop_unwanted(&mut self) {
        // What is wanted by now is remembered for that, and no longer than that.
        let mut parked = core::mem::take(&mut self.parked);
        parked.retain(|key| !self.wants(*key));
        self.parked = parked;
        let mut availability = core::mem::take(&mut self.availability);
        availability.keep_only(|key| self.wants(key) || self.parked.contains(&key));
        self.availability = availability;
        let mut searches = core::mem::take(&mut self.searches);
        searches.retain(|search| self.wants(search.rendition));
        self.searches = searches;
    }

    fn forget_introduced(&mut self, newest: RenditionKey) {
        let mut holdings = core::mem::take(&mut self.holdings);
        holdings.forget_introduced(|key| {
            key == newest || self.wants(key) || self.requests.iter().any(|r| r.rendition == key)
        });
        self.holdings = holdings;
    }
}
