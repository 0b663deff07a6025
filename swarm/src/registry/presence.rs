//! Who is online, and whose word stands.
//!
//! What a peer announced in one session does not stand in the next: each session has a tag, and entries
//! carry that of theirs. So nothing is looked for when somebody leaves; what has fallen is counted, and
//! taken away later (`purge.rs`). Not here: what is held.

use crate::key::PeerKey;
use crate::registry::entry::Entry;
use crate::registry::paged::Paged;
use crate::registry::{PEER_RENDITIONS_MAX, PEERS_MAX, PeerProfile, expiry};
use crate::time::{Duration, Instant};

/// A joined peer.
#[derive(Debug)]
pub(super) struct Peer {
    profile: PeerProfile,
    /// Seconds since the start until which what it announced is believed.
    pub(super) until: u32,
    /// Seconds since the start at which its session began.
    began: u32,
    /// Entries of this session.
    told: u32,
    session: u8,
    /// Whether something it announced was forgotten because it went silent, or changed.
    forgotten: bool,
}

/// All joined peers.
#[derive(Debug, Default)]
pub(super) struct Presence {
    peers: Paged<PeerKey, Peer>,
    /// The tag of the latest session. Two sessions of one peer, or of two with its number, have the same only
    /// after 256 others in between, and are taken for one only if all that is within a second.
    session: u8,
    /// Entries in swarms that do not stand any more.
    fallen: usize,
}

impl Presence {
    /// How many entries have fallen because it is another than it was.
    pub(super) fn join(
        &mut self,
        now: Instant,
        lifetime: Duration,
        peer: PeerKey,
        profile: PeerProfile,
    ) -> usize {
        let began = expiry::to_seconds(now);
        if let Some(known) = self.peers.get_mut(peer) {
            if known.profile == profile {
                return 0;
            }
            known.profile = profile;
            return self.begin_session(peer, began);
        }
        if self.peers.len() < PEERS_MAX {
            self.session = self.session.wrapping_add(1);
            let session = self.session;
            self.peers.get_or_insert(peer, || Peer {
                profile,
                until: expiry::to_seconds(now + lifetime),
                began,
                told: 0,
                session,
                forgotten: false,
            });
        }
        0
    }

    /// How many entries have fallen with it.
    pub(super) fn leave(&mut self, peer: PeerKey) -> usize {
        let gone = self.peers.remove(peer);
        let told = gone.map_or(0, |gone| gone.told as usize);
        self.fallen += told;
        told
    }

    /// What a joined peer announced does not stand any more, and it should say all of it again: how many
    /// entries have fallen.
    pub(super) fn begin_session(&mut self, peer: PeerKey, began: u32) -> usize {
        let Some(known) = self.peers.get_mut(peer) else {
            return 0;
        };
        self.session = self.session.wrapping_add(1);
        let told = core::mem::take(&mut known.told) as usize;
        (known.session, known.began) = (self.session, began);
        known.forgotten |= told > 0;
        self.fallen += told;
        told
    }

    /// False if it should announce everything.
    pub(super) fn renew(&mut self, until: Instant, peer: PeerKey) -> bool {
        let Some(known) = self.peers.get_mut(peer) else {
            return false;
        };
        known.until = expiry::to_seconds(until);
        !core::mem::take(&mut known.forgotten)
    }

    /// What a joined peer says now of something that it has in part, which renews the rest.
    pub(super) fn says(&mut self, now: Instant, until: Instant, peer: PeerKey) -> Option<Entry> {
        let known = self.peers.get_mut(peer)?;
        known.until = expiry::to_seconds(until);
        let second = expiry::to_seconds(now);
        Some(Entry::new(peer, &known.profile, second, known.session))
    }

    /// Brings near where that is.
    pub(super) fn bring_page(&self, peer: PeerKey) {
        self.peers.bring_page(peer);
    }

    /// After [`Presence::bring_page`]: what is known of a peer.
    pub(super) fn bring(&self, peer: PeerKey) {
        self.peers.bring(peer);
    }

    pub(super) fn region(&self, peer: PeerKey) -> u8 {
        self.peers.get(peer).map_or(0, |peer| peer.profile.region)
    }

    /// Whether an entry was said in the present session of its peer.
    pub(super) fn stands(&self, entry: &Entry) -> bool {
        let peer = self.peers.get(entry.peer);
        peer.is_some_and(|peer| peer.said(entry))
    }

    /// Whether it stands and was repeated of late.
    pub(super) fn believes(&self, entry: &Entry, second: u32) -> bool {
        let peer = self.peers.get(entry.peer);
        peer.is_some_and(|peer| peer.said(entry) && peer.until > second)
    }

    /// Whether a peer may announce one more.
    pub(super) fn has_room(&self, peer: PeerKey) -> bool {
        let peer = self.peers.get(peer);
        peer.is_some_and(|peer| (peer.told as usize) < PEER_RENDITIONS_MAX)
    }

    /// An entry of a peer's present session is in a swarm.
    pub(super) fn added(&mut self, peer: PeerKey) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.told += 1;
        }
    }

    /// An entry is in no swarm any more.
    pub(super) fn removed(&mut self, entry: &Entry) {
        match self.peers.get_mut(entry.peer) {
            Some(peer) if peer.said(entry) => peer.told -= 1,
            _ => self.fallen -= 1,
        }
    }

    /// Entries in swarms that do not stand any more.
    pub(super) const fn fallen(&self) -> usize {
        self.fallen
    }

    pub(super) fn range_mut(
        &mut self,
        from: PeerKey,
    ) -> impl Iterator<Item = (PeerKey, &mut Peer)> {
        self.peers.range_mut(from)
    }

    /// Entries that stand.
    #[cfg(test)]
    pub(super) fn told(&self) -> usize {
        self.peers.values().map(|peer| peer.told as usize).sum()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.peers.bytes()
    }
}

impl Peer {
    const fn said(&self, entry: &Entry) -> bool {
        self.session == entry.session() && self.began <= entry.second()
    }

    pub(super) const fn told(&self) -> usize {
        self.told as usize
    }
}
