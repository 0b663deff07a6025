//! A rolling digest of everything that happened, to tell whether two runs were the same and, if
//! not, in which block of events they first differ. Not for secrets.

/// Events in one block.
pub const BLOCK_EVENTS: u64 = 1 << 20;

/// The digest of a run so far.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    low: u64,
    high: u64,
    events: u64,
    blocks: Vec<u128>,
}

impl Digest {
    /// Takes one event in: when, what kind, whom it concerns, what came of it.
    pub fn note(&mut self, time: u64, class: u8, entity: u64, outcome: u64) {
        self.fold(time ^ u64::from(class) << 56);
        self.fold(entity.rotate_left(32) ^ outcome);
        self.events += 1;
        if self.events.is_multiple_of(BLOCK_EVENTS) {
            self.blocks.push(self.value());
        }
    }

    fn fold(&mut self, word: u64) {
        // Two multiply-and-fold lanes with odd constants of wyhash.
        let product = u128::from(self.low ^ word ^ 0xa076_1d64_78bd_642f)
            * u128::from(self.high ^ 0xe703_7ed1_a0b4_28db);
        self.low = self.low.rotate_left(23).wrapping_add(product as u64) ^ word;
        self.high = self.high.rotate_left(41) ^ (product >> 64) as u64 ^ word.rotate_left(17);
    }

    /// The digest now.
    #[must_use]
    pub fn value(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }

    /// Events taken in.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The digest at the end of each whole block.
    #[must_use]
    pub fn blocks(&self) -> &[u128] {
        &self.blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_and_any_other_order_shows() {
        let digest = |events: &[(u64, u8, u64, u64)]| {
            let mut digest = Digest::default();
            for (time, class, entity, outcome) in events {
                digest.note(*time, *class, *entity, *outcome);
            }
            digest.value()
        };
        let base = digest(&[(1, 1, 1, 1), (2, 1, 1, 1)]);
        assert_eq!(base, digest(&[(1, 1, 1, 1), (2, 1, 1, 1)]));
        assert_ne!(base, digest(&[(2, 1, 1, 1), (1, 1, 1, 1)]));
        for other in [(1, 1, 1, 2), (1, 1, 2, 1), (1, 2, 1, 1), (3, 1, 1, 1)] {
            assert_ne!(base, digest(&[other, (2, 1, 1, 1)]));
        }
    }
}
