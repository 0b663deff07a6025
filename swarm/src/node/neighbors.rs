//! Connected peers.
//!
//! Not here: what they hold ([`crate::node::availability`]), those being dialed
//! ([`crate::node::contacts`]), penalties.

use antiphon_protocol::BitRate;

use crate::key::{PeerKey, RenditionKey};
use crate::limits::NEIGHBORS_HARD;
use crate::memory::{bring, bring_range};
use crate::node::ranking::Estimate;
use crate::node::wants::{Hints, Wants, hint_of};
use crate::time::{Duration, Instant};

/// A connected peer.
#[derive(Clone, Debug)]
pub(crate) struct Neighbor {
    pub(crate) peer: PeerKey,
    pub(crate) estimate: Estimate,
    rtt_micros: u32,
    /// Spans it serves us at once, already bounded.
    pub(crate) spans_max: u8,
    pub(crate) uploads: bool,
    pub(crate) outbound: bool,
    /// Requests it let stall or declined in a row.
    pub(crate) failures: u8,
    /// Not asked for anything before this.
    pub(crate) retry_at: Instant,
    pub(crate) since: Instant,
    /// KiB exchanged, halved every ten minutes: the published counters in one.
    pub(crate) useful_kib: u32,
    useful_epoch: u16,
    /// Which of our lists of interests it was told last; zero is none.
    pub(crate) interest_told: u16,
    /// Searches it sent in the current second.
    pub(crate) finds: u8,
    pub(crate) finds_second: u16,
}

/// Longest wait for a neighbor that declines every time, unless it asks for more. Guess: a few of the
/// spans it may be busy with.
const BUSY_MAX: Duration = Duration::from_secs(20);

/// How long a usefulness half-life lasts: the published 10-minute window.
const USEFUL_HALF_LIFE_MICROS: u64 = 600_000_000;

/// After so many failures in a row, others are looked for in its place. Without that limit, 2.3 % of
/// `eclipse` came from the origin, not 1.8, and 0.56 % of `freeriders`, not 0.46; one and three are no
/// better.
pub(crate) const FAILURES_MAX: u8 = 2;

/// Times the bit rate that a neighbor must be known to bring to count as fast: with 32, a unit of 256 KiB at
/// 160 kbit/s comes within 0.4 s. Guess.
const BRISK_TIMES: u64 = 32;

impl Neighbor {
    pub(crate) fn new(now: Instant, peer: PeerKey, outbound: bool, rtt: Duration) -> Self {
        let mut neighbor = Self {
            peer,
            estimate: Estimate::default(),
            rtt_micros: 0,
            spans_max: 1,
            uploads: false,
            outbound,
            failures: 0,
            retry_at: Instant::START,
            since: now,
            useful_kib: 0,
            useful_epoch: useful_epoch(now),
            interest_told: 0,
            finds: 0,
            finds_second: 0,
        };
        neighbor.set_rtt(rtt);
        neighbor
    }

    pub(crate) const fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt_micros as u64)
    }

    pub(crate) fn set_rtt(&mut self, rtt: Duration) {
        self.rtt_micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
    }

    /// Whether it is known to bring music of this rate much faster than it plays.
    pub(crate) fn is_brisk(&self, rate: BitRate) -> bool {
        let brisk = u64::from(rate.0.max(1)).saturating_mul(BRISK_TIMES) / 8;
        !self.estimate.is_unknown() && u64::from(self.estimate.rate()) >= brisk
    }

    /// Folds in a later measurement as TCP does.
    pub(crate) fn measured_rtt(&mut self, rtt: Duration) {
        let sample = rtt.as_micros().min(u64::from(u32::MAX));
        let mean = u64::from(self.rtt_micros) * 7 / 8 + sample / 8;
        self.rtt_micros = u32::try_from(mean).unwrap_or(u32::MAX);
    }

    /// Bytes went either way.
    pub(crate) fn used(&mut self, now: Instant, bytes: u64) {
        self.age(now);
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        self.useful_kib = self.useful_kib.saturating_add(kib);
    }

    pub(crate) fn age(&mut self, now: Instant) {
        let epoch = useful_epoch(now);
        let halvings = epoch.wrapping_sub(self.useful_epoch).min(31);
        self.useful_kib >>= halvings;
        self.useful_epoch = epoch;
    }

    /// It failed us: wait longer each time.
    pub(crate) fn back_off(&mut self, now: Instant, at_least: Duration) {
        self.failures = self.failures.saturating_add(1);
        let doubled = Duration::from_millis(250).saturating_mul(1 << self.failures.min(7));
        self.retry_at = self.retry_at.max(now + doubled.max(at_least));
    }

    /// It had no room, and said when to come back. Who never has any is asked ever more seldom.
    pub(crate) fn was_busy(&mut self, now: Instant, retry: Duration) {
        let longer = retry.saturating_mul(1 << self.failures.min(7));
        self.failures = self.failures.saturating_add(1);
        let wait = longer.min(BUSY_MAX).max(retry);
        self.retry_at = self.retry_at.max(now + wait);
    }
}

/// Comes again after 455 days, which no neighbor waits for.
const fn useful_epoch(now: Instant) -> u16 {
    (now.as_micros() / USEFUL_HALF_LIFE_MICROS) as u16
}

/// Where in the lists a neighbor is, and a glance at what it wants to hear of.
#[derive(Clone, Copy, Debug)]
struct Place {
    peer: PeerKey,
    at: u8,
    hints: Hints,
}

impl Place {
    const fn at(self) -> usize {
        self.at as usize
    }
}

/// All connected peers.
#[derive(Debug, Default)]
pub(crate) struct Neighbors {
    /// By key, dense: they are looked for far more often than a neighbor is read.
    places: Vec<Place>,
    /// In no order, so that nobody moves but the last when one goes.
    list: Vec<Neighbor>,
    /// What each of those wants to hear of. Apart: most news are compared with all of it.
    wants: Vec<Wants>,
    /// Bit `n` says whether what `list[n]` wants to hear of, or what we have of it, changed since it
    /// was last told.
    news: u64,
    /// Whether a bit of those was set since [`Neighbors::take_news`].
    news_due: bool,
}

impl Neighbors {
    /// Adds one; replaces what was known of an earlier connection. False when full.
    pub(crate) fn insert(&mut self, neighbor: Neighbor) -> bool {
        match self.place(neighbor.peer) {
            Ok(place) => {
                let place = &mut self.places[place];
                place.hints = Hints::default();
                let at = place.at();
                self.list[at] = neighbor;
                self.wants[at] = Wants::default();
            }
            Err(_) if self.list.len() >= NEIGHBORS_HARD => return false,
            Err(place) => {
                grow(&mut self.places);
                grow(&mut self.list);
                grow(&mut self.wants);
                let (peer, at) = (neighbor.peer, self.list.len() as u8);
                let hints = Hints::default();
                self.places.insert(place, Place { peer, at, hints });
                self.list.push(neighbor);
                self.wants.push(Wants::default());
            }
        }
        true
    }

    pub(crate) fn remove(&mut self, peer: PeerKey) -> bool {
        let Ok(place) = self.place(peer) else {
            return false;
        };
        let at = self.places.remove(place).at();
        let last = self.list.len() - 1;
        self.list.swap_remove(at);
        self.wants.swap_remove(at);
        if let Some(moved) = self.list.get(at)
            && let Ok(place) = self.place(moved.peer)
        {
            self.places[place].at = at as u8;
        }
        // Whoever waits longest may be another one now.
        self.news_due |= self.news >> at & 1 == 1;
        let of_last = self.news >> last & 1;
        self.news &= !(1 << at | 1 << last);
        if at < last {
            self.news |= of_last << at;
        }
        true
    }

    /// A neighbor said how many spans it serves at once, and whether it uploads at all.
    pub(crate) fn offers(&mut self, peer: PeerKey, spans_max: u8, uploads: bool) {
        if let Some(neighbor) = self.by_key_mut(peer) {
            neighbor.spans_max = spans_max;
            neighbor.uploads = uploads;
        }
    }

    pub(crate) fn is_connected(&self, peer: PeerKey) -> bool {
        self.place(peer).is_ok()
    }

    /// What can be served of a rendition changed: whoever wants to hear of it may be told.
    pub(crate) fn note_news(&mut self, rendition: RenditionKey) {
        if self.places.is_empty() {
            return;
        }
        let hint = hint_of(rendition);
        for place in self.places.iter().filter(|p| p.hints.may_have(hint)) {
            if self.wants[place.at()].contains(rendition) {
                self.news |= 1 << place.at;
                self.news_due = true;
            }
        }
    }

    /// Everything may be new to everybody.
    pub(crate) fn note_news_to_all(&mut self) {
        self.news = below(self.list.len());
        self.news_due = true;
    }

    /// A neighbor said what it wants to hear of. False if it is none.
    pub(crate) fn interested(&mut self, peer: PeerKey, renditions: &[RenditionKey]) -> bool {
        let Ok(place) = self.place(peer) else {
            return false;
        };
        let place = &mut self.places[place];
        let at = place.at();
        self.wants[at].replace(renditions);
        place.hints = self.wants[at].hints();
        self.news |= 1 << at;
        self.news_due = true;
        true
    }

    /// Whether somebody may have to be told something.
    pub(crate) const fn has_news(&self) -> bool {
        self.news_due
    }

    /// The same; asking takes the mark away.
    pub(crate) fn take_news_due(&mut self) -> bool {
        core::mem::take(&mut self.news_due)
    }

    /// Those that may have to be told something, who are waited for no more.
    pub(crate) fn take_news(&mut self) -> u64 {
        core::mem::take(&mut self.news)
    }

    /// The `n`-th of them, by the bits of [`Neighbors::take_news`], and what it wants to hear of.
    pub(crate) fn wants_of_nth(&mut self, at: usize) -> Option<(PeerKey, &mut Wants)> {
        let peer = self.list.get(at)?.peer;
        Some((peer, self.wants.get_mut(at)?))
    }

    /// The `n`-th of them is to be told later.
    pub(crate) fn postpone_news(&mut self, at: usize) {
        self.news |= 1 << at;
    }

    pub(crate) fn by_key(&self, peer: PeerKey) -> Option<&Neighbor> {
        self.at(peer).map(|at| &self.list[at])
    }

    pub(crate) fn by_key_mut(&mut self, peer: PeerKey) -> Option<&mut Neighbor> {
        self.at(peer).map(|at| &mut self.list[at])
    }

    /// All of them, in no order that means anything, but the same for the same inputs.
    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Neighbor> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> core::slice::IterMut<'_, Neighbor> {
        self.list.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Brings near where each of them is.
    pub(crate) fn bring(&self) {
        bring_range(&self.places, 0, NEIGHBORS_HARD);
    }

    /// Brings near one of them, if where that is is near already.
    pub(crate) fn bring_one(&self, peer: PeerKey) {
        if let Some(at) = self.at(peer) {
            bring(&self.list, at);
        }
    }

    /// Brings near where a newcomer is put.
    pub(crate) fn bring_end(&self) {
        let last = self.list.len().saturating_sub(1);
        bring(&self.list, last);
        bring(&self.wants, last);
    }

    /// The same as [`Neighbors::bring_one`], and what it wants to hear of.
    pub(crate) fn bring_with_wants(&self, peer: PeerKey) {
        if let Some(at) = self.at(peer) {
            bring(&self.list, at);
            bring(&self.wants, at);
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let wants = self.wants.iter().map(Wants::heap_bytes);
        self.list.capacity() * size_of::<Neighbor>()
            + self.wants.capacity() * size_of::<Wants>()
            + self.places.capacity() * size_of::<Place>()
            + wants.sum::<usize>()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let count = self.list.len();
        if count > NEIGHBORS_HARD || !self.places.is_sorted_by(|a, b| a.peer < b.peer) {
            return Err("neighbors are out of bounds or order".to_owned());
        }
        if [self.places.len(), self.wants.len()] != [count; 2] {
            return Err("the lists of neighbors differ in length".to_owned());
        }
        let is_right = |place: &Place| {
            let neighbor = self.list.get(place.at());
            let hinted = self.wants.get(place.at()).map(Wants::hints);
            neighbor.is_some_and(|n| n.peer == place.peer) && hinted == Some(place.hints)
        };
        if !self.places.iter().all(is_right) || self.news & !below(count) != 0 {
            return Err("the keys of the neighbors are not theirs".to_owned());
        }
        Ok(())
    }

    /// Where in the lists a neighbor is.
    fn at(&self, peer: PeerKey) -> Option<usize> {
        let place = self.place(peer).ok()?;
        self.places.get(place).map(|place| place.at())
    }

    fn place(&self, peer: PeerKey) -> Result<usize, usize> {
        self.places.binary_search_by_key(&peer, |place| place.peer)
    }
}

/// All bits below `at`.
const fn below(at: usize) -> u64 {
    (1 << at) - 1
}

/// A bit for each neighbor.
const _: () = assert!(NEIGHBORS_HARD <= 63);

/// Makes room by a quarter, not by doubling: a million simulated nodes have neighbors.
pub(crate) fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 4 + 2);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::SeededRng;

    /// Against a map: who is there, what each wants, and who has news, whoever comes and goes.
    #[test]
    fn those_that_stay_keep_what_they_want_and_their_news() {
        let mut rng = SeededRng::new([6; 32]);
        let mut neighbors = Neighbors::default();
        let mut model: BTreeMap<PeerKey, (u32, bool)> = BTreeMap::new();
        for step in 1..20_000 {
            let peer = PeerKey(rng.below(90) as u32);
            match rng.below(4) {
                0 => {
                    let full = model.len() >= NEIGHBORS_HARD && !model.contains_key(&peer);
                    let rtt = Duration::from_micros(u64::from(peer.0));
                    let neighbor = Neighbor::new(Instant::START, peer, true, rtt);
                    assert_eq!(neighbors.insert(neighbor), !full);
                    if !full {
                        let news = model.get(&peer).is_some_and(|(_, news)| *news);
                        model.insert(peer, (0, news));
                    }
                }
                1 => assert_eq!(neighbors.remove(peer), model.remove(&peer).is_some()),
                2 => {
                    let known = model.get_mut(&peer);
                    let is_known = known.is_some();
                    assert_eq!(neighbors.interested(peer, &[RenditionKey(step)]), is_known);
                    known.into_iter().for_each(|known| *known = (step, true));
                }
                _ => {
                    let mut news = neighbors.take_news();
                    let mut told = Vec::new();
                    while news != 0 {
                        let at = news.trailing_zeros() as usize;
                        news &= news - 1;
                        let (peer, _) = neighbors.wants_of_nth(at).expect("there");
                        told.push(peer);
                    }
                    told.sort_unstable();
                    let with_news = model.iter().filter(|(_, (_, news))| *news);
                    let expected: Vec<PeerKey> = with_news.map(|(peer, _)| *peer).collect();
                    assert_eq!(told, expected);
                    model.values_mut().for_each(|(_, news)| *news = false);
                }
            }
            assert_eq!(neighbors.check(), Ok(()));
            assert_eq!(neighbors.len(), model.len());
            for (peer, (wanted, _)) in &model {
                let rtt = neighbors.by_key(*peer).map(Neighbor::rtt);
                assert_eq!(rtt, Some(Duration::from_micros(u64::from(peer.0))));
                let at = neighbors.at(*peer).expect("there");
                let wants = &neighbors.wants[at];
                assert_eq!(wants.contains(RenditionKey(*wanted)), *wanted > 0);
            }
        }
    }
}
