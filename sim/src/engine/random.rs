//! Chance by counting: draw `n` of an entity in a domain is a function of the run's seed and of
//! these three, so a draw more in one place shifts nothing elsewhere, and two variants share the
//! same people, plays and NATs.
//!
//! Transcendental functions come from `libm`, which computes the same on every target.

/// The draws of one entity in one domain, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    key: u64,
    count: u64,
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of SplitMix64: a bijection of 64 bits that passes the common test batteries.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Bits of a number in `0..1`.
pub const UNIT_BITS: u32 = 53;

/// The number that is so many steps from zero.
#[must_use]
pub const fn unit_of(steps: u64) -> f64 {
    steps as f64 / (1_u64 << UNIT_BITS) as f64
}

impl Draws {
    /// The draws of `entity` in `domain` under `seed`, from the first on.
    #[must_use]
    pub const fn of(seed: u64, domain: u64, entity: u64) -> Self {
        let key = mix(seed.wrapping_add(STEP));
        let key = mix(key ^ mix(domain.wrapping_add(STEP.wrapping_mul(3))));
        let key = mix(key ^ mix(entity.wrapping_add(STEP.wrapping_mul(5))));
        Self { key, count: 0 }
    }

    /// The next draw: 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.count = self.count.wrapping_add(1);
        mix(self.key.wrapping_add(self.count.wrapping_mul(STEP)))
    }

    /// A number below `bound`; zero if that is zero. The bias is below 2^-32 for bounds below 2^32.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A number in `0..1`, never 1, in steps of 2^-53.
    pub const fn unit(&mut self) -> f64 {
        unit_of(self.unit_steps())
    }

    /// The same, as how many of those steps it is.
    pub const fn unit_steps(&mut self) -> u64 {
        self.next() >> (u64::BITS - UNIT_BITS)
    }

    /// Whether something of this chance happens.
    pub const fn chance(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// Exponential with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -libm::log(1.0 - self.unit()) * mean
    }

    /// Standard normal, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(core::f64::consts::TAU * self.unit())
    }

    /// Log-normal with this median and this deviation of the logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * libm::exp(sigma * self.normal())
    }

    /// The index of one of `weights`, in proportion to them; zero if all are zero.
    pub fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.unit() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (index, weight) in weights.enumerate() {
            if weight > 0.0 {
                last = index;
                if left < weight {
                    return index;
                }
                left -= weight;
            }
        }
        last
    }

    /// 32 bytes, for generators that want a seed.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_domain_entity_and_number_alone() {
        let draw = |seed, domain, entity| {
            let mut draws = Draws::of(seed, domain, entity);
            (draws.next(), draws.next())
        };
        assert_eq!(draw(1, 2, 3), draw(1, 2, 3));
        let others = [draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4), draw(3, 2, 1)];
        assert!(others.iter().all(|other| *other != draw(1, 2, 3)));
    }

    #[test]
    fn the_moments_of_the_distributions_are_right() {
        let mut draws = Draws::of(7, 1, 1);
        let mean =
            |sample: &mut dyn FnMut() -> f64| (0..100_000).map(|_| sample()).sum::<f64>() / 1e5;
        assert!((mean(&mut || draws.unit()) - 0.5).abs() < 0.005);
        assert!((mean(&mut || draws.exponential(3.0)) - 3.0).abs() < 0.05);
        assert!(mean(&mut || draws.normal()).abs() < 0.01);
        let expected = 2.0 * libm::exp(0.125);
        assert!((mean(&mut || draws.log_normal(2.0, 0.5)) - expected).abs() < 0.02);
        let heavy = mean(&mut || draws.weighted([1.0, 0.0, 3.0].into_iter()) as f64);
        assert!((heavy - 1.5).abs() < 0.02);
    }

    #[test]
    fn the_numbers_never_change() {
        let mut draws = Draws::of(1, 2, 3);
        let first = (
            draws.next(),
            draws.below(1_000),
            draws.log_normal(10.0, 1.0).to_bits(),
        );
        let mut again = Draws::of(1, 2, 3);
        let second = (
            again.next(),
            again.below(1_000),
            again.log_normal(10.0, 1.0).to_bits(),
        );
        assert_eq!(first, second);
        assert_eq!(mix(1), 0x5692_161d_100b_05e5, "SplitMix64's own value");
    }
}
