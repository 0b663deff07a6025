//! Peers that are not connected: dials under way, and what earlier ones led to.
//!
//! Not here: whom to dial ([`crate::node::search`]), connected peers
//! ([`crate::node::neighbors`]).

use crate::key::PeerKey;
use crate::limits::CONTACTS_MAX;
use crate::lot;
use crate::node::config::SearchConfig;
use crate::node::neighbors::grow;
use crate::time::{Duration, Instant};

/// A peer that is not connected and was dialed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contact {
    pub(crate) peer: PeerKey,
    pub(crate) fails: u8,
    pub(crate) dialing: bool,
    /// Whether the dial takes so long that others are dialed beside it.
    slow: bool,
    /// While dialing: since when. Otherwise: not dialed before this.
    pub(crate) at: Instant,
}

/// What dialing led to, by the lots of the peers.
#[derive(Debug)]
pub(crate) struct Contacts {
    list: Vec<Contact>,
    /// When the oldest dial under way began that is not slow, and that is; the last moment there is without
    /// one.
    oldest: [Instant; 2],
    /// When a dial failed last.
    failed_at: Instant,
    /// Dials that failed since a peer was connected.
    in_vain: u8,
}

impl Default for Contacts {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            oldest: [Instant::MAX; 2],
            failed_at: Instant::START,
            in_vain: 0,
        }
    }
}

impl Contacts {
    pub(crate) fn may_dial(&self, now: Instant, peer: PeerKey) -> bool {
        self.at(peer)
            .map_or(true, |at| !self.list[at].dialing && self.list[at].at <= now)
    }

    pub(crate) fn is_dialed(&self, peer: PeerKey) -> bool {
        self.at(peer).is_ok_and(|at| self.list[at].dialing)
    }

    /// Whether the dial to it takes so long that it does not keep others from being dialed.
    pub(crate) fn is_slow(&self, peer: PeerKey) -> bool {
        self.at(peer)
            .is_ok_and(|at| self.list[at].dialing && self.list[at].slow)
    }

    /// When a failed peer may be dialed again.
    pub(crate) fn retry_at(&self, peer: PeerKey) -> Option<Instant> {
        let contact = self.list[self.at(peer).ok()?];
        (!contact.dialing).then_some(contact.at)
    }

    /// Notes a dial. False when there is no room.
    pub(crate) fn dial(&mut self, now: Instant, peer: PeerKey) -> bool {
        let Some(contact) = self.of(now, peer) else {
            return false;
        };
        (contact.dialing, contact.slow, contact.at) = (true, false, now);
        self.oldest[0] = self.oldest[0].min(now);
        true
    }

    /// What is known of a peer that is not connected. Nothing when there is no room.
    fn of(&mut self, now: Instant, peer: PeerKey) -> Option<&mut Contact> {
        let at = match self.at(peer) {
            Ok(at) => at,
            Err(_) => {
                if self.list.len() >= CONTACTS_MAX && !self.forget_one() {
                    return None;
                }
                let at = self.at(peer).unwrap_or_else(|at| at);
                grow(&mut self.list);
                let contact = Contact {
                    peer,
                    fails: 0,
                    dialing: false,
                    slow: false,
                    at: now,
                };
                self.list.insert(at, contact);
                at
            }
        };
        self.list.get_mut(at)
    }

    /// Not dialed for a while: the dial failed, or the connection ended badly.
    pub(crate) fn failed(&mut self, now: Instant, peer: PeerKey, backoff: Duration) {
        let Some(contact) = self.of(now, peer) else {
            return;
        };
        let dialed = core::mem::replace(&mut contact.dialing, false);
        contact.fails = contact.fails.saturating_add(1);
        contact.at = now + backoff.saturating_mul(1 << (contact.fails - 1).min(9));
        if dialed {
            self.in_vain = self.in_vain.saturating_add(1);
            self.failed_at = now;
        }
        self.dial_ended();
    }

    /// Peers may be reached that could not be before.
    pub(crate) const fn hope(&mut self) {
        self.in_vain = 0;
    }

    /// Whether so many dials failed since a peer was connected that one at a time is enough.
    pub(crate) const fn are_in_vain(&self, config: &SearchConfig) -> bool {
        config.vain_dials > 0 && self.in_vain >= config.vain_dials
    }

    /// Before this, that makes a further dial not worth it.
    pub(crate) fn vain_until(&self, config: &SearchConfig) -> Instant {
        if !self.are_in_vain(config) {
            return Instant::START;
        }
        let doublings = (self.in_vain - config.vain_dials).min(16);
        let wait = config.vain_wait.saturating_mul(1 << doublings);
        self.failed_at + wait.min(config.vain_wait_max)
    }

    pub(crate) fn connected(&mut self, peer: PeerKey) {
        self.hope();
        if let Ok(at) = self.at(peer) {
            self.list.remove(at);
            self.dial_ended();
        }
    }

    fn dial_ended(&mut self) {
        self.oldest = self.oldest_dials();
    }

    fn oldest_dials(&self) -> [Instant; 2] {
        let mut oldest = [Instant::MAX; 2];
        for contact in self.dialing() {
            let of_its_kind = &mut oldest[usize::from(contact.slow)];
            *of_its_kind = contact.at.min(*of_its_kind);
        }
        oldest
    }

    /// When a dial under way counts as slow or failed next; the last moment there is without one.
    pub(crate) fn dial_wake(&self, config: &SearchConfig) -> Instant {
        let [fast, slow] = self.oldest;
        let patience = |began: Instant, patience| match began {
            Instant::MAX => Instant::MAX,
            began => began + patience,
        };
        patience(fast, config.dial_patience).min(patience(slow, config.dial_timeout))
    }

    /// Notes which dials are slow by now.
    pub(crate) fn note_slow(&mut self, now: Instant, patience: Duration) {
        let dialing = self.list.iter_mut().filter(|contact| contact.dialing);
        dialing.for_each(|contact| contact.slow |= now.since(contact.at) >= patience);
        self.dial_ended();
    }

    /// Dials under way.
    pub(crate) fn dialing(&self) -> impl Iterator<Item = &Contact> {
        self.list.iter().filter(|contact| contact.dialing)
    }

    /// Brings near what is known of a peer.
    pub(crate) fn bring(&self, peer: PeerKey) {
        lot::bring_near(&self.list, peer.0);
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Contact>()
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let lots = self.list.iter().map(|contact| lot::lot(contact.peer.0));
        if self.list.len() > CONTACTS_MAX || !lots.is_sorted_by(|a, b| a < b) {
            return Err("contacts are out of bounds or order".to_owned());
        }
        if self.oldest != self.oldest_dials() {
            return Err("the oldest dials are not those noted".to_owned());
        }
        Ok(())
    }

    fn forget_one(&mut self) -> bool {
        let idle = self
            .list
            .iter()
            .enumerate()
            .filter(|(_, contact)| !contact.dialing);
        let oldest = idle.min_by_key(|(_, contact)| (contact.at, contact.peer));
        let Some(at) = oldest.map(|(at, _)| at) else {
            return false;
        };
        self.list.remove(at);
        true
    }

    fn at(&self, peer: PeerKey) -> Result<usize, usize> {
        lot::find(&self.list, peer.0, |contact| contact.peer.0)
    }
}
