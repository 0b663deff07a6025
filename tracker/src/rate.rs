//! How often somebody may ask, on the system's clock. Tables have a fixed size, so that nobody can
//! fill them; callers that share a slot by chance share its allowance.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use antiphon_protocol::Millis;
use antiphon_protocol::rate::{Bucket, Rate};

/// Slots of a table: 1 MiB of memory; two callers of 10,000 share one rarely enough. Guess.
const SLOTS: usize = 1 << 16;
/// Locks over a table.
const SHARDS: usize = 16;
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
        let taken = lock(&self.bucket).take(self.rate, self.start.elapsed(), cost);
        taken.map_err(retry_after)
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
        let taken = bucket.take(self.rate, self.start.elapsed(), cost);
        taken.map_err(retry_after)
    }
}

/// A bucket is a plain number: a panic elsewhere cannot have left it half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn retry_after(wait: Duration) -> Millis {
    let millis = wait.as_micros().div_ceil(1_000);
    Millis(u32::try_from(millis).unwrap_or(u32::MAX)).clamped()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_have_their_own_allowance() {
        let table = LimiterTable::new(Rate::per_minute(2));
        assert!(table.take(b"a", 2).is_ok());
        assert!(table.take(b"a", 1).is_err());
        assert!(table.take(b"b", 2).is_ok() || table.take(b"c", 2).is_ok());
    }

    #[test]
    fn waits_are_whole_milliseconds_and_never_too_short() {
        assert_eq!(retry_after(Duration::from_micros(1)), Millis(1));
        assert_eq!(retry_after(Duration::from_millis(100)), Millis(100));
    }
}
