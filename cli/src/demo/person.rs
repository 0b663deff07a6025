//! How a demo listener behaves: what to play, for how long, and when to choose anew.
//!
//! Shares from `docs/simulation.md`'s workload: 39 % of plays are chosen, 61 % follow in order;
//! 25 % end within 5 s, 35 % within 30 s, 48.6 % before the end. Popularity is Zipf with
//! exponent 1.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Share of plays that somebody chose rather than let follow.
const CHOSEN: f64 = 0.39;
/// Tracks that follow a chosen one in the queue, at most.
const FOLLOWING: usize = 6;

/// One simulated person with a taste of his own.
pub struct Person {
    rng: StdRng,
    tracks: usize,
}

/// What a person does when a play begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Patience {
    /// Hears it to its end.
    ToTheEnd,
    /// Leaves after this time.
    Leaves(Duration),
}

impl Person {
    /// Person `number` of a demo with `seed`, before a catalog of `tracks`.
    pub fn new(seed: u64, number: u64, tracks: usize) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number)),
            tracks,
        }
    }

    /// How long after the start this person comes.
    pub fn arrival(&mut self, within: Duration) -> Duration {
        within.mul_f64(self.rng.random())
    }

    /// Indexes of the tracks to play: one chosen by popularity, the rest in order after it.
    pub fn choose(&mut self) -> Vec<usize> {
        let first = self.popular();
        (0..=FOLLOWING)
            .map(|step| (first + step) % self.tracks)
            .collect()
    }

    /// Whether the person chooses anew, rather than lets the queue go on.
    pub fn chooses(&mut self) -> bool {
        self.rng.random_bool(CHOSEN)
    }

    /// How long a play of this length is heard.
    pub fn patience(&mut self, length: Duration) -> Patience {
        let draw: f64 = self.rng.random();
        let (from, to) = match draw {
            draw if draw < 0.25 => (0.8, 5.0),
            draw if draw < 0.35 => (5.0, 30.0),
            draw if draw < 0.486 => (30.0, length.as_secs_f64()),
            _ => return Patience::ToTheEnd,
        };
        let after = from + (to - from).max(0.0) * self.rng.random::<f64>();
        if after >= length.as_secs_f64() {
            return Patience::ToTheEnd;
        }
        Patience::Leaves(Duration::from_secs_f64(after))
    }

    fn popular(&mut self) -> usize {
        let total: f64 = (1..=self.tracks).map(|rank| 1.0 / rank as f64).sum();
        let mut draw = self.rng.random::<f64>() * total;
        for rank in 1..=self.tracks {
            draw -= 1.0 / rank as f64;
            if draw <= 0.0 {
                return rank - 1;
            }
        }
        self.tracks - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_the_published_ones() {
        let mut person = Person::new(1, 1, 12);
        let length = Duration::from_secs(60);
        let plays = 20_000;
        let (mut early, mut left, mut first) = (0, 0, 0);
        for _ in 0..plays {
            if let Patience::Leaves(after) = person.patience(length) {
                left += 1;
                early += u32::from(after < Duration::from_secs(5));
            }
            first += u32::from(person.choose()[0] == 0);
        }
        let share = |count: u32| f64::from(count) / f64::from(plays);
        assert!((share(early) - 0.25).abs() < 0.02);
        assert!((share(left) - 0.486).abs() < 0.02);
        // Zipf over 12: 1 / H(12).
        assert!((share(first) - 0.322).abs() < 0.02);
    }
}
