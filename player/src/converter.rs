//! Fits one track to the output: gain, channels, rate. Equal formats at gain 1 pass bit for bit.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler};

use crate::source::AudioFormat;

/// Input frames a resampling step takes: about 23 ms at 44.1 kHz, of the order of a Vorbis block.
const CHUNK_FRAMES: usize = 1024;
/// Minus three decibels, for center and rear channels folded into stereo (ITU-R BS.775).
const FOLD: f32 = std::f32::consts::FRAC_1_SQRT_2;

/// Applies gain, channel layout and rate to consecutive blocks of one track.
pub(crate) struct Converter {
    from: AudioFormat,
    to: AudioFormat,
    factor: f32,
    rate: Option<RateChange>,
}

impl Converter {
    pub(crate) fn new(
        from: AudioFormat,
        to: AudioFormat,
        factor: f32,
    ) -> Result<Self, ConvertError> {
        let rate = if from.rate == to.rate {
            None
        } else {
            Some(RateChange::new(from, to)?)
        };
        Ok(Self {
            from,
            to,
            factor,
            rate,
        })
    }

    /// Converts `block` in place.
    pub(crate) fn convert(&mut self, block: &mut Vec<f32>) -> Result<(), ConvertError> {
        if self.factor != 1.0 {
            block.iter_mut().for_each(|sample| *sample *= self.factor);
        }
        map_channels(
            block,
            usize::from(self.from.channels),
            usize::from(self.to.channels),
        );
        match &mut self.rate {
            Some(rate) => rate.process(block),
            None => Ok(()),
        }
    }

    /// What is still inside after the last block, so that no frame of the track is lost.
    pub(crate) fn finish(&mut self) -> Result<Vec<f32>, ConvertError> {
        self.rate
            .as_mut()
            .map_or_else(|| Ok(Vec::new()), RateChange::finish)
    }
}

struct RateChange {
    resampler: Fft<f32>,
    ratio: (u64, u64),
    channels: usize,
    waiting: Vec<f32>,
    /// Frames still to drop at the start: what the filter delays.
    delay: usize,
    frames_in: u64,
    frames_out: u64,
}

impl RateChange {
    fn new(from: AudioFormat, to: AudioFormat) -> Result<Self, ConvertError> {
        let channels = usize::from(to.channels);
        let failed = |error: rubato::ResamplerConstructionError| ConvertError {
            from: from.rate,
            to: to.rate,
            reason: error.to_string(),
        };
        let (rate_in, rate_out) = (from.rate as usize, to.rate as usize);
        let resampler =
            Fft::new(rate_in, rate_out, CHUNK_FRAMES, channels, FixedSync::Both).map_err(failed)?;
        Ok(Self {
            delay: resampler.output_delay(),
            resampler,
            ratio: (u64::from(to.rate), u64::from(from.rate)),
            channels,
            waiting: Vec::new(),
            frames_in: 0,
            frames_out: 0,
        })
    }

    fn process(&mut self, block: &mut Vec<f32>) -> Result<(), ConvertError> {
        self.frames_in += (block.len() / self.channels) as u64;
        self.waiting.append(block);
        while self.waiting.len() / self.channels >= self.resampler.input_frames_next() {
            self.step(None, block)?;
        }
        self.cut(block);
        Ok(())
    }

    fn finish(&mut self) -> Result<Vec<f32>, ConvertError> {
        let mut tail = Vec::new();
        while self.frames_out + ((tail.len() / self.channels) as u64) < self.frames_due() {
            self.step(Some(self.waiting.len() / self.channels), &mut tail)?;
        }
        self.cut(&mut tail);
        Ok(tail)
    }

    /// Runs the filter once over `partial` waiting frames, or over a full chunk of them.
    fn step(&mut self, partial: Option<usize>, out: &mut Vec<f32>) -> Result<(), ConvertError> {
        let wanted = self.resampler.input_frames_next();
        let made = self.resampler.output_frames_next();
        let taken = wanted.min(self.waiting.len() / self.channels);
        let mut input: Vec<f32> = self.waiting.drain(..taken * self.channels).collect();
        input.resize(wanted * self.channels, 0.0);
        let mut output = vec![0.0; made * self.channels];
        let failed = |reason: String| ConvertError {
            from: self.ratio.1 as u32,
            to: self.ratio.0 as u32,
            reason,
        };
        let indexing = partial.map(|frames| Indexing::new().partial_len(frames.min(wanted)));
        let made = {
            let source = InterleavedSlice::new(&input, self.channels, wanted)
                .map_err(|error| failed(error.to_string()))?;
            let mut sink = InterleavedSlice::new_mut(&mut output, self.channels, made)
                .map_err(|error| failed(error.to_string()))?;
            let (_, made) = self
                .resampler
                .process_into_buffer(&source, &mut sink, indexing.as_ref())
                .map_err(|error| failed(error.to_string()))?;
            made
        };
        let skipped = self.delay.min(made);
        self.delay -= skipped;
        let kept = output.get(skipped * self.channels..made * self.channels);
        out.extend_from_slice(kept.unwrap_or_default());
        Ok(())
    }

    /// Never gives out more than the track's length at the new rate.
    fn cut(&mut self, out: &mut Vec<f32>) {
        let left = self.frames_due().saturating_sub(self.frames_out);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        out.truncate(left.saturating_mul(self.channels));
        self.frames_out += (out.len() / self.channels) as u64;
    }

    fn frames_due(&self) -> u64 {
        let due = u128::from(self.frames_in) * u128::from(self.ratio.0);
        u64::try_from(due.div_ceil(u128::from(self.ratio.1))).unwrap_or(u64::MAX)
    }
}

/// Turns frames of `from` channels into frames of `to`, in place.
fn map_channels(block: &mut Vec<f32>, from: usize, to: usize) {
    if from == to || from == 0 || to == 0 {
        return;
    }
    let mut mapped = Vec::with_capacity(block.len() / from * to);
    for frame in block.chunks_exact(from) {
        let (left, right) = fold_to_stereo(frame);
        for channel in 0..to {
            mapped.push(match (to, channel) {
                (1, _) => (left + right) * 0.5,
                (_, 0) => left,
                (_, 1) => right,
                _ => 0.0,
            });
        }
    }
    *block = mapped;
}

/// Left and right of a frame in the order front left, front right, center, (low), rears; scaled
/// so that the sum of full-scale channels stays within full scale.
fn fold_to_stereo(frame: &[f32]) -> (f32, f32) {
    match *frame {
        [mono] => (mono, mono),
        [left, right] => (left, right),
        [left, right, center] => {
            let scale = 1.0 / (1.0 + FOLD);
            (
                (left + center * FOLD) * scale,
                (right + center * FOLD) * scale,
            )
        }
        [left, right, rear_left, rear_right] => {
            let scale = 1.0 / (1.0 + FOLD);
            (
                (left + rear_left * FOLD) * scale,
                (right + rear_right * FOLD) * scale,
            )
        }
        [left, right, center, ref rest @ ..] => {
            // With five channels there is no low one; it is not folded in where there is.
            let rears = if rest.len() > 2 {
                rest.get(1..).unwrap_or_default()
            } else {
                rest
            };
            // A single rear center comes before the pair of sides and is left out.
            let rears = rears.get(rears.len() % 2..).unwrap_or_default();
            let sides = rears.len() / 2;
            let scale = 1.0 / (1.0 + FOLD + FOLD * sides as f32);
            let rear = |side: usize| rears.iter().skip(side).step_by(2).take(sides).sum::<f32>();
            let center = center * FOLD;
            (
                (left + center + rear(0) * FOLD) * scale,
                (right + center + rear(1) * FOLD) * scale,
            )
        }
        [] => (0.0, 0.0),
    }
}

/// The resampler refused its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audio at {from} Hz could not be converted to {to} Hz: {reason}")]
pub struct ConvertError {
    /// The track's rate.
    pub from: u32,
    /// The output's rate.
    pub to: u32,
    /// What the resampler said.
    pub reason: String,
}

#[cfg(test)]
mod tests;
