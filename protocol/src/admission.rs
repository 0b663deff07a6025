//! Who may open a connection to a server: counts and paces newcomers by address, so that no
//! address takes all places, or all of a server's time for handshakes.
//!
//! An address that was not proven may be anybody's. So nothing that happens under an unproven
//! address shuts its owner out: at worst the owner must prove it, which costs a round trip.
//!
//! Everything is bounded: an address is remembered only while something of it is open, and
//! paces lie in a fixed number of slots, where addresses that meet by chance share one pace.
//!
//! Not here: sockets, clocks, and what a connection may do once it is open.

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rate::{Bucket, Rate};

/// Slots for paces, of proven and of unproven addresses each: 64 KiB of memory. Of 400 addresses
/// that come at the same time, one in ten shares its slot. Guess.
const SLOTS: usize = 4 * 1024;

/// What a server bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Connections at a time, those whose handshake is under way among them.
    pub connections: usize,
    /// The same of one address. Connections that began before it was proven may come on top, as
    /// many as [`Self::unproven_handshakes`].
    pub connections_per_address: usize,
    /// Handshakes under way at a time.
    pub handshakes: usize,
    /// The same of one proven address: who says nothing holds a handshake for seconds.
    pub handshakes_of_address: usize,
    /// Handshakes from unproven addresses under way at a time.
    pub unproven_handshakes: usize,
    /// How often one address may begin a handshake. As often again before it is proven.
    pub handshakes_per_address: Rate,
}

/// What becomes of a newcomer.
#[derive(Debug)]
pub enum Verdict {
    /// It may begin its handshake.
    Admit(Place),
    /// It shall prove its address and come again.
    Prove,
    /// Not now: the server has enough of all addresses together.
    Full,
    /// Not now: the server has enough of this address.
    AddressFull,
}

/// Decides about newcomers. Clones decide together.
#[derive(Clone, Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
    /// Random, so that nobody can aim at another's slot.
    key: [u8; 32],
    connections: usize,
    handshakes: usize,
    unproven_handshakes: usize,
    /// Connections whose address is proven. Each has one at least, so there are at most as many as
    /// connections.
    by_address: BTreeMap<AddressBlock, Open>,
    proven_paces: Vec<Bucket>,
    unproven_paces: Vec<Bucket>,
}

/// What a proven address has open.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    /// Those whose handshake is under way among them.
    connections: usize,
    handshakes: usize,
}

impl Admission {
    /// Nobody is there yet. `key` is random.
    #[must_use]
    pub fn new(limits: AdmissionLimits, key: [u8; 32]) -> Self {
        let paces = || vec![Bucket::full(limits.handshakes_per_address); SLOTS];
        let counts = Counts {
            key,
            connections: 0,
            handshakes: 0,
            unproven_handshakes: 0,
            by_address: BTreeMap::new(),
            proven_paces: paces(),
            unproven_paces: paces(),
        };
        Self {
            limits,
            counts: Arc::new(Mutex::new(counts)),
        }
    }

    /// Decides about a newcomer; `now` counts from whenever the server began.
    #[must_use]
    pub fn decide(&self, from: IpAddr, proven: bool, now: Duration) -> Verdict {
        let limits = &self.limits;
        let block = AddressBlock::of(from);
        let mut counts = lock(&self.counts);
        if counts.connections >= limits.connections || counts.handshakes >= limits.handshakes {
            return Verdict::Full;
        }
        let not_proven = !proven && counts.unproven_handshakes >= limits.unproven_handshakes;
        let open = counts.by_address.get(&block).copied().unwrap_or_default();
        if not_proven
            || open.connections >= limits.connections_per_address
            || proven && open.handshakes >= limits.handshakes_of_address
            || !counts.may_begin(block, proven, limits.handshakes_per_address, now)
        {
            return if proven {
                Verdict::AddressFull
            } else {
                Verdict::Prove
            };
        }
        counts.connections += 1;
        counts.handshakes += 1;
        if proven {
            let open = counts.by_address.entry(block).or_default();
            open.connections += 1;
            open.handshakes += 1;
        } else {
            counts.unproven_handshakes += 1;
        }
        let stage = Stage::Handshake { proven };
        Verdict::Admit(Place {
            block,
            stage: Mutex::new(stage),
            counts: Arc::clone(&self.counts),
        })
    }

    /// Connections there are, those whose handshake is under way among them.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.counts).connections
    }
}

impl Counts {
    fn may_begin(&mut self, block: AddressBlock, proven: bool, rate: Rate, now: Duration) -> bool {
        let slot = block.slot(&self.key);
        let paces = match proven {
            true => &mut self.proven_paces,
            false => &mut self.unproven_paces,
        };
        let pace = paces.get_mut(slot);
        pace.is_some_and(|pace| pace.take(rate, now, 1).is_ok())
    }
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    block: AddressBlock,
    stage: Mutex<Stage>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Handshake {
        proven: bool,
    },
    /// Over without a connection; what is left of it is counted under no address.
    Failed,
    /// Its address is proven by that.
    Connected,
}

impl Place {
    /// The handshake is over, with a connection or without one. Only the first call counts.
    pub fn handshake_over(&self, connected: bool) {
        let mut stage = lock(&self.stage);
        let Stage::Handshake { proven } = *stage else {
            return;
        };
        let mut counts = lock(&self.counts);
        counts.handshakes = counts.handshakes.saturating_sub(1);
        if !proven {
            counts.unproven_handshakes = counts.unproven_handshakes.saturating_sub(1);
        } else if let Some(open) = counts.by_address.get_mut(&self.block) {
            open.handshakes = open.handshakes.saturating_sub(1);
        }
        *stage = match (proven, connected) {
            (false, true) => {
                let open = counts.by_address.entry(self.block).or_default();
                open.connections += 1;
                Stage::Connected
            }
            (true, _) => Stage::Connected,
            (false, false) => Stage::Failed,
        };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshake_over(false);
        let stage = *lock(&self.stage);
        let mut counts = lock(&self.counts);
        counts.connections = counts.connections.saturating_sub(1);
        if matches!(stage, Stage::Connected)
            && let Some(open) = counts.by_address.get_mut(&self.block)
        {
            open.connections = open.connections.saturating_sub(1);
            if open.connections == 0 {
                counts.by_address.remove(&self.block);
            }
        }
    }
}

/// What is counted as one address: of IPv6 a whole /64, because a listener's line has as much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressBlock {
    /// One address.
    V4([u8; 4]),
    /// The first half of the addresses of one line.
    V6([u8; 8]),
}

impl AddressBlock {
    /// The block of an address. IPv4 inside IPv6 is IPv4.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }

    /// Its bytes, as a key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::V4(bytes) => bytes,
            Self::V6(bytes) => bytes,
        }
    }

    fn slot(&self, key: &[u8; 32]) -> usize {
        let hash = blake3::keyed_hash(key, self.as_bytes());
        let [low, high, ..] = *hash.as_bytes();
        usize::from(u16::from_le_bytes([low, high])) % SLOTS
    }
}

/// Every change is one step, so a panic elsewhere leaves nothing half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const NOW: Duration = Duration::ZERO;
    const ANNA: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const BERT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn admission(change: impl FnOnce(&mut AdmissionLimits)) -> Admission {
        let mut limits = AdmissionLimits {
            connections: 100,
            connections_per_address: 100,
            handshakes: 100,
            handshakes_of_address: 100,
            unproven_handshakes: 100,
            handshakes_per_address: Rate::per_second(1, 100),
        };
        change(&mut limits);
        Admission::new(limits, [7; 32])
    }

    fn admitted(verdict: Verdict) -> Place {
        match verdict {
            Verdict::Admit(place) => place,
            other => panic!("not admitted: {other:?}"),
        }
    }

    #[test]
    fn an_address_has_its_share_of_the_places_and_gets_them_back() {
        let admission = admission(|limits| limits.connections_per_address = 2);
        let first = admitted(admission.decide(ANNA, true, NOW));
        let second = admitted(admission.decide(ANNA, true, NOW));
        second.handshake_over(true);
        assert!(matches!(
            admission.decide(ANNA, true, NOW),
            Verdict::AddressFull
        ));
        let other = admitted(admission.decide(BERT, true, NOW));
        drop(first);
        let third = admitted(admission.decide(ANNA, true, NOW));
        assert_eq!(admission.connections(), 3);
        drop((second, other, third));
        assert_eq!(admission.connections(), 0);
        assert!(lock(&admission.counts).by_address.is_empty());
    }

    #[test]
    fn who_lets_handshakes_wait_leaves_some_to_others() {
        let admission = admission(|limits| {
            limits.handshakes = 4;
            limits.handshakes_of_address = 2;
        });
        let silent = admitted(admission.decide(ANNA, true, NOW));
        let done = admitted(admission.decide(ANNA, true, NOW));
        assert!(matches!(
            admission.decide(ANNA, true, NOW),
            Verdict::AddressFull
        ));
        let other = admitted(admission.decide(BERT, true, NOW));
        // A connection is no handshake any more.
        done.handshake_over(true);
        let next = admitted(admission.decide(ANNA, true, NOW));
        drop((silent, done, other, next));
        assert!(lock(&admission.counts).by_address.is_empty());
    }

    #[test]
    fn whoever_uses_an_address_without_proof_cannot_shut_its_owner_out() {
        let admission = admission(|limits| {
            limits.connections_per_address = 1;
            limits.handshakes_per_address = Rate::per_second(1, 3);
        });
        let forged: Vec<Place> = (0..3)
            .map(|_| admitted(admission.decide(ANNA, false, NOW)))
            .collect();
        assert!(matches!(admission.decide(ANNA, false, NOW), Verdict::Prove));
        let owner = admitted(admission.decide(ANNA, true, NOW));
        owner.handshake_over(true);
        drop(forged);
        assert!(matches!(
            admission.decide(ANNA, true, NOW),
            Verdict::AddressFull
        ));
    }

    #[test]
    fn a_handshake_that_ends_well_proves_the_address() {
        let admission = admission(|limits| {
            limits.connections_per_address = 1;
            limits.unproven_handshakes = 1;
        });
        let place = admitted(admission.decide(ANNA, false, NOW));
        assert!(matches!(admission.decide(BERT, false, NOW), Verdict::Prove));
        place.handshake_over(true);
        place.handshake_over(false);
        assert!(matches!(
            admission.decide(ANNA, true, NOW),
            Verdict::AddressFull
        ));
        let failed = admitted(admission.decide(BERT, false, NOW));
        failed.handshake_over(false);
        drop(failed);
        drop(place);
        assert!(lock(&admission.counts).by_address.is_empty());
        assert_eq!(lock(&admission.counts).unproven_handshakes, 0);
    }

    #[test]
    fn an_address_that_comes_too_often_waits() {
        let admission = admission(|limits| {
            limits.handshakes_per_address = Rate::per_second(10, 2);
        });
        for _ in 0..2 {
            drop(admitted(admission.decide(ANNA, true, NOW)));
        }
        assert!(matches!(
            admission.decide(ANNA, true, NOW),
            Verdict::AddressFull
        ));
        let later = Duration::from_millis(100);
        drop(admitted(admission.decide(ANNA, true, later)));
    }

    #[test]
    fn a_full_server_takes_nobody() {
        for change in [
            (|limits| limits.connections = 1) as fn(&mut AdmissionLimits),
            |limits| limits.handshakes = 1,
        ] {
            let admission = admission(change);
            let place = admitted(admission.decide(ANNA, true, NOW));
            assert!(matches!(admission.decide(BERT, true, NOW), Verdict::Full));
            assert!(matches!(admission.decide(BERT, false, NOW), Verdict::Full));
            drop(place);
            drop(admitted(admission.decide(BERT, true, NOW)));
        }
    }

    #[test]
    fn an_ipv6_line_is_one_address() {
        let of = |text: &str| AddressBlock::of(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
