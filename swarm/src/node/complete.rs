//! A complete rendition in 8 bytes besides its key, because caches hold thousands of them.
//!
//! Not here: which there are ([`crate::node::holdings`]).

use antiphon_protocol::{BitRate, ByteCount, Geometry};

use crate::node::input::{Keep, RenditionSpec};
use crate::time::{Duration, Instant};

/// A moment of use in ticks of 4 s, biased so that use before the start of time fits: 24 bits
/// reach a year both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UsedAt(u32);

impl UsedAt {
    const TICK_MICROS: u64 = 4_000_000;
    const BIAS: u64 = 1 << 23;
    const MAX: u64 = (1 << 24) - 1;

    pub(crate) fn new(now: Instant, idle: Duration) -> Self {
        let now = now.as_micros() / Self::TICK_MICROS + Self::BIAS;
        let idle = idle.as_micros() / Self::TICK_MICROS;
        Self(now.saturating_sub(idle).min(Self::MAX) as u32)
    }
}

/// A complete rendition. `tail` packs the moment of use (24 bits), a coarse rate (6 bits of
/// 16 kbit/s), and how firmly it is kept (2 bits).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full {
    pub(crate) bytes: u32,
    tail: u32,
}

const RATE_STEP: u32 = 16_000;

impl Full {
    pub(crate) fn new(spec: RenditionSpec, used: UsedAt, keep: Keep) -> Self {
        let rate = spec.bit_rate.0.div_ceil(RATE_STEP).clamp(1, 63);
        Self {
            bytes: u32::try_from(spec.geometry.size().0).unwrap_or(u32::MAX),
            tail: used.0 << 8 | rate << 2 | keep_bits(keep),
        }
    }

    pub(crate) fn spec(self) -> RenditionSpec {
        RenditionSpec {
            geometry: Geometry::new(ByteCount(u64::from(self.bytes)))
                .expect("made from a legal geometry"),
            bit_rate: BitRate((self.tail >> 2 & 63) * RATE_STEP),
        }
    }

    pub(crate) const fn used(self) -> UsedAt {
        UsedAt(self.tail >> 8)
    }

    pub(crate) const fn keep(self) -> Keep {
        match self.tail & 3 {
            0 => Keep::Cached,
            1 => Keep::Placed,
            _ => Keep::Pinned,
        }
    }

    pub(crate) const fn set_used(&mut self, used: UsedAt) {
        self.tail = self.tail & 0xff | used.0 << 8;
    }

    pub(crate) const fn set_keep(&mut self, keep: Keep) {
        self.tail = self.tail & !3 | keep_bits(keep);
    }
}

const fn keep_bits(keep: Keep) -> u32 {
    match keep {
        Keep::Cached => 0,
        Keep::Placed => 1,
        Keep::Pinned => 2,
    }
}
