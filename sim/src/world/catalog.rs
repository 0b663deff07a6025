//! The music: how long each track is and how often it is played.

use antiphon_protocol::{BitRate, ByteCount, Geometry};
use antiphon_swarm::memory::bring;
use antiphon_swarm::node::input::RenditionSpec;

use crate::engine::random::Draws;
use crate::scenario::Scenario;
use crate::world::Chance;

/// The catalog. A track's number is its rank: track 0 is played most.
#[derive(Debug)]
pub(super) struct Music {
    sizes: Vec<u32>,
    /// Bytes of a track on average.
    mean: u64,
    /// Tracks that have a rank; those behind them come out during the run.
    ranked: u32,
    rate: BitRate,
    popularity: Zipf,
}

impl Music {
    pub(super) fn new(scenario: &Scenario, seed: u64) -> Self {
        let catalog = &scenario.catalog;
        let released: u32 = scenario.release.iter().map(|release| release.tracks).sum();
        let bytes = catalog.bit_rate.bytes();
        // The mean of a log-normal lies above its median.
        let sigma = catalog.length_sigma;
        let median = catalog.length_mean.0 / libm::exp(sigma * sigma / 2.0);
        let size = |track: u32| {
            let mut draws = Draws::of(seed, Chance::Track as u64, u64::from(track));
            let seconds = draws.log_normal(median, sigma).clamp(5.0, 14_400.0);
            (seconds * bytes) as u32
        };
        let sizes: Vec<u32> = (0..catalog.tracks + released).map(size).collect();
        let all: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
        Self {
            mean: (all / sizes.len().max(1) as u64).max(1),
            sizes,
            ranked: catalog.tracks,
            rate: BitRate(catalog.bit_rate.0 as u32),
            popularity: Zipf::new(catalog.tracks, catalog.top.0, catalog.takes.0),
        }
    }

    /// What the core must know of a track's rendition.
    pub(super) fn spec(&self, track: u32) -> RenditionSpec {
        let size = self.sizes.get(track as usize).copied().unwrap_or(1);
        let geometry =
            Geometry::new(ByteCount(u64::from(size.max(1)))).expect("lengths are bounded");
        RenditionSpec {
            geometry,
            bit_rate: self.rate,
        }
    }

    /// Brings near what is known of a track.
    pub(super) fn bring(&self, track: u32) {
        bring(&self.sizes, track as usize);
    }

    pub(super) fn size(&self, track: u32) -> u64 {
        self.spec(track).geometry.size().0
    }

    pub(super) const fn mean_size(&self) -> u64 {
        self.mean
    }

    /// Tracks with a rank.
    pub(super) const fn tracks(&self) -> u32 {
        self.ranked
    }

    /// A track by popularity.
    pub(super) fn draw(&self, draws: &mut Draws) -> u32 {
        self.popularity.draw(draws)
    }

    /// Time the bytes play.
    pub(super) fn time_of(&self, bytes: u64) -> u64 {
        self.rate.time_of(ByteCount(bytes)).0
    }

    /// Bytes that play in the time.
    pub(super) fn bytes_in(&self, micros: u64) -> u64 {
        self.rate.bytes_in(antiphon_protocol::MediaTime(micros)).0
    }
}

/// Zipf's law over ranks 1 to `n`, drawn by rejection and inversion (Hörmann and Derflinger 1996):
/// no table.
#[derive(Clone, Copy, Debug)]
struct Zipf {
    n: f64,
    s: f64,
    low: f64,
    high: f64,
    /// A draw that lies no further than this below its rank is never rejected.
    sure: f64,
}

impl Zipf {
    /// The law in which the most popular `top` of all take `takes` of the plays.
    fn new(n: u32, top: f64, takes: f64) -> Self {
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
        };
        law.low = law.integral(1.5) - 1.0;
        law.high = law.integral(n + 0.5);
        law.sure = 2.0 - law.inverse(law.integral(2.5) - libm::pow(2.0, -law.s));
        law
    }

    fn draw(&self, draws: &mut Draws) -> u32 {
        loop {
            let u = self.high + draws.unit() * (self.low - self.high);
            let x = self.inverse(u);
            let rank = libm::round(x).clamp(1.0, self.n);
            if rank - x <= self.sure {
                return rank as u32 - 1;
            }
            let mass = libm::pow(rank, -self.s);
            if u >= self.integral(rank + 0.5) - mass {
                return rank as u32 - 1;
            }
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
}
