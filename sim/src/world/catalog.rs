//! The music: how long each track is and how often it is played.

use antiphon_protocol::{BitRate, ByteCount, Geometry};
use antiphon_swarm::memory::bring;
use antiphon_swarm::node::input::RenditionSpec;

use crate::engine::random::Draws;
use crate::scenario::Scenario;
use crate::world::Chance;
use crate::world::popularity::Zipf;

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
        let geometry = Geometry::new(ByteCount(self.size(track))).expect("lengths are bounded");
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
        let size = self.sizes.get(track as usize).copied().unwrap_or(1);
        u64::from(size.max(1))
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
