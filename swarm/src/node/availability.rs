//! Who says to hold what, for renditions of interest only. Claims are hints: spans prove them.
//!
//! Not here: who is connected, who is good.

use antiphon_protocol::ChunkIndex;
use antiphon_protocol::peer::{EXTENT_BYTES_MAX, EXTENT_UNIT_CHUNKS, Extent};

use crate::key::{PeerKey, RenditionKey};
use crate::limits::CLAIMS_MAX;
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
    pub(crate) rendition: RenditionKey,
    pub(crate) peer: PeerKey,
    /// Place in the list that named it; lower is better.
    pub(crate) order: u8,
    pub(crate) believed: Believed,
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

/// All claims, by rendition and peer.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    claims: Vec<Claim>,
}

impl Availability {
    /// The tracker or a search named a holder.
    pub(crate) fn named(&mut self, rendition: RenditionKey, peer: PeerKey, full: bool, order: u8) {
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
            Err(at) => self.insert(at, rendition, peer, order, (believed, None)),
        }
    }

    /// The peer itself said what it holds.
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
            Err(at) => self.insert(at, rendition, peer, u8::MAX, (believed, units)),
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

    /// The peer is gone for good, or not to be believed.
    pub(crate) fn forget_peer(&mut self, peer: PeerKey) {
        self.claims.retain(|claim| claim.peer != peer);
    }

    /// Keeps only claims on renditions that `keep` wants.
    pub(crate) fn keep_only(&mut self, keep: impl Fn(RenditionKey) -> bool) {
        self.claims.retain(|claim| keep(claim.rendition));
        if self.claims.capacity() > self.claims.len() + self.claims.len() / 2 + 16 {
            self.claims.shrink_to_fit();
        }
    }

    pub(crate) fn of(&self, rendition: RenditionKey) -> &[Claim] {
        let start = self
            .claims
            .partition_point(|claim| claim.rendition < rendition);
        let rest = &self.claims[start..];
        let count = rest.partition_point(|claim| claim.rendition <= rendition);
        &rest[..count]
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
        self.claims.capacity() * size_of::<Claim>()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let key = |claim: &Claim| (claim.rendition, claim.peer);
        if self.claims.len() > CLAIMS_MAX || !self.claims.is_sorted_by(|a, b| key(a) < key(b)) {
            return Err("claims are out of bounds or order".to_owned());
        }
        Ok(())
    }

    fn at(&self, rendition: RenditionKey, peer: PeerKey) -> Result<usize, usize> {
        self.claims
            .binary_search_by_key(&(rendition, peer), |claim| (claim.rendition, claim.peer))
    }

    /// When full, a claim that is worth nothing gives way; otherwise the new one is not kept.
    fn insert(
        &mut self,
        at: usize,
        rendition: RenditionKey,
        peer: PeerKey,
        order: u8,
        (believed, units): (Believed, Option<Box<Units>>),
    ) {
        let claim = Claim {
            rendition,
            peer,
            order,
            believed,
            units,
            retry_at: Instant::START,
        };
        if self.claims.len() < CLAIMS_MAX {
            if self.claims.len() == self.claims.capacity() {
                // By a quarter, not by doubling: a million simulated nodes have claims.
                self.claims.reserve_exact(self.claims.len() / 4 + 8);
            }
            self.claims.insert(at, claim);
            return;
        }
        let useless = |claim: &Claim| claim.believed == Believed::Nothing;
        if let Some(useless) = self.claims.iter().position(useless) {
            self.claims.remove(useless);
            let at = if useless < at { at - 1 } else { at };
            self.claims.insert(at, claim);
        }
    }
}

#[cfg(test)]
mod tests {
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
        all.named(R, P, true, 0);
        assert!(!all.declined(R, P, Instant::from_micros(5), false));
        assert!(all.declined(R, P, Instant::from_micros(5), true));
        assert!(!all.claim(R, P).expect("kept").covers(ChunkIndex(0)));
    }

    #[test]
    fn claims_are_bounded_and_worthless_ones_give_way() {
        let mut all = Availability::default();
        for peer in 0..2 * CLAIMS_MAX as u32 {
            all.named(R, PeerKey(peer), true, 0);
        }
        assert_eq!(all.of(R).len(), CLAIMS_MAX);
        all.declined(R, PeerKey(7), Instant::START, true);
        all.named(R, PeerKey(9_999), true, 0);
        assert!(all.claim(R, PeerKey(9_999)).is_some() && all.claim(R, PeerKey(7)).is_none());
        all.check().expect("in order");
    }
}
