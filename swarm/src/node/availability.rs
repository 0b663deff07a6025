//! Who says to hold what, for renditions of interest only. Claims are hints: spans prove them.
//!
//! Not here: who is good, and who is connected, other than as a mark on each claim: of the dozens there
//! are few are of neighbors, and every look for somebody to ask goes through all.

use antiphon_protocol::ChunkIndex;
use antiphon_protocol::peer::{EXTENT_BYTES_MAX, EXTENT_UNIT_CHUNKS, Extent};

use crate::key::{PeerKey, RenditionKey};
use crate::limits::CLAIMS_MAX;
use crate::memory::bring_range;
use crate::time::Instant;

/// How much a peer is believed to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Believed {
    /// All of it.
    Full,
    /// Certain units.
    Units,
    /// Something, but not what: worth a connection, not a request.
    Something,
    /// Nothing: it declined, or said so.
    Nothing,
}

/// Units of a rendition, a bit each.
#[derive(Clone, Debug, Default)]
struct Units(Box<[u8]>);

impl Units {
    fn has(&self, unit: u32) -> bool {
        let byte = self.0.get(unit as usize / 8);
        byte.is_some_and(|byte| byte >> (unit % 8) & 1 == 1)
    }
}

/// One peer's claim on one rendition.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) peer: PeerKey,
    /// Place in the list that named it; lower is better.
    pub(crate) order: u8,
    pub(crate) believed: Believed,
    /// Whether the peer is a neighbor.
    pub(crate) connected: bool,
    /// Which units, if that is known. Apart, because few claims have any and there are dozens of them.
    units: Option<Box<Units>>,
    /// Not asked before this.
    pub(crate) retry_at: Instant,
}

impl Claim {
    /// Whether the peer is believed to hold `chunk`.
    pub(crate) fn covers(&self, chunk: ChunkIndex) -> bool {
        self.believed == Believed::Full || self.has_unit(chunk.0 / EXTENT_UNIT_CHUNKS)
    }

    /// The end of the run of chunks from `chunk` on that it covers, at most `end`.
    pub(crate) fn covers_until(&self, chunk: ChunkIndex, end: u32) -> u32 {
        if self.believed == Believed::Full {
            return end;
        }
        let mut unit = chunk.0 / EXTENT_UNIT_CHUNKS;
        while self.has_unit(unit) && unit * EXTENT_UNIT_CHUNKS < end {
            unit += 1;
        }
        (unit * EXTENT_UNIT_CHUNKS).min(end).max(chunk.0)
    }

    fn has_unit(&self, unit: u32) -> bool {
        self.units.as_deref().is_some_and(|units| units.has(unit))
    }

    fn believe(&mut self, believed: Believed, units: Option<Box<Units>>) {
        self.believed = believed;
        self.units = units;
    }
}

/// The claims on one rendition: a run of all.
#[derive(Clone, Copy, Debug)]
struct Group {
    rendition: RenditionKey,
    /// The place after its last.
    end: u16,
}

/// All claims, by rendition and peer.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    /// By rendition. A handful, so that looking through them is all it takes to find a rendition's claims.
    groups: Vec<Group>,
    claims: Vec<Claim>,
}

impl Availability {
    /// Brings near the claims, or as many as there mostly are. Guess.
    pub(crate) fn bring(&self) {
        bring_range(&self.groups, 0, 8);
        bring_range(&self.claims, 0, 24);
    }

    /// The tracker or a search named a holder.
    pub(crate) fn named(
        &mut self,
        rendition: RenditionKey,
        (peer, connected): (PeerKey, bool),
        full: bool,
        order: u8,
    ) {
        let believed = if full {
            Believed::Full
        } else {
            Believed::Something
        };
        match self.at(rendition, peer) {
            Ok(at) => {
                let claim = &mut self.claims[at];
                claim.order = order;
                // What the peer itself said is newer than what others say of it, but a holder
                // that declined may have it by now.
                if full && matches!(claim.believed, Believed::Something | Believed::Nothing) {
                    claim.believe(believed, None);
                }
            }
            Err(_) => self.insert(rendition, (peer, connected), order, (believed, None)),
        }
    }

    /// A neighbor itself said what it holds.
    pub(crate) fn said(&mut self, rendition: RenditionKey, peer: PeerKey, extent: Extent) {
        let (believed, units) = match extent {
            Extent::Full => (Believed::Full, None),
            Extent::Partial(units) if units.len() <= EXTENT_BYTES_MAX => {
                let units = Units(units.into_boxed_slice());
                (Believed::Units, Some(Box::new(units)))
            }
            Extent::Partial(_) => return,
            Extent::Gone => (Believed::Nothing, None),
        };
        match self.at(rendition, peer) {
            Ok(at) => {
                let claim = &mut self.claims[at];
                claim.believe(believed, units);
                claim.retry_at = Instant::START;
            }
            Err(_) if believed == Believed::Nothing => {}
            Err(_) => self.insert(rendition, (peer, true), u8::MAX, (believed, units)),
        }
    }

    /// The peer declined; it is not asked for this rendition before `retry_at`. With `lacks` it
    /// has nothing of it. True if it had claimed all of it.
    pub(crate) fn declined(
        &mut self,
        rendition: RenditionKey,
        peer: PeerKey,
        retry_at: Instant,
        lacks: bool,
    ) -> bool {
        let Ok(at) = self.at(rendition, peer) else {
            return false;
        };
        let claim = &mut self.claims[at];
        claim.retry_at = retry_at;
        let lied = lacks && claim.believed == Believed::Full;
        if lacks {
            claim.believe(Believed::Nothing, None);
        }
        lied
    }

    /// The peer is a neighbor from now on, or no more.
    pub(crate) fn note_connected(&mut self, peer: PeerKey, connected: bool) {
        let claims = self.claims.iter_mut().filter(|claim| claim.peer == peer);
        claims.for_each(|claim| claim.connected = connected);
    }

    /// The peer is gone for good, or not to be believed.
    pub(crate) fn forget_peer(&mut self, peer: PeerKey) {
        self.retain(|_, claim| claim.peer != peer);
    }

    /// Keeps only claims on renditions that `keep` wants.
    pub(crate) fn keep_only(&mut self, keep: impl Fn(RenditionKey) -> bool) {
        self.retain(|rendition, _| keep(rendition));
        if self.claims.capacity() > self.claims.len() + self.claims.len() / 2 + 16 {
            self.claims.shrink_to_fit();
        }
    }

    pub(crate) fn of(&self, rendition: RenditionKey) -> &[Claim] {
        &self.claims[self.group(rendition).1]
    }

    /// The claims of neighbors that are believed to have something of it.
    pub(crate) fn connected(&self, rendition: RenditionKey) -> impl Iterator<Item = &Claim> {
        let claims = self.of(rendition).iter();
        claims.filter(|claim| claim.connected && claim.believed != Believed::Nothing)
    }

    /// Where the group of a rendition is, or belongs, and the places of its claims: none at its place, if
    /// there are none.
    fn group(&self, rendition: RenditionKey) -> (usize, core::ops::Range<usize>) {
        let mut start = 0;
        for (at, group) in self.groups.iter().enumerate() {
            let end = usize::from(group.end);
            if group.rendition == rendition {
                return (at, start..end);
            }
            if group.rendition > rendition {
                return (at, start..start);
            }
            start = end;
        }
        (self.groups.len(), start..start)
    }

    fn retain(&mut self, keep: impl Fn(RenditionKey, &Claim) -> bool) {
        let groups = &mut self.groups;
        let (mut group, mut at, mut kept) = (0, 0, 0);
        self.claims.retain(|claim| {
            while groups[group].end <= at {
                groups[group].end = kept;
                group += 1;
            }
            at += 1;
            let stays = keep(groups[group].rendition, claim);
            kept += u16::from(stays);
            stays
        });
        groups
            .iter_mut()
            .skip(group)
            .for_each(|last| last.end = kept);
        self.drop_empty_groups();
    }

    fn drop_empty_groups(&mut self) {
        let mut before = 0;
        self.groups
            .retain(|group| core::mem::replace(&mut before, group.end) < group.end);
    }

    #[cfg(test)]
    fn claim(&self, rendition: RenditionKey, peer: PeerKey) -> Option<&Claim> {
        self.at(rendition, peer).ok().map(|at| &self.claims[at])
    }

    /// How many renditions the peer claims to have.
    pub(crate) fn claims_of(&self, peer: PeerKey) -> usize {
        let holds = |claim: &&Claim| claim.peer == peer && claim.believed != Believed::Nothing;
        self.claims.iter().filter(holds).count()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.claims.capacity() * size_of::<Claim>() + self.groups.capacity() * size_of::<Group>()
    }

    /// Whether the claims are in order, and marked as `is_connected` says.
    pub(crate) fn check(&self, is_connected: impl Fn(PeerKey) -> bool) -> Result<(), String> {
        let marked = |claim: &Claim| claim.connected == is_connected(claim.peer);
        if !self.claims.iter().all(marked) {
            return Err("a claim is not marked as its peer's connection is".to_owned());
        }
        let ends = self.groups.iter().map(|group| usize::from(group.end));
        let all = self.groups.last().map_or(0, |group| usize::from(group.end));
        let whole = all == self.claims.len();
        let filled =
            ends.is_sorted_by(|a, b| a < b) && self.groups.first().is_none_or(|g| g.end > 0);
        let grouped = self.groups.is_sorted_by(|a, b| a.rendition < b.rendition);
        let by_peer = |group: &Group| {
            self.of(group.rendition)
                .is_sorted_by(|a, b| a.peer < b.peer)
        };
        let ordered = whole && filled && grouped && self.groups.iter().all(by_peer);
        if self.claims.len() > CLAIMS_MAX || !ordered {
            return Err("claims are out of bounds or order".to_owned());
        }
        Ok(())
    }

    /// Where a claim is, or belongs.
    fn at(&self, rendition: RenditionKey, peer: PeerKey) -> Result<usize, usize> {
        let (_, run) = self.group(rendition);
        let start = run.start;
        let found = self.claims[run].binary_search_by_key(&peer, |claim| claim.peer);
        found.map(|at| start + at).map_err(|at| start + at)
    }

    /// When full, a claim that is worth nothing gives way; otherwise the new one is not kept.
    fn insert(
        &mut self,
        rendition: RenditionKey,
        (peer, connected): (PeerKey, bool),
        order: u8,
        (believed, units): (Believed, Option<Box<Units>>),
    ) {
        if self.claims.len() >= CLAIMS_MAX {
            let useless = |claim: &Claim| claim.believed == Believed::Nothing;
            let Some(useless) = self.claims.iter().position(useless) else {
                return;
            };
            self.remove(useless);
        } else if self.claims.len() == self.claims.capacity() {
            // By a quarter, not by doubling: a million simulated nodes have claims.
            self.claims.reserve_exact(self.claims.len() / 4 + 8);
        }
        let claim = Claim {
            peer,
            order,
            believed,
            connected,
            units,
            retry_at: Instant::START,
        };
        let at = self.at(rendition, peer).unwrap_or_else(|at| at);
        let (group, run) = self.group(rendition);
        if run.is_empty() {
            let end = run.start as u16;
            self.groups.insert(group, Group { rendition, end });
        }
        self.claims.insert(at, claim);
        let behind = self.groups.iter_mut().skip(group);
        behind.for_each(|group| group.end += 1);
    }

    fn remove(&mut self, at: usize) {
        self.claims.remove(at);
        let behind = self.groups.iter_mut();
        let behind = behind.filter(|group| usize::from(group.end) > at);
        behind.for_each(|group| group.end -= 1);
        self.drop_empty_groups();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const R: RenditionKey = RenditionKey(1);
    const P: PeerKey = PeerKey(1);

    #[test]
    fn partial_holders_cover_their_units_only() {
        let mut all = Availability::default();
        all.said(R, P, Extent::Partial(vec![0b101]));
        let claim = all.claim(R, P).expect("said");
        assert!(claim.covers(ChunkIndex(15)) && !claim.covers(ChunkIndex(16)));
        assert_eq!(claim.covers_until(ChunkIndex(3), 100), 16);
        assert_eq!(claim.covers_until(ChunkIndex(40), 100), 48);
        assert_eq!(claim.covers_until(ChunkIndex(40), 44), 44);
        assert_eq!(claim.covers_until(ChunkIndex(20), 100), 20);
    }

    #[test]
    fn a_decline_of_what_was_claimed_full_is_a_lie() {
        let mut all = Availability::default();
        all.named(R, (P, false), true, 0);
        assert!(!all.declined(R, P, Instant::from_micros(5), false));
        assert!(all.declined(R, P, Instant::from_micros(5), true));
        assert!(!all.claim(R, P).expect("kept").covers(ChunkIndex(0)));
    }

    #[test]
    fn claims_are_bounded_and_worthless_ones_give_way() {
        let mut all = Availability::default();
        for peer in 0..2 * CLAIMS_MAX as u32 {
            all.named(R, (PeerKey(peer), false), true, 0);
        }
        assert_eq!(all.of(R).len(), CLAIMS_MAX);
        all.declined(R, PeerKey(7), Instant::START, true);
        all.named(R, (PeerKey(9_999), false), true, 0);
        assert!(all.claim(R, PeerKey(9_999)).is_some() && all.claim(R, PeerKey(7)).is_none());
        all.check(|_| false).expect("in order");
    }

    /// Against a map, with claims that come and go in any order.
    #[test]
    fn the_claims_of_a_rendition_are_found_whatever_came_and_went() {
        let mut rng = crate::rng::SeededRng::new([5; 32]);
        let (mut all, mut oracle) = (Availability::default(), BTreeMap::new());
        for _ in 0..5_000 {
            let (rendition, peer) = (rng.below(6) as u32, rng.below(9) as u32);
            match rng.below(20) {
                0 => {
                    all.forget_peer(PeerKey(peer));
                    oracle.retain(|(_, other), ()| *other != peer);
                }
                1 => {
                    all.keep_only(|key| key.0 != rendition);
                    oracle.retain(|(other, _), ()| *other != rendition);
                }
                _ => {
                    all.named(RenditionKey(rendition), (PeerKey(peer), false), true, 0);
                    oracle.insert((rendition, peer), ());
                }
            }
            all.check(|_| false).expect("in order");
            for rendition in 0..6 {
                let found = all.of(RenditionKey(rendition)).iter();
                let found: Vec<u32> = found.map(|claim| claim.peer.0).collect();
                let known = oracle.range((rendition, 0)..(rendition + 1, 0));
                let known: Vec<u32> = known.map(|((_, peer), ())| *peer).collect();
                assert_eq!(found, known);
            }
        }
    }
}
