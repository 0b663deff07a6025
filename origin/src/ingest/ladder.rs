//! Which rungs a source becomes, and how each is made.
//!
//! Rules: a lossless source becomes every rung. A lossy one becomes the rungs whose range starts
//! below its own rate, each aimed at the rung's rate or the source's, whichever is lower; the
//! lowest rung always exists. A source that already is Ogg Vorbis is kept byte for byte as the
//! rung in whose range its rate lies.
//!
//! Rates here are of stereo: mono counts double, more channels less, because rungs are about
//! quality.

use antiphon_protocol::Rung;

use crate::ingest::decode::Source;

/// Longest setup of a kept file: it must arrive before any sound, and the servers' initial window
/// holds 64 KiB. Larger ones carry pictures in their tags.
const KEPT_SETUP_BYTES_MAX: u64 = 48 * 1024;
/// Highest rate kept: above it, encoding the top rung saves bytes nobody hears.
const KEPT_RATE_MAX: u64 = 400_000;
/// libvorbis's nominal rate of 44.1 kHz stereo at qualities 0, 0.1, .. 1 (its mode tables).
const QUALITY_RATES: [f32; 11] = [
    64e3, 80e3, 96e3, 112e3, 128e3, 160e3, 192e3, 224e3, 256e3, 320e3, 500e3,
];

/// How one rung is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Make {
    /// The source itself, up to the end of its last page.
    Keep,
    /// Encoded at this Vorbis quality.
    Encode(f32),
}

/// The rungs to make of `source`, lowest first, out of those `wanted`; at least one.
pub(crate) fn plan(source: &Source, wanted: &[Rung]) -> Vec<(Rung, Make)> {
    let rate = stereo_rate(source);
    let allowed: Vec<_> = Rung::ALL
        .into_iter()
        .filter(|rung| *rung == Rung::Low || rate > floor(*rung))
        .collect();
    let mut chosen: Vec<_> = allowed
        .iter()
        .filter(|rung| wanted.contains(rung))
        .collect();
    if chosen.is_empty() {
        // What was wanted is above the source: its best is the nearest to it.
        chosen.extend(allowed.last());
    }
    let make = |rung: &Rung| (*rung, make(source, rate, *rung));
    chosen.into_iter().map(make).collect()
}

fn make(source: &Source, rate: u64, rung: Rung) -> Make {
    let keeps = source.ogg.as_ref().is_some_and(|ogg| {
        source.is_vorbis
            && source.channels <= 2
            && source.sample_rate <= 48_000
            && ogg.setup_bytes <= KEPT_SETUP_BYTES_MAX
            && rate > floor(rung)
            && rate <= ceiling(rung)
    });
    if keeps {
        return Make::Keep;
    }
    let aim = rate.min(u64::from(rung.nominal().0));
    Make::Encode(quality(aim))
}

/// The quality of a rung that nothing holds down.
pub(crate) fn nominal_quality(rung: Rung) -> f32 {
    quality(u64::from(rung.nominal().0))
}

/// Rates above this belong to the rung: between it and the next lower.
const fn floor(rung: Rung) -> u64 {
    match rung {
        Rung::Low => 0,
        Rung::Standard => 112_000,
        Rung::High => 200_000,
    }
}

const fn ceiling(rung: Rung) -> u64 {
    match rung {
        Rung::Low => floor(Rung::Standard),
        Rung::Standard => floor(Rung::High),
        Rung::High => KEPT_RATE_MAX,
    }
}

fn stereo_rate(source: &Source) -> u64 {
    if source.is_lossless {
        return u64::MAX;
    }
    source.bit_rate.saturating_mul(2) / source.channels.max(1) as u64
}

/// The Vorbis quality whose nominal rate is `rate`.
fn quality(rate: u64) -> f32 {
    let rate = rate as f32;
    let mut steps = QUALITY_RATES.iter().zip(QUALITY_RATES.iter().skip(1));
    let step = steps.position(|(_, above)| rate <= *above).unwrap_or(9);
    let low = QUALITY_RATES.get(step).copied().unwrap_or(64e3);
    let high = QUALITY_RATES.get(step + 1).copied().unwrap_or(500e3);
    ((step as f32 + (rate - low) / (high - low)) / 10.0).clamp(-0.1, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::sniff::Container;

    fn lossy(bit_rate: u64) -> Source {
        Source {
            container: Container::Mpeg,
            end: 0,
            is_lossless: false,
            is_vorbis: false,
            sample_rate: 44_100,
            channels: 2,
            bit_rate,
            promised_frames: None,
            ogg: None,
        }
    }

    fn rungs(source: &Source) -> Vec<Rung> {
        let plan = plan(source, &Rung::ALL);
        plan.into_iter().map(|(rung, _)| rung).collect()
    }

    #[test]
    fn a_lossy_source_never_gains_a_rung_above_itself() {
        assert_eq!(rungs(&lossy(64_000)), [Rung::Low]);
        assert_eq!(rungs(&lossy(128_000)), [Rung::Low, Rung::Standard]);
        assert_eq!(rungs(&lossy(256_000)), Rung::ALL);
        let aims = plan(&lossy(128_000), &Rung::ALL);
        assert_eq!(aims[1].1, Make::Encode(quality(128_000)));
    }

    #[test]
    fn a_wish_above_the_source_gets_its_best() {
        let plan = plan(&lossy(128_000), &[Rung::High]);
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].0, Rung::Standard);
    }

    #[test]
    fn the_nominal_rates_have_the_known_qualities() {
        assert!((quality(96_000) - 0.2).abs() < 1e-6);
        assert!((quality(160_000) - 0.5).abs() < 1e-6);
        assert!((quality(320_000) - 0.9).abs() < 1e-6);
        assert_eq!(quality(10_000), -0.1);
    }
}
