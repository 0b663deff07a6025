//! Copies kept for others: when the tracker is asked what few hold, how much of the disk that may
//! take, and when such a copy becomes an ordinary one.
//!
//! Not here: which renditions are rare ([`crate::registry`]), and how they are fetched: as pins.

use antiphon_protocol::ByteCount;

use crate::key::RenditionKey;
use crate::limits::PLACEMENTS_PER_ANSWER_MAX;
use crate::node::NodeCore;
use crate::node::input::Keep;
use crate::node::output::Output;
use crate::time::{Duration, Instant};

/// How often the time between two asks doubles while nothing is offered: up to 80 to 120 minutes with the
/// shipped numbers. Of a hundred asks in a large world one is answered with something.
const PLACEMENT_DOUBLINGS_MAX: u8 = 2;

impl NodeCore {
    /// Bytes of the disk budget for copies kept for others.
    pub(crate) fn placement_room(&self) -> ByteCount {
        let share = u64::from(self.config.placement.share_permille.min(1_000));
        ByteCount(self.budget.disk.0 / 1_000 * share)
    }

    /// Keeps a rendition for others, if there is room.
    pub(crate) fn place(&mut self, now: Instant, rendition: RenditionKey) {
        let Some(spec) = self.holdings.spec(rendition) else {
            return self.ignore();
        };
        self.placements_in_vain = 0;
        let placed = self.holdings.placed_bytes();
        let room = self.placement_room().0.saturating_sub(placed);
        if self.holdings.keep_of(rendition) != Keep::Cached || spec.geometry.size().0 > room {
            return self.ignore();
        }
        self.keep(rendition, Keep::Placed);
        self.holdings.touch(now, rendition);
        if !self.holdings.is_full(rendition) {
            self.want_kept(rendition);
        }
    }

    /// Asks what to keep, now and then, while there is room and nothing better to do.
    pub(crate) fn plan_placement(&mut self, now: Instant) {
        let config = self.config.placement;
        let able = self.config.peers
            && self.uploads.allowed()
            && !self.disk_full
            && self.announcer.is_reachable();
        if config.share_permille == 0 || !able {
            return;
        }
        if self.placement_at == Instant::MAX {
            self.placement_at = now + self.spread(config.first_ask);
        }
        if now < self.placement_at {
            return self.wake_at(self.placement_at);
        }
        let doublings = self.placements_in_vain.min(PLACEMENT_DOUBLINGS_MAX);
        let interval = config.ask_interval.saturating_mul(1 << doublings);
        let next = now + self.spread(interval);
        self.placement_at = next;
        self.wake_at(next);
        let idle = config.idle_max;
        if let Some(stale) = self.holdings.longest_unused_placed(now, idle) {
            self.keep(stale, Keep::Cached);
        }
        let full = self.holdings.placed_bytes() >= self.placement_room().0;
        if full || self.is_short(now) || !self.pins.is_empty() {
            return;
        }
        // Until something is offered.
        self.placements_in_vain = self.placements_in_vain.saturating_add(1);
        let limit = PLACEMENTS_PER_ANSWER_MAX as u8;
        self.emit(Output::AskPlacements { limit });
    }

    /// Between `time` and half as much again, so that nodes do not fall into step.
    fn spread(&mut self, time: Duration) -> Duration {
        let more = self.rng.below((time.as_micros() / 2).max(1));
        time.saturating_add(Duration::from_micros(more))
    }
}
