//! Sizes, times and rates as types, with arithmetic that cannot overflow.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ByteCount(pub u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// `count` times 1,024 bytes.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1024))
    }

    /// `count` times 1,024 times 1,024 bytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1024 * 1024))
    }

    /// Sum, at most [`u64::MAX`].
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Difference, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n < 10_000 => write!(f, "{n} B"),
            n if n < 10_000_000 => write!(f, "{:.1} kB", n as f64 / 1e3),
            n if n < 10_000_000_000 => write!(f, "{:.1} MB", n as f64 / 1e6),
            n => write!(f, "{:.1} GB", n as f64 / 1e9),
        }
    }
}

/// A rate in bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BitRate(pub u32);

impl BitRate {
    /// The bytes that pass in `time`, rounded down.
    #[must_use]
    pub const fn bytes_in(self, time: MediaTime) -> ByteCount {
        // Mostly it fits; a division of 128 bits costs ten times as much.
        if let Some(bits) = (self.0 as u64).checked_mul(time.0) {
            return ByteCount(bits / 8_000_000);
        }
        let bits = self.0 as u128 * time.0 as u128 / 1_000_000;
        let bytes = bits / 8;
        ByteCount(if bytes > u64::MAX as u128 {
            u64::MAX
        } else {
            bytes as u64
        })
    }

    /// How long `bytes` last at this rate; zero at rate zero.
    #[must_use]
    pub const fn time_of(self, bytes: ByteCount) -> MediaTime {
        if self.0 == 0 {
            return MediaTime::ZERO;
        }
        if let Some(bits) = bytes.0.checked_mul(8_000_000) {
            return MediaTime(bits / self.0 as u64);
        }
        let micros = bytes.0 as u128 * 8_000_000 / self.0 as u128;
        MediaTime(if micros > u64::MAX as u128 {
            u64::MAX
        } else {
            micros as u64
        })
    }
}

/// A position in, or a length of, music: microseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct MediaTime(pub u64);

impl MediaTime {
    /// The start.
    pub const ZERO: Self = Self(0);

    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Difference, at least zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Seconds with a fraction, for people and players.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

/// A span of real time on the wire: milliseconds. Clamped when it is read, so that no clock is
/// ever moved by more than [`crate::limits::WIRE_DURATION_MAX`] at another's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Millis(pub u32);

impl Millis {
    /// The value, at most [`crate::limits::WIRE_DURATION_MAX`].
    #[must_use]
    pub fn clamped(self) -> Self {
        self.min(crate::limits::WIRE_DURATION_MAX)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(|millis| Self(millis).clamped())
    }
}

/// Wall-clock time: seconds since 1970. Only tracker-signed documents carry it; no order of
/// events is ever derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// This many seconds later, at most the end of time.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs))
    }
}

/// A loudness change in hundredths of a decibel.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Gain(pub i16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_times_time_is_bytes_and_back() {
        let rate = BitRate(160_000);
        assert_eq!(rate.bytes_in(MediaTime::from_secs(3)), ByteCount(60_000));
        assert_eq!(rate.time_of(ByteCount(60_000)), MediaTime::from_secs(3));
    }

    #[test]
    fn extremes_saturate_instead_of_overflowing() {
        assert_eq!(
            BitRate(u32::MAX).bytes_in(MediaTime(u64::MAX)),
            ByteCount(u64::MAX)
        );
        assert_eq!(BitRate(1).time_of(ByteCount(u64::MAX)), MediaTime(u64::MAX));
        assert_eq!(BitRate(0).time_of(ByteCount(1)), MediaTime::ZERO);
    }
}
