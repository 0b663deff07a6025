//! Connected peers.
//!
//! Not here: what they hold ([`crate::node::availability`]), those being dialed
//! ([`crate::node::contacts`]), penalties.

use antiphon_protocol::BitRate;

use crate::key::{PeerKey, RenditionKey};
use crate::limits::NEIGHBORS_HARD;
use crate::node::ranking::Estimate;
use crate::node::wants::Wants;
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
    /// When it may be sent a `Have` again.
    pub(crate) have_at: Instant,
    /// Searches it sent in the current second.
    pub(crate) finds: u8,
    pub(crate) finds_second: u16,
    pub(crate) wants: Wants,
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
            have_at: Instant::START,
            finds: 0,
            finds_second: 0,
            wants: Wants::default(),
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

/// All connected peers, by key.
#[derive(Debug, Default)]
pub(crate) struct Neighbors {
    /// The keys of `list`, dense: they are looked for far more often than a neighbor is read.
    keys: Vec<PeerKey>,
    list: Vec<Neighbor>,
    /// Bit `n` says whether what `list[n]` wants to hear of, or what we have of it, changed since it
    /// was last told.
    news: u64,
    /// Whether a bit of those was set since [`Neighbors::take_news`].
    news_due: bool,
}

impl Neighbors {
    /// Adds one; replaces what was known of an earlier connection. False when full.
    pub(crate) fn insert(&mut self, neighbor: Neighbor) -> bool {
        match self.at(neighbor.peer) {
            Ok(at) => self.list[at] = neighbor,
            Err(_) if self.list.len() >= NEIGHBORS_HARD => return false,
            Err(at) => {
                self.news = with_place(self.news, at);
                grow(&mut self.keys);
                grow(&mut self.list);
                self.keys.insert(at, neighbor.peer);
                self.list.insert(at, neighbor);
            }
        }
        true
    }

    pub(crate) fn remove(&mut self, peer: PeerKey) -> bool {
        let found = self.at(peer);
        if let Ok(at) = found {
            self.keys.remove(at);
            self.list.remove(at);
            // Whoever waits longest may be another one now.
            self.news_due |= self.news >> at & 1 == 1;
            self.news = without_place(self.news, at);
        }
        found.is_ok()
    }

    /// A neighbor said how many spans it serves at once, and whether it uploads at all.
    pub(crate) fn offers(&mut self, peer: PeerKey, spans_max: u8, uploads: bool) {
        if let Ok(at) = self.at(peer) {
            let neighbor = &mut self.list[at];
            neighbor.spans_max = spans_max;
            neighbor.uploads = uploads;
        }
    }

    pub(crate) fn is_connected(&self, peer: PeerKey) -> bool {
        self.at(peer).is_ok()
    }

    /// What can be served of a rendition changed: whoever wants to hear of it may be told.
    pub(crate) fn note_news(&mut self, rendition: RenditionKey) {
        for (at, neighbor) in self.list.iter().enumerate() {
            if neighbor.wants.contains(rendition) {
                self.news |= 1 << at;
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
        let Ok(at) = self.at(peer) else {
            return false;
        };
        self.list[at].wants.replace(renditions);
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

    /// The `n`-th of them, by the bits of [`Neighbors::take_news`].
    pub(crate) fn nth_mut(&mut self, at: usize) -> Option<&mut Neighbor> {
        self.list.get_mut(at)
    }

    /// The `n`-th of them is to be told later.
    pub(crate) fn postpone_news(&mut self, at: usize) {
        self.news |= 1 << at;
    }

    pub(crate) fn by_key(&self, peer: PeerKey) -> Option<&Neighbor> {
        self.at(peer).ok().map(|at| &self.list[at])
    }

    pub(crate) fn by_key_mut(&mut self, peer: PeerKey) -> Option<&mut Neighbor> {
        self.at(peer).ok().map(|at| &mut self.list[at])
    }

    pub(crate) fn iter(&self) -> core::slice::Iter<'_, Neighbor> {
        self.list.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> core::slice::IterMut<'_, Neighbor> {
        self.list.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let wants = self.list.iter().map(|n| n.wants.heap_bytes());
        self.list.capacity() * size_of::<Neighbor>()
            + self.keys.capacity() * size_of::<PeerKey>()
            + wants.sum::<usize>()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        if self.list.len() > NEIGHBORS_HARD || !self.list.is_sorted_by(|a, b| a.peer < b.peer) {
            return Err("neighbors are out of bounds or order".to_owned());
        }
        if !self.keys.iter().eq(self.list.iter().map(|n| &n.peer)) {
            return Err("the keys of the neighbors are not theirs".to_owned());
        }
        Ok(())
    }

    fn at(&self, peer: PeerKey) -> Result<usize, usize> {
        self.keys.binary_search(&peer)
    }
}

/// All bits below `at`.
const fn below(at: usize) -> u64 {
    (1 << at) - 1
}

/// The bits with a place made at `at`, which is 0.
const fn with_place(bits: u64, at: usize) -> u64 {
    bits & below(at) | (bits & !below(at)) << 1
}

/// The bits with the place at `at` taken out.
const fn without_place(bits: u64, at: usize) -> u64 {
    bits & below(at) | bits >> 1 & !below(at)
}

/// A bit for each neighbor.
const _: () = assert!(NEIGHBORS_HARD <= 63);

/// Makes room by a quarter, not by doubling: a million simulated nodes have neighbors.
pub(crate) fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 4 + 2);
    }
}
