//! How often each rank of the catalog is played: Zipf's law. Not here: what the tracks are ([`super::catalog`]).

use crate::engine::random::{Draws, UNIT_BITS, unit_of};

/// Pieces of the curve, which are so many bits of a draw. With so many the curve is met to a thousandth of a rank in
/// catalogs of millions, and they take 40 KiB, which a processor keeps near.
const PIECE_BITS: u32 = 10;

/// Bits of a draw behind those.
const WITHIN_BITS: u32 = UNIT_BITS - PIECE_BITS;

/// A piece over which ranks grow by more is not used: its error might be far from that where it was looked at. Guess; a
/// test compares the ranks with those of the exact way.
const GROWTH_MAX: f64 = 1.1;

/// What a piece may be off, as a multiple of what it is where it was looked at. Guess, as that is.
const CAUTION: f64 = 8.0;

/// Zipf's law over ranks 1 to `n`, drawn by rejection and inversion (Hörmann and Derflinger 1996). The inverse
/// takes a logarithm and an exponential, which are most of what a warm cache costs; so it is approximated first, and
/// computed only where the approximation leaves open which rank it is.
#[derive(Debug)]
pub(super) struct Zipf {
    n: f64,
    s: f64,
    low: f64,
    high: f64,
    /// A draw that lies no further than this below its rank is never rejected.
    sure: f64,
    pieces: Vec<Piece>,
}

/// The inverse over a part of its range: a cubic with the value and the slope of the curve at both ends.
#[derive(Clone, Copy, Debug)]
struct Piece {
    cubic: [f64; 4],
    /// How far from the curve it may be.
    off: f64,
}

impl Zipf {
    /// The law in which the most popular `top` of all take `takes` of the plays.
    pub(super) fn new(n: u32, top: f64, takes: f64) -> Self {
        let n = f64::from(n.max(1));
        let head = (n * top).max(1.0);
        let (mut low, mut high) = (0.0, 4.0);
        for _ in 0..60 {
            let s = (low + high) / 2.0;
            if harmonic(head, s) / harmonic(n, s) < takes {
                low = s;
            } else {
                high = s;
            }
        }
        let s = (low + high) / 2.0;
        let mut law = Self {
            n,
            s,
            low: 0.0,
            high: 0.0,
            sure: 0.0,
            pieces: Vec::new(),
        };
        law.low = law.integral(1.5) - 1.0;
        law.high = law.integral(n + 0.5);
        law.sure = 2.0 - law.inverse(law.integral(2.5) - libm::pow(2.0, -law.s));
        law.pieces = (0..1 << PIECE_BITS).map(|at| law.piece(at)).collect();
        law
    }

    /// A rank, from zero on.
    pub(super) fn draw(&self, draws: &mut Draws) -> u32 {
        loop {
            let drawn = draws.unit_steps();
            if let Some(rank) = self.quick(drawn).or_else(|| self.exact(drawn)) {
                return rank;
            }
        }
    }

    /// The rank that [`Zipf::exact`] gives, if the approximation tells.
    fn quick(&self, drawn: u64) -> Option<u32> {
        let Piece { cubic, off } = self.pieces.get((drawn >> WITHIN_BITS) as usize)?;
        let x = at(
            cubic,
            (drawn % (1 << WITHIN_BITS)) as f64 / (1_u64 << WITHIN_BITS) as f64,
        );
        let rank = (x + 0.5) as u32;
        let before = f64::from(rank) - x;
        let is_clear = before.abs() + off < 0.5 && before + off <= self.sure;
        (is_clear && 1 <= rank && f64::from(rank) <= self.n).then(|| rank - 1)
    }

    /// The rank of a draw; nothing if it is rejected.
    #[cold]
    #[inline(never)]
    fn exact(&self, drawn: u64) -> Option<u32> {
        let u = self.integral_at(unit_of(drawn));
        let x = self.inverse(u);
        let rank = libm::round(x).clamp(1.0, self.n);
        let is_taken =
            rank - x <= self.sure || u >= self.integral(rank + 0.5) - libm::pow(rank, -self.s);
        is_taken.then_some(rank as u32 - 1)
    }

    /// From its greatest value on.
    fn integral_at(&self, unit: f64) -> f64 {
        self.high + unit * (self.low - self.high)
    }

    fn piece(&self, number: u32) -> Piece {
        let pieces = f64::from(1 << PIECE_BITS);
        let curve = |t: f64| self.inverse(self.integral_at((f64::from(number) + t) / pieces));
        let [x, end] = [curve(0.0), curve(1.0)];
        // The curve is the inverse of an integral of x^-s.
        let slope_at = |x: f64| libm::pow(x, self.s) * (self.low - self.high) / pieces;
        let [slope, end_slope] = [slope_at(x), slope_at(end)];
        let cubic = [
            x,
            slope,
            3.0 * (end - x) - 2.0 * slope - end_slope,
            2.0 * (x - end) + slope + end_slope,
        ];
        let error = |t: f64| (at(&cubic, t) - curve(t)).abs();
        let error = [0.25, 0.5, 0.75].map(error).into_iter().fold(0.0, f64::max);
        // Besides, what both computations round off.
        let off = error * CAUTION + x * 1e-11;
        let is_tame = x <= end * GROWTH_MAX && off.is_finite();
        Piece {
            cubic,
            off: if is_tame { off } else { f64::INFINITY },
        }
    }

    /// The integral of x^-s.
    fn integral(&self, x: f64) -> f64 {
        let log = libm::log(x);
        let t = (1.0 - self.s) * log;
        // Near s = 1 the quotient is taken from its series.
        if t.abs() < 1e-8 {
            log * (1.0 + t / 2.0)
        } else {
            libm::expm1(t) / (1.0 - self.s)
        }
    }

    fn inverse(&self, u: f64) -> f64 {
        let t = u * (1.0 - self.s);
        let log = if t.abs() < 1e-8 {
            u * (1.0 - t / 2.0)
        } else {
            libm::log1p(t) / (1.0 - self.s)
        };
        libm::exp(log)
    }
}

/// The value of a cubic.
fn at(cubic: &[f64; 4], t: f64) -> f64 {
    cubic[0] + t * (cubic[1] + t * (cubic[2] + t * cubic[3]))
}

/// The generalized harmonic number, by Euler and Maclaurin behind the first thousand terms.
fn harmonic(n: f64, s: f64) -> f64 {
    let exact = n.min(1_000.0);
    let mut sum: f64 = (1..=exact as u32)
        .map(|k| libm::pow(f64::from(k), -s))
        .sum();
    if n > exact {
        let (a, b) = (exact, libm::floor(n));
        let integral = if (s - 1.0).abs() < 1e-9 {
            libm::log(b / a)
        } else {
            (libm::pow(b, 1.0 - s) - libm::pow(a, 1.0 - s)) / (1.0 - s)
        };
        sum += integral + (libm::pow(b, -s) - libm::pow(a, -s)) / 2.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_takes_its_share_of_the_plays() {
        for tracks in [1_000, 100_000, 8_000_000] {
            let law = Zipf::new(tracks, 0.12, 0.88);
            let mut draws = Draws::of(1, 1, u64::from(tracks));
            let top = f64::from(tracks) * 0.12;
            let hits = (0..50_000)
                .filter(|_| f64::from(law.draw(&mut draws)) < top)
                .count();
            let share = hits as f64 / 5e4;
            assert!(
                (share - 0.88).abs() < 0.01,
                "{tracks} tracks: {share} (s = {})",
                law.s
            );
        }
    }

    #[test]
    fn the_exponent_of_the_published_catalog_is_that_of_the_literature() {
        let law = Zipf::new(8_000_000, 0.12, 0.88);
        assert!((law.s - 1.01).abs() < 0.005, "{}", law.s);
    }

    #[test]
    fn ranks_are_drawn_in_proportion() {
        let law = Zipf::new(100, 0.12, 0.5);
        let mut draws = Draws::of(2, 1, 1);
        let mut counts = [0_u32; 100];
        for _ in 0..200_000 {
            counts[law.draw(&mut draws) as usize] += 1;
        }
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!(
            (ratio / libm::pow(10.0, law.s) - 1.0).abs() < 0.1,
            "{ratio}"
        );
    }

    /// Near to even, steep, of one rank, and of millions; most draws are not computed.
    #[test]
    fn what_is_approximated_is_what_is_computed() {
        let laws = [
            (1, 0.5, 0.5),
            (3, 0.4, 0.9),
            (100, 0.1, 0.1001),
            (5_000, 0.01, 0.999),
            (60_000, 0.12, 0.88),
            (8_000_000, 0.12, 0.88),
        ];
        for (tracks, top, takes) in laws {
            let law = Zipf::new(tracks, top, takes);
            let mut draws = Draws::of(3, 1, u64::from(tracks));
            let (rounds, mut quick) = (100_000, 0);
            for _ in 0..rounds {
                let drawn = draws.unit_steps();
                if let Some(rank) = law.quick(drawn) {
                    assert_eq!(Some(rank), law.exact(drawn), "{drawn} of {tracks} tracks");
                    quick += 1;
                }
            }
            let expected = if tracks >= 5_000 && law.s < 1.5 {
                rounds / 10 * 9
            } else {
                0
            };
            assert!(
                quick >= expected,
                "{quick} of {rounds}, {tracks} tracks, s {}",
                law.s
            );
        }
    }
}
