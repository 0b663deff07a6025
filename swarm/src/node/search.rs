//! Finding holders: lookups at the tracker, overlay searches, dials.

use antiphon_protocol::QueryId;
use antiphon_protocol::error_code::ErrorCode;

use crate::key::{PeerKey, RenditionKey};
use crate::limits::{DIALS_MAX, FIND_HOPS_MAX, HOLDERS_PER_ANSWER_MAX, PARKED_RENDITIONS_MAX};
use crate::node::NodeCore;
use crate::node::availability::Believed;
use crate::node::few::Few;
use crate::node::input::{Message, TrackerEvent};
use crate::node::neighbors::FAILURES_MAX;
use crate::node::output::Output;
use crate::time::{Duration, Instant};

/// The state of the search for one rendition's holders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    pub(crate) rendition: RenditionKey,
    /// Not looked up before this.
    lookup_at: Instant,
    interval: Duration,
    /// When the lookup under way left.
    asked: Option<Instant>,
    /// When holders, be it none, were told last.
    told: Option<Instant>,
    /// Whether the last lookup failed or named nobody usable.
    fruitless: bool,
    /// Not searched in the overlay before this.
    find_at: Instant,
    find_interval: Duration,
    /// When the overlay was asked last.
    found_asked: Option<Instant>,
}

/// What the last search for holders came to, so that a pass of plans that nothing of it can have changed
/// goes without: it is what most of a pass would cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SearchPlan {
    /// Whether something came that may change it.
    pub(crate) due: bool,
    /// Whether the play was short of data.
    short: bool,
    /// Whether it had lacked somebody to ask for a while.
    wants_more: bool,
    /// Whether the last plan of it had no peer to ask for some of what it could be given.
    pub(crate) nobody: bool,
    /// Whether it would have dialed more, had there been room.
    unmet: bool,
}

impl Default for SearchPlan {
    fn default() -> Self {
        Self {
            due: true,
            short: false,
            wants_more: false,
            nobody: false,
            unmet: false,
        }
    }
}

impl NodeCore {
    pub(crate) fn handle_tracker(&mut self, now: Instant, event: TrackerEvent) {
        match event {
            TrackerEvent::Holders { rendition, holders } => {
                self.holders_named(now, rendition, holders);
            }
            TrackerEvent::Rtt(rtt) => self.tracker_rtt = rtt,
            TrackerEvent::Unreachable => {
                self.tracker_rtt = Duration::MAX;
                self.announcer.unreachable();
                for search in &mut self.searches {
                    search.fruitless = true;
                    search.asked = None;
                }
            }
            TrackerEvent::Reachable => {
                // Perhaps in another network.
                self.contacts.hope();
                self.announcer.reachable(now);
                for search in &mut self.searches {
                    search.lookup_at = now;
                }
            }
            TrackerEvent::AnnounceAll => self.announcer.everything_changed(now),
            TrackerEvent::Announced { again_after } => {
                // Spread over a tenth, so that nodes do not fall into step.
                let again = again_after.min(crate::limits::REMOTE_DURATION_MAX);
                let again = again.max(Duration::from_secs(10));
                let early = self.rng.below(again.as_micros() / 10);
                let again = again.saturating_sub(Duration::from_micros(early));
                self.announcer.again(now + again);
            }
        }
    }

    fn holders_named(
        &mut self,
        now: Instant,
        rendition: RenditionKey,
        holders: Vec<(PeerKey, bool)>,
    ) {
        if self.holdings.partial(rendition).is_none() || !self.config.peers {
            return;
        }
        if let Some(play) = self
            .playback
            .as_mut()
            .filter(|play| play.rendition == rendition)
        {
            play.holders_told = true;
        }
        if !self.wants(rendition) {
            self.park(rendition);
        }
        let mut usable = false;
        for (order, (peer, full)) in holders.iter().take(HOLDERS_PER_ANSWER_MAX).enumerate() {
            if *peer == PeerKey::OURSELVES {
                continue;
            }
            let order = u8::try_from(order).unwrap_or(u8::MAX);
            let connected = self.neighbors.is_connected(*peer);
            self.availability
                .named(rendition, (*peer, connected), *full, order);
            usable |=
                connected || self.contacts.may_dial(now, *peer) || self.contacts.is_dialed(*peer);
        }
        let config = self.config.search;
        let search = self.search_of(rendition);
        search.asked = None;
        search.told = Some(now);
        search.fruitless = !usable && (config.find_after_nobody || !holders.is_empty());
        // Holders told unasked count as a lookup.
        search.lookup_at = search
            .lookup_at
            .max(now + search.interval.max(config.lookup_min));
    }

    /// Remembers a rendition nothing wants yet, but maybe soon.
    fn park(&mut self, rendition: RenditionKey) {
        self.parked.retain(|parked| *parked != rendition);
        if self.parked.len() >= PARKED_RENDITIONS_MAX {
            let oldest = self.parked.remove(0);
            if !self.wants(oldest) {
                self.availability.keep_only(|key| key != oldest);
                self.searches.retain(|search| search.rendition != oldest);
            }
        }
        self.parked.push(rendition);
    }

    fn search_of(&mut self, rendition: RenditionKey) -> &mut Search {
        let at = match self
            .searches
            .iter()
            .position(|search| search.rendition == rendition)
        {
            Some(at) => at,
            None => {
                // Mostly one or two, each as large as a neighbor, in a million simulated nodes.
                self.searches.reserve_exact(1);
                self.searches.push(Search {
                    rendition,
                    lookup_at: Instant::START,
                    interval: self.config.search.lookup_min,
                    asked: None,
                    told: None,
                    fruitless: false,
                    find_at: Instant::START,
                    find_interval: self.config.search.find_interval,
                    found_asked: None,
                });
                self.searches.len() - 1
            }
        };
        &mut self.searches[at]
    }

    /// Whether the holders of what is played from now on were told just before. If that was longer
    /// ago, the license is here and no holders come with it: they are looked up at once.
    pub(crate) fn holders_at_start(&mut self, now: Instant, rendition: RenditionKey) -> bool {
        let fresh = self.config.search.lookup_min;
        let search = self.searches.iter_mut();
        let search = search.filter(|search| search.rendition == rendition);
        let told = search.filter_map(|search| search.told.map(|told| (search, told)));
        let Some((search, told)) = told.last() else {
            return false;
        };
        if now.since(told) < fresh {
            return true;
        }
        search.lookup_at = now;
        false
    }

    /// Whether it is known of late who holds a rendition, or cannot be known. If not, the tracker
    /// is asked, and its answer makes it known.
    pub(crate) fn holders_are_known(&mut self, now: Instant, rendition: RenditionKey) -> bool {
        if !self.config.peers || !self.announcer.is_reachable() {
            return true;
        }
        let config = self.config.search;
        let search = self.search_of(rendition);
        let recent = |at: Option<Instant>, time| at.is_some_and(|at| now.since(at) < time);
        if recent(search.told, config.lookup_min) {
            return true;
        }
        if search.asked.is_none() {
            search.lookup_at = now;
        }
        self.look_up(now, rendition, usize::MAX);
        // An answer that does not come is none.
        !self.search_pending(now, rendition)
    }

    /// Whether an answer to a search may still come.
    pub(crate) fn search_pending(&self, now: Instant, rendition: RenditionKey) -> bool {
        let patience = self.config.search.lookup_patience;
        let recent = |at: Option<Instant>| at.is_some_and(|at| now.since(at) < patience);
        self.searches
            .iter()
            .find(|search| search.rendition == rendition)
            .is_some_and(|search| recent(search.asked) || recent(search.found_asked))
    }

    /// Looks for holders of everything wanted that has too few connected ones, and connects to them. Whether there was
    /// anything to look at.
    pub(crate) fn plan_search(&mut self, now: Instant) -> bool {
        if !self.config.peers {
            return false;
        }
        let short = self.is_short(now);
        let last = self.search_plan;
        let wants_more = self.wants_more_holders(now);
        let changed = last.short != short || last.wants_more != wants_more;
        let looks = last.due || self.search_wake <= now || changed;
        if looks {
            let (wake, unmet) = (self.wake, self.unmet);
            (self.wake, self.unmet) = (Instant::MAX, false);
            self.search(now);
            self.search_wake = self.wake;
            self.search_plan = SearchPlan {
                due: false,
                short,
                wants_more,
                unmet: self.unmet,
                ..last
            };
            (self.wake, self.unmet) = (wake, unmet);
        }
        self.unmet |= self.search_plan.unmet;
        looks
    }

    /// Nothing is wanted that is not here.
    pub(crate) fn stop_searching(&mut self) {
        self.search_wake = Instant::MAX;
        self.search_plan = SearchPlan {
            due: false,
            ..SearchPlan::default()
        };
        if let Some(play) = &mut self.playback {
            play.lacking_since = Instant::MAX;
        }
    }

    fn search(&mut self, now: Instant) {
        let playing = self.playback.map(|play| play.rendition);
        let wants_more = self.wants_more_holders(now);
        for rendition in self.sought(now) {
            let config = &self.config.search;
            let wanted = match playing == Some(rendition) {
                true if wants_more => config.holders_most,
                true => config.holders_wanted,
                false => config.holders_ahead,
            };
            let have = self.connected_holders(rendition);
            if have < wanted {
                if let Some(until) = self.dials_wait(now) {
                    self.wake_at(until);
                    continue;
                }
                // What was told a while ago may be outdated: who has nobody does not rely on it.
                let lacking = if have > 0 { wanted - have } else { usize::MAX };
                self.look_up(now, rendition, lacking);
                self.find(now, rendition);
                self.dial_holders(now, rendition, wanted - have);
            }
        }
    }

    /// Whether the play has lacked somebody to ask for so long that more holders are wanted.
    pub(crate) fn wants_more_holders(&self, now: Instant) -> bool {
        let since = self
            .playback
            .map_or(Instant::MAX, |play| play.lacking_since);
        since < now && now.since(since) >= self.config.search.more_after
    }

    /// Notes since when the play lacks somebody to ask, and looks for more holders in time.
    pub(crate) fn note_lacking(&mut self, now: Instant) {
        let Some(play) = &mut self.playback else {
            return;
        };
        if !self.search_plan.nobody {
            play.lacking_since = Instant::MAX;
            return;
        }
        play.lacking_since = play.lacking_since.min(now);
        let more = play.lacking_since + self.config.search.more_after;
        if now < more {
            self.wake_at(more);
        }
    }

    /// What holders are looked for, most urgent first: the play, then, once that has sound, what
    /// is expected, then pins.
    fn sought(&mut self, now: Instant) -> Few {
        let mut sought = Few::default();
        let mut play_waits = None;
        let mut add = |rendition: RenditionKey| {
            if self.holdings.partial(rendition).is_some() {
                sought.add(rendition);
            }
        };
        let play = self.playback.as_ref();
        if let Some(play) = play.filter(|play| self.holdings.partial(play.rendition).is_some()) {
            // Holders usually come with the play; asking for them again would cost a request.
            let grace = play.began + self.holders_grace(play);
            let mut searches = self.searches.iter();
            let told = searches.any(|s| s.rendition == play.rendition && s.told.is_some());
            if told || now >= grace || !self.availability.of(play.rendition).is_empty() {
                add(play.rendition);
            } else {
                play_waits = Some(grace);
            }
        }
        if !self.is_short(now) {
            self.expected
                .iter()
                .for_each(|expected| add(expected.rendition));
            self.active_pins().for_each(add);
        }
        if let Some(grace) = play_waits {
            self.wake_at(grace);
        }
        sought
    }

    /// Connected neighbors that say to have something of it and upload. Who let us wait time and again does
    /// not count; who is known to be fast may count for more than one.
    pub(crate) fn connected_holders(&self, rendition: RenditionKey) -> usize {
        let brisk_counts = self.config.search.brisk_holder_counts;
        let spec = self.holdings.spec(rendition);
        let counts = self.availability.connected(rendition).filter_map(|claim| {
            let neighbor = self.neighbors.by_key(claim.peer)?;
            let full = claim.believed == Believed::Full;
            let brisk = full && spec.is_some_and(|spec| neighbor.is_brisk(spec.bit_rate));
            let usable = neighbor.uploads && neighbor.failures < FAILURES_MAX;
            usable.then_some(if brisk { brisk_counts } else { 1 })
        });
        counts.sum()
    }

    /// Whether so many holders are known that are being dialed or may be: others are not asked for before that came to
    /// nothing.
    fn has_untried(&self, now: Instant, rendition: RenditionKey, count: usize) -> bool {
        if !self.config.search.untried_first {
            return false;
        }
        let untried = self.untried(now, rendition);
        let untried = untried.filter(|claim| !self.contacts.is_slow(claim.peer));
        untried.take(count).count() == count
    }

    /// Asks the tracker for holders, if it is time to and fewer than `lacking` are known that may be had.
    fn look_up(&mut self, now: Instant, rendition: RenditionKey, lacking: usize) {
        let config = self.config.search;
        let search = self.search_of(rendition);
        if let Some(asked) = search.asked {
            let late = asked + config.lookup_patience;
            if now < late {
                return self.wake_at(late);
            }
            if now < asked + config.lookup_max {
                search.fruitless = true;
            }
        }
        let at = search.lookup_at;
        if now < at {
            return self.wake_at(at);
        }
        if self.has_untried(now, rendition, lacking) {
            return;
        }
        let search = self.search_of(rendition);
        search.asked = Some(now);
        search.lookup_at = now + search.interval;
        search.interval = search.interval.saturating_mul(2).min(config.lookup_max);
        let next = search.lookup_at.min(now + config.lookup_patience);
        self.wake_at(next);
        self.stats.lookups = self.stats.lookups.saturating_add(1);
        let limit = HOLDERS_PER_ANSWER_MAX as u8;
        self.emit(Output::Lookup { rendition, limit });
    }

    /// Asks the neighbors when the tracker is no help.
    fn find(&mut self, now: Instant, rendition: RenditionKey) {
        let longest = self.config.search.lookup_max;
        let helpless = !self.announcer.is_reachable();
        let search = self.search_of(rendition);
        if !search.fruitless && !helpless || self.neighbors.len() == 0 {
            return;
        }
        let search = self.search_of(rendition);
        let at = search.find_at;
        if now < at {
            return self.wake_at(at);
        }
        let interval = search.find_interval;
        search.find_at = now + interval;
        search.find_interval = interval.saturating_mul(2).min(longest);
        search.found_asked = Some(now);
        self.wake_at(now + interval);
        let query = QueryId(self.rng.next_u64());
        self.overlay.note(query, rendition, None);
        self.stats.finds = self.stats.finds.saturating_add(1);
        let peers: Vec<PeerKey> = self.neighbors.iter().map(|n| n.peer).collect();
        for peer in peers {
            let message = Message::Find {
                query,
                rendition,
                hops: FIND_HOPS_MAX,
            };
            self.emit(Output::Send { peer, message });
        }
    }

    /// Until when nobody is dialed: all dials so far were in vain, so there is no holder to wait for.
    pub(crate) fn dials_wait(&self, now: Instant) -> Option<Instant> {
        let until = self.contacts.vain_until(&self.config.search);
        (now < until && self.neighbors.len() == 0).then_some(until)
    }

    /// Dials that may be under way at once.
    fn dials_max(&self) -> usize {
        let in_vain = self.contacts.are_in_vain(&self.config.search);
        if in_vain && self.neighbors.len() == 0 {
            1
        } else {
            DIALS_MAX
        }
    }

    /// Dials `wanted` holders of a rendition, those under way included, as far as there is room.
    fn dial_holders(&mut self, now: Instant, rendition: RenditionKey, wanted: usize) {
        let dialing = self.contacts.dialing().count();
        let neighbors = self.neighbors.len() + dialing;
        let room = self.config.search.neighbors_soft.saturating_sub(neighbors);
        let room = room.min(self.dials_max().saturating_sub(dialing));
        self.unmet |= room < wanted;
        let mut wanted = wanted.min(room);
        let known = self.availability.of(rendition);
        let mut claims: Vec<(bool, u8, PeerKey)> = Vec::with_capacity(known.len());
        let not_here = known
            .iter()
            .filter(|claim| !claim.connected && claim.believed != Believed::Nothing);
        claims.extend(
            not_here.map(|claim| (claim.believed != Believed::Full, claim.order, claim.peer)),
        );
        claims.sort_unstable();
        for (_, _, peer) in claims {
            if self.contacts.is_dialed(peer) {
                if !self.contacts.is_slow(peer) {
                    wanted = wanted.saturating_sub(1);
                }
                continue;
            }
            if wanted == 0 {
                break;
            }
            if self.penalties.bars(now, peer) {
                continue;
            }
            if !self.contacts.may_dial(now, peer) {
                if let Some(at) = self.contacts.retry_at(peer) {
                    self.wake_at(at);
                }
                continue;
            }
            if self.contacts.dial(now, peer) {
                self.stats.dials = self.stats.dials.saturating_add(1);
                self.emit(Output::Dial { peer });
                wanted -= 1;
            }
        }
    }

    /// When a dial under way counts as slow or failed; the last moment there is without one. Apart
    /// from the other deadlines, because mostly it comes through.
    pub(crate) fn dial_wake(&self) -> Instant {
        self.contacts.dial_wake(&self.config.search)
    }

    /// Gives up dials that take too long, and marks those that are slow. Whether there were any.
    pub(crate) fn watch_dials(&mut self, now: Instant) -> bool {
        if now < self.dial_wake() {
            return false;
        }
        let config = self.config.search;
        let late = |at: Instant| now.since(at) >= config.dial_timeout;
        let timed_out: Vec<PeerKey> = self
            .contacts
            .dialing()
            .filter(|contact| late(contact.at))
            .map(|contact| contact.peer)
            .collect();
        for peer in timed_out {
            self.contacts.failed(now, peer, config.dial_backoff);
        }
        self.contacts.note_slow(now, config.dial_patience);
        self.search_plan.due = true;
        true
    }

    /// Parts with the least useful neighbors while there are too many.
    pub(crate) fn prune(&mut self, now: Instant) {
        while self.neighbors.len() > self.config.search.neighbors_soft {
            self.neighbors
                .iter_mut()
                .for_each(|neighbor| neighbor.age(now));
            let spare = self.neighbors.iter().filter(|neighbor| {
                let busy = self.requests.to_peer(neighbor.peer) > 0
                    || self
                        .uploads
                        .active()
                        .iter()
                        .any(|u| u.peer == neighbor.peer);
                // A newcomer has had no time to be useful.
                !busy && now.since(neighbor.since) >= NEWCOMER
            });
            let worst = spare.min_by_key(|neighbor| {
                let holds = self.availability.claims_of(neighbor.peer);
                (
                    holds > 0,
                    neighbor.useful_kib,
                    neighbor.outbound,
                    neighbor.since,
                    neighbor.peer,
                )
            });
            let Some(peer) = worst.map(|neighbor| neighbor.peer) else {
                return;
            };
            self.part_with(peer, Some(ErrorCode::PRUNED));
        }
    }
}

/// How long a new neighbor is not pruned. Guess: a few requests' time.
const NEWCOMER: Duration = Duration::from_secs(20);
