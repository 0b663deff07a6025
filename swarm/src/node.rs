//! [`NodeCore`]: owns the policies, routes inputs to them, collects their outputs.
//!
//! Each input changes state. When the outputs are asked for, and what came can change a plan (`concern.rs`), one pass
//! of plans decides what follows and when to look again: one for all that came since, so a driver that hands in
//! everything of one moment before it asks pays for one. Not here: any single policy; each has its own module.

mod announcer;
mod availability;
mod cache_policy;
mod commands;
mod complete;
mod concern;
pub mod config;
mod contacts;
mod fetch_events;
mod few;
mod hedge_plan;
mod hedging;
mod holdings;
pub mod input;
mod interest;
mod near;
mod neighbors;
mod origin_policy;
pub mod output;
mod overlay;
mod penalty;
mod picker;
mod placement;
mod play_plan;
mod playback;
mod prefetch;
mod ranking;
mod requests;
mod search;
mod serving;
#[cfg(test)]
mod sizes;
mod social;
mod sources;
pub mod stats;
mod upload;
mod wants;
mod window;

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_protocol::ByteCount;

pub use config::NodeConfig;
pub use input::Input;
pub use output::Output;
pub use stats::{Snapshot, Stats};

use crate::key::RenditionKey;
use crate::node::announcer::Announcer;
use crate::node::availability::Availability;
use crate::node::concern::{Concern, Undecided};
use crate::node::contacts::Contacts;
use crate::node::holdings::Holdings;
use crate::node::input::{Budget, Expected};
use crate::node::interest::Interest;
use crate::node::neighbors::Neighbors;
use crate::node::origin_policy::OriginPolicy;
use crate::node::overlay::Overlay;
use crate::node::penalty::Penalties;
use crate::node::playback::Playback;
use crate::node::requests::Requests;
use crate::node::search::{Search, SearchPlan};
use crate::node::stats::{NeighborSnapshot, PlaySnapshot};
use crate::node::upload::Uploads;
use crate::rng::SeededRng;
use crate::time::{Duration, Instant};

/// Shortest time to the next deadline, so that a driver's timer resolution cannot make it spin:
/// common timers have 1 ms.
const WAKE_MIN: Duration = Duration::from_millis(1);

/// Every decision of one node. What nearly every input looks at comes first, so that a simulator of a million nodes
/// need not bring near the rest: see [`NodeCore::OFTEN_READ_BYTES`].
#[derive(Debug)]
#[repr(C)]
pub struct NodeCore {
    pub(crate) config: Arc<NodeConfig>,
    pub(crate) now: Instant,
    /// When to plan again; the last moment there is if nothing is awaited.
    pub(crate) wake: Instant,
    /// The same for when a request of the play may be late: apart, because mostly it is not.
    pub(crate) hedge_wake: Instant,
    /// When time alone changes the search for holders: a deadline apart from `wake`, because mostly a holder comes
    /// before.
    pub(crate) search_wake: Instant,
    /// When a neighbor may be told what it was not yet told of.
    pub(crate) have_wake: Instant,
    /// Whether the last plan left something over that a free request or a new holder could serve.
    pub(crate) unmet: bool,
    /// The store takes nothing more.
    pub(crate) disk_full: bool,
    pub(crate) shut_down: bool,
    /// Asks for something to keep since something was offered.
    pub(crate) placements_in_vain: u8,
    pub(crate) search_plan: SearchPlan,
    /// What came since the last decision.
    pub(crate) undecided: Undecided,
    pub(crate) interest: Interest,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) playback: Option<Playback>,
    pub(crate) holdings: Holdings,
    pub(crate) neighbors: Neighbors,
    pub(crate) requests: Requests,
    pub(crate) availability: Availability,
    pub(crate) uploads: Uploads,
    pub(crate) announcer: Announcer,
    pub(crate) contacts: Contacts,
    pub(crate) budget: Budget,
    pub(crate) expected: Box<[Expected]>,
    pub(crate) searches: Vec<Search>,
    pub(crate) penalties: Penalties,
    pub(crate) stats: Stats,
    /// Pinned and placed renditions that are not complete, in the order they came.
    pub(crate) pins: VecDeque<RenditionKey>,
    /// When the tracker is asked what to keep for others; the last moment there is before that can be
    /// said.
    pub(crate) placement_at: Instant,
    /// Renditions whose holders were told before anything wanted them, newest last.
    pub(crate) parked: Vec<RenditionKey>,
    pub(crate) origin: OriginPolicy,
    /// What the origin said not to have, and until when that is believed.
    pub(crate) origin_lacks: Vec<(RenditionKey, Instant)>,
    /// Round trip to the tracker; the longest there is while it is unreachable.
    pub(crate) tracker_rtt: Duration,
    /// Before this, pins take nothing more from the origin.
    pub(crate) pin_origin_at: Instant,
    pub(crate) overlay: Overlay,
    pub(crate) rng: SeededRng,
}

impl NodeCore {
    /// A node that holds nothing and knows nobody. Many nodes may share one configuration.
    #[must_use]
    pub fn new(config: impl Into<Arc<NodeConfig>>, seed: [u8; 32]) -> Self {
        let config = config.into();
        let budget = config.budget;
        Self::with_budget(config, budget, seed)
    }

    /// The same with a budget of its own: nodes that differ in nothing else share a configuration.
    #[must_use]
    pub fn with_budget(config: Arc<NodeConfig>, budget: Budget, seed: [u8; 32]) -> Self {
        let uploads = Uploads::new(budget.upload, budget.uploads && config.peers);
        Self {
            config,
            rng: SeededRng::new(seed),
            now: Instant::START,
            wake: Instant::MAX,
            hedge_wake: Instant::MAX,
            unmet: false,
            outputs: VecDeque::new(),
            holdings: Holdings::default(),
            playback: None,
            expected: Box::default(),
            pins: VecDeque::new(),
            parked: Vec::new(),
            availability: Availability::default(),
            neighbors: Neighbors::default(),
            interest: Interest::default(),
            undecided: Undecided::default(),
            have_wake: Instant::MAX,
            contacts: Contacts::default(),
            penalties: Penalties::default(),
            requests: Requests::default(),
            searches: Vec::new(),
            search_plan: SearchPlan::default(),
            search_wake: Instant::MAX,
            overlay: Overlay::default(),
            origin: OriginPolicy::default(),
            origin_lacks: Vec::new(),
            uploads,
            announcer: Announcer::default(),
            tracker_rtt: Duration::MAX,
            budget,
            disk_full: false,
            shut_down: false,
            pin_origin_at: Instant::START,
            placement_at: Instant::MAX,
            placements_in_vain: 0,
            stats: Stats::default(),
        }
    }

    /// Takes one event in. What follows is decided when [`NodeCore::poll_output`] is called next; drain that before
    /// time passes.
    ///
    /// # Panics
    ///
    /// If `now` is before the `now` of an earlier call.
    pub fn handle(&mut self, now: Instant, input: Input) {
        assert!(
            now >= self.now,
            "the driver's clock went back from {:?} to {now:?}",
            self.now
        );
        self.now = now;
        self.hold_playhead(now);
        // An input that concerns others leaves the node's own plans and deadline as they are.
        let concern = match self.undecided.plans {
            true => Concern::Plans,
            false => self.concern(&input),
        };
        self.search_plan.due |= concern::concerns_search(&input);
        let ends_dial = concern::ends_dial(&input);
        let complete = self.holdings.complete();
        self.take_in(now, input);
        // With a complete rendition its play, pin or expectation is over.
        let completed = self.holdings.complete() != complete;
        let plans = match concern {
            Concern::None => completed,
            Concern::Unmet => completed || self.unmet,
            Concern::Progress => completed || !self.is_short(now),
            Concern::Ended => completed || self.unmet || !self.is_short(now),
            Concern::Plans => true,
        };
        let undecided = &mut self.undecided;
        undecided.any = true;
        undecided.plans |= plans;
        undecided.requests |= matches!(concern, Concern::Progress | Concern::Ended);
        undecided.dials |= ends_dial;
    }

    /// Decides what follows from what came since the last decision.
    fn decide(&mut self) {
        let Undecided {
            any,
            plans,
            requests,
            dials,
        } = core::mem::take(&mut self.undecided);
        if !any {
            return;
        }
        let now = self.now;
        let concerns = self.watch_dials(now) || plans;
        let due = self.wake <= now || self.search_wake <= now;
        let looks = requests || self.hedge_wake <= now;
        if concerns || due || looks && self.watch_requests(now) {
            self.plan(now);
        } else if !self.shut_down {
            if dials && self.search_wake < Instant::MAX {
                // Holders are being looked for, and this may be one.
                self.plan_search(now);
            }
            if self.interest.has_newcomers() {
                self.tell_interest(false);
            }
            if self.neighbors.has_news() {
                self.tell_have(now);
            }
            self.plan_cache(now);
            self.plan_announces(now);
        }
    }

    /// Changes the state by what an input says.
    fn take_in(&mut self, now: Instant, input: Input) {
        match input {
            Input::Command(command) => self.handle_command(now, command),
            Input::Neighbor { peer, event } => self.handle_neighbor(now, peer, event),
            Input::Message { peer, message } => self.handle_message(now, peer, message),
            Input::SpanAsked {
                upload,
                peer,
                rendition,
                span,
                priority,
                deadline: _,
            } => {
                self.handle_span_asked(now, upload, peer, rendition, span, priority);
            }
            Input::UploadEnded {
                upload,
                sent,
                complete,
            } => {
                self.handle_upload_ended(now, upload, sent, complete);
            }
            Input::Fetch { fetch, event } => self.handle_fetch(now, fetch, event),
            Input::Tracker(event) => self.handle_tracker(now, event),
            Input::Store(event) => self.handle_store(now, event),
            Input::Timeout => {}
        }
    }

    /// [`NodeCore::handle`] with the outputs added to a queue of the driver's, so that many nodes share one. What
    /// follows comes with [`NodeCore::drain_into`].
    pub fn handle_into(&mut self, now: Instant, input: Input, outputs: &mut VecDeque<Output>) {
        self.with_outputs(outputs, |core| core.handle(now, input));
    }

    /// All effects to carry out, added to the same queue: nothing is left for [`NodeCore::poll_output`].
    pub fn drain_into(&mut self, outputs: &mut VecDeque<Output>) {
        self.with_outputs(outputs, Self::decide);
    }

    fn with_outputs(&mut self, outputs: &mut VecDeque<Output>, act: impl FnOnce(&mut Self)) {
        if !self.outputs.is_empty() {
            outputs.append(&mut self.outputs);
        }
        core::mem::swap(&mut self.outputs, outputs);
        act(self);
        core::mem::swap(&mut self.outputs, outputs);
    }

    /// The next effect to carry out, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.decide();
        let output = self.outputs.pop_front();
        if output.is_none() && self.outputs.capacity() > 4 {
            // An idle node keeps no queue.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`Input::Timeout`] is due, if at all. Ask after draining the outputs.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let wake = self.wake.min(self.hedge_wake);
        let wake = wake.min(self.search_wake).min(self.dial_wake());
        let wake = wake.min(self.announce_wake());
        (wake < Instant::MAX).then_some(wake)
    }

    /// The moment of the last input.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Counters since the start.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether all of a rendition is held.
    #[must_use]
    pub fn is_complete(&self, rendition: RenditionKey) -> bool {
        self.holdings.is_full(rendition)
    }

    /// Bytes of audio held.
    #[must_use]
    pub const fn held_bytes(&self) -> ByteCount {
        ByteCount(self.holdings.bytes())
    }

    /// A picture of the node for status pages.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let now = self.now;
        let play = self.playback.map(|play| PlaySnapshot {
            play: play.play,
            rendition: play.rendition,
            buffered: self.buffered(now),
            starved: play.starved,
            holders: self.availability.of(play.rendition).len(),
        });
        let neighbors = self.neighbors.iter().map(|neighbor| NeighborSnapshot {
            peer: neighbor.peer,
            rtt: neighbor.rtt(),
            rate: neighbor.estimate.rate(),
            measured: !neighbor.estimate.is_unknown(),
            in_flight: self.requests.to_peer(neighbor.peer),
        });
        let mut neighbors: Vec<_> = neighbors.collect();
        neighbors.sort_unstable_by_key(|neighbor| neighbor.peer);
        let in_flight = self.requests.iter();
        Snapshot {
            play,
            neighbors,
            in_flight: in_flight
                .map(|r| (r.source, r.rendition, r.span.count()))
                .collect(),
            uploads: self.uploads.active().len(),
            held_bytes: self.held_bytes(),
            renditions: self.holdings.len(),
            origin_down: self.origin.is_down(),
        }
    }

    /// Decides what follows from the present state, and when to look again.
    fn plan(&mut self, now: Instant) {
        (self.wake, self.hedge_wake) = (Instant::MAX, Instant::MAX);
        self.unmet = false;
        if self.shut_down {
            self.search_wake = Instant::MAX;
            return;
        }
        let looked = if self.lacks_something() {
            self.plan_fetches(now)
        } else {
            self.stop_searching();
            false
        };
        self.plan_placement(now);
        self.plan_news(now, looked);
        self.plan_cache(now);
        self.plan_announces(now);
    }

    /// What to fetch, from whom, and where to find holders. Whether that was looked at.
    fn plan_fetches(&mut self, now: Instant) -> bool {
        self.finish_pins();
        self.cancel_unwanted();
        self.give_up_silent(now);
        let looked = self.plan_search(now);
        self.plan_play(now);
        self.plan_prefetch(now);
        self.plan_pins(now);
        looked
    }

    /// Heap memory of this node's tables, without what its configuration shares. For memory
    /// budgets of simulations.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.holdings.heap_bytes()
            + self.outputs.capacity() * size_of::<Output>()
            + self.expected.len() * size_of::<Expected>()
            + (self.pins.capacity() + self.parked.capacity()) * size_of::<RenditionKey>()
            + self.availability.heap_bytes()
            + self.neighbors.heap_bytes()
            + self.contacts.heap_bytes()
            + self.requests.heap_bytes()
            + self.searches.capacity() * size_of::<Search>()
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Looks again at `at` at the latest.
    fn wake_at(&mut self, at: Instant) {
        self.wake = self.wake.min(at.max(self.now + WAKE_MIN));
    }

    const fn ignore(&mut self) {
        self.stats.ignored = self.stats.ignored.saturating_add(1);
    }
}
