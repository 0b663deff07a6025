//! Integrated loudness (ITU-R BS.1770, EBU R 128) and true peak, in bounded memory.
//!
//! The gating blocks go into a histogram, so that the loudness of an album is computed from its
//! tracks' histograms exactly as if it had been measured in one go, also over several runs.

use std::collections::BTreeMap;

use antiphon_protocol::Gain;
use ebur128::{Channel, EbuR128, Mode};
use serde::{Deserialize, Serialize};

/// Blocks below this are silence to the standard.
const ABSOLUTE_GATE_LUFS: f64 = -70.0;
/// Blocks this far below the mean do not count.
const RELATIVE_GATE_LU: f64 = -10.0;
/// The ReplayGain 2.0 reference that gains lead to.
const REFERENCE_LUFS: f64 = -18.0;
/// Bins a loudness unit; makes the quantization error at most 0.01 LU.
const BINS_PER_LU: f64 = 50.0;
/// Largest gain in hundredths of a decibel; guess: beyond it is noise or a mistake.
const GAIN_MAX: f64 = 2_000.0;
/// Lowest peak that is told from silence, in hundredths of a decibel.
const PEAK_MIN: f64 = -20_000.0;

/// How many 400 ms blocks had which loudness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Histogram(BTreeMap<u16, u32>);

impl Histogram {
    fn add(&mut self, lufs: f64) {
        if lufs.is_finite() && lufs >= ABSOLUTE_GATE_LUFS {
            let bin = ((lufs - ABSOLUTE_GATE_LUFS) * BINS_PER_LU).round();
            *self.0.entry(bin as u16).or_default() += 1;
        }
    }

    /// Adds all blocks of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.0 {
            let own = self.0.entry(*bin).or_default();
            *own = own.saturating_add(*count);
        }
    }

    /// Integrated loudness; nothing for silence.
    fn integrated(&self) -> Option<f64> {
        let ungated = self.mean_power(f64::NEG_INFINITY)?;
        let gate = to_lufs(ungated) + RELATIVE_GATE_LU;
        self.mean_power(gate).map(to_lufs)
    }

    fn mean_power(&self, gate: f64) -> Option<f64> {
        let (mut power, mut blocks) = (0.0, 0_u64);
        for (bin, count) in &self.0 {
            let lufs = f64::from(*bin) / BINS_PER_LU + ABSOLUTE_GATE_LUFS;
            if lufs >= gate {
                power += 10_f64.powf(lufs / 10.0) * f64::from(*count);
                blocks += u64::from(*count);
            }
        }
        (blocks > 0).then(|| power / blocks as f64)
    }

    /// What brings it to the reference, within limits; silence is left alone.
    pub(crate) fn gain(&self) -> Gain {
        let gain = self.integrated().map_or(0.0, |lufs| {
            ((REFERENCE_LUFS - lufs) * 100.0)
                .round()
                .clamp(-GAIN_MAX, GAIN_MAX)
        });
        Gain(gain as i16)
    }
}

fn to_lufs(power: f64) -> f64 {
    10.0 * power.log10()
}

/// Measures one track as its samples pass.
pub(crate) struct Meter {
    state: EbuR128,
    histogram: Histogram,
    /// Samples between two gating blocks: 100 ms.
    step: usize,
    /// Samples still to come before the next block is complete.
    until_block: usize,
}

impl Meter {
    /// # Errors
    /// If the format is outside what the meter knows.
    pub(crate) fn new(channels: usize, sample_rate: u32) -> Result<Self, ebur128::Error> {
        let mode = Mode::M | Mode::TRUE_PEAK;
        let mut state = EbuR128::new(channels as u32, sample_rate, mode)?;
        if channels == 1 {
            // It will be heard from two speakers.
            state.set_channel(0, Channel::DualMono)?;
        }
        let step = sample_rate as usize / 10;
        Ok(Self {
            state,
            histogram: Histogram::default(),
            step,
            until_block: 4 * step,
        })
    }

    /// Takes a block of samples, one plane a channel.
    pub(crate) fn take(&mut self, planes: &[&[f32]]) -> Result<(), ebur128::Error> {
        let mut rest = planes.to_vec();
        while let Some(frames) = rest.first().map(|plane| plane.len()).filter(|len| *len > 0) {
            let now = frames.min(self.until_block);
            let parts: Vec<_> = rest.iter().map(|plane| plane.split_at(now)).collect();
            let first: Vec<_> = parts.iter().map(|part| part.0).collect();
            self.state.add_frames_planar_f32(&first)?;
            rest = parts.iter().map(|part| part.1).collect();
            self.until_block -= now;
            if self.until_block == 0 {
                self.histogram.add(self.state.loudness_momentary()?);
                self.until_block = self.step;
            }
        }
        Ok(())
    }

    /// The blocks, and the true peak in hundredths of a decibel over full scale.
    pub(crate) fn finish(self) -> Result<(Histogram, Gain), ebur128::Error> {
        let mut peak = 0.0_f64;
        for channel in 0..self.state.channels() {
            peak = peak.max(self.state.true_peak(channel)?);
        }
        let hundredths = (2_000.0 * peak.log10())
            .round()
            .clamp(PEAK_MIN, f64::from(i16::MAX));
        Ok((self.histogram, Gain(hundredths as i16)))
    }
}
