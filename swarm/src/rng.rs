//! The core's only randomness: ChaCha8 from a seed, in 40 bytes a node.
//!
//! The block is computed anew for each draw, because draws are rare (ties, jitter, query ids) and
//! a buffered generator would cost each simulated node 300 bytes. Not for secrets.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// A seeded generator.
#[derive(Clone, Debug)]
pub struct SeededRng {
    seed: [u8; 32],
    draws: u64,
}

impl SeededRng {
    /// The generator of `seed`, at its start.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { seed, draws: 0 }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        let mut generator = ChaCha8Rng::from_seed(self.seed);
        generator.set_word_pos(u128::from(self.draws) * 2);
        self.draws = self.draws.wrapping_add(1);
        generator.next_u64()
    }

    /// A number below `bound`; zero if that is zero. The bias of the remainder is below 2^-32 for
    /// the bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        self.next_u64() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_does_not() {
        let draw = |seed| {
            let mut rng = SeededRng::new([seed; 32]);
            (rng.next_u64(), rng.next_u64(), rng.below(10))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let (first, second, small) = draw(1);
        assert!(first != second && small < 10);
    }

    #[test]
    fn draws_are_the_stream_of_the_named_generator() {
        let mut ours = SeededRng::new([7; 32]);
        let mut theirs = ChaCha8Rng::from_seed([7; 32]);
        for _ in 0..100 {
            assert_eq!(ours.next_u64(), theirs.next_u64());
        }
    }
}
