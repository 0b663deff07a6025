//! Token buckets: how often somebody may ask. Tables have a fixed size, so that nobody can fill
//! them; callers that share a slot by chance share its allowance.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use antiphon_protocol::Millis;

/// Slots of a table: 1 MiB of memory; two callers of 10,000 share one rarely enough. Guess.
const SLOTS: usize = 1 << 16;
/// Locks over a table.
const SHARDS: usize = 16;
/// Fractions of a request that a bucket counts in.
const UNIT: u64 = 1_000_000;

/// How fast a bucket fills and how much it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Millionths of a request a second.
    per_second: u64,
    burst: u64,
}

impl Rate {
    pub(crate) fn per_second(requests: u32, burst: u32) -> Self {
        Self {
            per_second: u64::from(requests.max(1)) * UNIT,
            burst: u64::from(burst.max(1)) * UNIT,
        }
    }

    /// A minute's allowance may be used at once.
    pub(crate) fn per_minute(requests: u32) -> Self {
        Self {
            per_second: (u64::from(requests.max(1)) * UNIT / 60).max(1),
            burst: u64::from(requests.max(1)) * UNIT,
        }
    }
}

/// One caller's allowance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    left: u64,
    /// Micros since the owner's start.
    at: u64,
}

impl Bucket {
    const fn full(rate: Rate) -> Self {
        Self {
            left: rate.burst,
            at: 0,
        }
    }

    /// Takes `cost` requests, or says how long to wait for them.
    fn take(&mut self, rate: Rate, now: u64, cost: u32) -> Result<(), Millis> {
        let passed = now.saturating_sub(self.at);
        let gained = u128::from(passed) * u128::from(rate.per_second) / 1_000_000;
        let gained = u64::try_from(gained).unwrap_or(u64::MAX);
        self.left = self.left.saturating_add(gained).min(rate.burst);
        self.at = self.at.max(now);
        // A request dearer than the whole bucket takes all of it.
        let cost = (u64::from(cost) * UNIT).min(rate.burst);
        if let Some(left) = self.left.checked_sub(cost) {
            self.left = left;
            return Ok(());
        }
        let missing = cost - self.left;
        let millis = missing.saturating_mul(1_000).div_ceil(rate.per_second);
        Err(Millis(u32::try_from(millis).unwrap_or(u32::MAX)).clamped())
    }
}

/// One allowance for one owner, for example a connection.
pub(crate) struct Limiter {
    rate: Rate,
    start: Instant,
    bucket: Mutex<Bucket>,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            start: Instant::now(),
            bucket: Mutex::new(Bucket::full(rate)),
        }
    }

    pub(crate) fn take(&self, cost: u32) -> Result<(), Millis> {
        lock(&self.bucket).take(self.rate, micros(self.start.elapsed()), cost)
    }
}

/// Allowances for very many callers, by key.
pub(crate) struct LimiterTable {
    rate: Rate,
    start: Instant,
    /// Random, so that nobody can aim at another's slot.
    key: [u8; 32],
    shards: Vec<Mutex<Vec<Bucket>>>,
}

impl LimiterTable {
    pub(crate) fn new(rate: Rate) -> Self {
        let shard = || Mutex::new(vec![Bucket::full(rate); SLOTS / SHARDS]);
        Self {
            rate,
            start: Instant::now(),
            key: rand::random(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    pub(crate) fn take(&self, caller: &[u8], cost: u32) -> Result<(), Millis> {
        let hash = blake3::keyed_hash(&self.key, caller);
        let slot = hash.as_bytes().iter().take(4).fold(0_usize, |slot, byte| {
            (slot << 8 | usize::from(*byte)) % SLOTS
        });
        let shard = self.shards.get(slot % SHARDS);
        let mut shard = lock(shard.expect("the remainder is below the number of shards"));
        let bucket = shard.get_mut(slot / SHARDS);
        let bucket = bucket.expect("a slot's quotient is below the size of a shard");
        bucket.take(self.rate, micros(self.start.elapsed()), cost)
    }
}

/// What an address is counted under: an IPv6 user has a whole /64.
pub(crate) fn address_key(ip: IpAddr) -> Vec<u8> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().iter().copied().take(8).collect(),
    }
}

/// A bucket is a plain number: a panic elsewhere cannot have left it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate_and_says_when() {
        let rate = Rate::per_second(10, 3);
        let mut bucket = Bucket::full(rate);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, 0, 1), Ok(()));
        }
        assert_eq!(bucket.take(rate, 0, 1), Err(Millis(100)));
        assert_eq!(bucket.take(rate, 99_000, 1), Err(Millis(1)));
        assert_eq!(bucket.take(rate, 100_000, 1), Ok(()));
        assert_eq!(bucket.take(rate, u64::MAX, 3), Ok(()));
        assert!(bucket.take(rate, u64::MAX, 1).is_err());
    }

    #[test]
    fn a_request_dearer_than_the_bucket_is_still_possible() {
        let rate = Rate::per_second(10, 3);
        let mut bucket = Bucket::full(rate);
        assert_eq!(bucket.take(rate, 0, 1_000), Ok(()));
        assert!(bucket.take(rate, 0, 1).is_err());
    }

    #[test]
    fn callers_have_their_own_allowance() {
        let table = LimiterTable::new(Rate::per_minute(2));
        assert!(table.take(b"a", 2).is_ok());
        assert!(table.take(b"a", 1).is_err());
        assert!(table.take(b"b", 2).is_ok() || table.take(b"c", 2).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_caller() {
        let key = |text: &str| address_key(text.parse().unwrap());
        assert_eq!(key("2001:db8::1"), key("2001:db8::2"));
        assert_ne!(key("2001:db8::1"), key("2001:db8:0:1::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
    }
}
