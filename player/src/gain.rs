//! Loudness: the track's correction, limited so that it cannot clip, and the listener's volume.

/// Corrections beyond this are taken for nonsense and cut, in hundredths of a decibel; guess.
const TRACK_GAIN_MILLIBEL_MAX: i32 = 4_000;
/// Volumes at or below this are silence, in decibels: under the noise floor of 16 bits.
const SILENCE_DB: f32 = -96.0;

/// How loud the listener wants it: linear amplitude from silence to full scale.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Volume(f32);

impl Default for Volume {
    fn default() -> Self {
        Self::FULL
    }
}

impl Volume {
    /// No change: samples pass bit for bit.
    pub const FULL: Self = Self(1.0);
    /// Nothing to hear.
    pub const SILENT: Self = Self(0.0);

    /// From an amplitude, 0 to 1; other values are cut to that, a NaN is silence.
    #[must_use]
    pub fn from_linear(linear: f32) -> Self {
        Self(if linear.is_nan() {
            0.0
        } else {
            linear.clamp(0.0, 1.0)
        })
    }

    /// From decibels below full scale; 0 and more is full, -96 and less is silence.
    #[must_use]
    pub fn from_db(db: f32) -> Self {
        if db <= SILENCE_DB {
            return Self::SILENT;
        }
        Self::from_linear(10f32.powf(db / 20.0))
    }

    /// The amplitude, 0 to 1.
    #[must_use]
    pub fn linear(self) -> f32 {
        self.0
    }
}

/// The factor for a level in hundredths of a decibel: 0 gives 1, -602 about one half.
#[must_use]
pub fn millibel_to_linear(millibel: i32) -> f32 {
    if millibel == 0 {
        1.0
    } else {
        10f32.powf(millibel as f32 / 2_000.0)
    }
}

/// The factor for a track: its correction, reduced so that `peak` does not exceed full scale.
/// With an unknown peak nothing is amplified.
#[must_use]
pub fn track_factor(millibel: i32, peak: Option<f32>) -> f32 {
    let millibel = millibel.clamp(-TRACK_GAIN_MILLIBEL_MAX, TRACK_GAIN_MILLIBEL_MAX);
    let wanted = millibel_to_linear(millibel);
    match peak.filter(|peak| peak.is_finite() && *peak > 0.0) {
        Some(peak) => wanted.min(1.0 / peak),
        None => wanted.min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gain_is_reduced_until_the_peak_fits() {
        for millibel in [-4_000, -600, 0, 1, 600, 5_000, i32::MAX, i32::MIN] {
            for peak in [0.01, 0.5, 0.999, 1.0, 1.4, 8.0] {
                let factor = track_factor(millibel, Some(peak));
                assert!(
                    factor * peak <= 1.0 + f32::EPSILON,
                    "{millibel} {peak} gave {factor}"
                );
                assert!(factor > 0.0);
            }
        }
        assert!((track_factor(600, Some(0.1)) - 1.995).abs() < 0.001);
    }

    #[test]
    fn nothing_is_amplified_while_the_peak_is_unknown() {
        assert_eq!(track_factor(600, None), 1.0);
        assert_eq!(track_factor(600, Some(f32::NAN)), 1.0);
        assert_eq!(track_factor(600, Some(0.0)), 1.0);
        assert!(track_factor(-600, None) < 0.51);
    }

    #[test]
    fn volume_scales_meet_at_their_ends() {
        assert_eq!(Volume::from_db(0.0), Volume::FULL);
        assert_eq!(Volume::from_db(12.0), Volume::FULL);
        assert_eq!(Volume::from_db(-200.0), Volume::SILENT);
        assert_eq!(Volume::from_db(f32::NAN), Volume::SILENT);
        assert_eq!(Volume::from_linear(f32::INFINITY), Volume::FULL);
        assert!((Volume::from_db(-6.0206).linear() - 0.5).abs() < 1e-4);
    }
}
