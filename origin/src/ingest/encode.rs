//! Samples in, Ogg Vorbis files out: every rung of a track from one pass over its samples.
//!
//! Sources above 48 kHz are resampled, to 44.1 kHz where that divides them and to 48 kHz
//! otherwise; all others keep their rate.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::{NonZeroU8, NonZeroU32};
use std::path::PathBuf;

use antiphon_protocol::{Gain, Rung};
use vorbis_rs::{VorbisBitrateManagementStrategy, VorbisEncoder, VorbisEncoderBuilder};

use crate::ingest::loudness::{Histogram, Meter};
use crate::ingest::refusal::Refusal;
use crate::ingest::resample::Resampler;

/// Highest sample rate of an encoded rendition.
const RATE_MAX: u32 = 48_000;
/// Samples a channel handed to the encoder at once; its documentation calls 1,024 reasonable.
const BLOCK_FRAMES: usize = 4_096;
/// Loudest sample passed on: 24 dB over full scale. A file with more is broken, not loud, and the
/// encoder's arithmetic is not made for it.
const SAMPLE_MAX: f32 = 16.0;

/// The sample rate that a source of `rate` is encoded and measured at.
pub(crate) const fn output_rate(rate: u32) -> u32 {
    if rate <= RATE_MAX {
        rate
    } else if rate.is_multiple_of(44_100) {
        44_100
    } else {
        48_000
    }
}

/// Measures and encodes one track.
pub(crate) struct Studio {
    resampler: Option<Resampler>,
    desk: Desk,
}

/// What remains when all samples have passed.
pub(crate) struct Recorded {
    pub(crate) histogram: Histogram,
    pub(crate) true_peak: Gain,
    /// Samples a channel that went into each encoder.
    pub(crate) frames: u64,
}

impl Studio {
    /// Opens a file for each rung that is to be encoded.
    pub(crate) fn new(
        channels: usize,
        rate: u32,
        serial: i32,
        rungs: Vec<(Rung, f32, PathBuf)>,
    ) -> Result<Self, Refusal> {
        let to = output_rate(rate);
        let resampler = match rate == to {
            true => None,
            false => Some(Resampler::new(rate, to, channels)?),
        };
        let mut encoders = Vec::new();
        for (rung, quality, path) in rungs {
            let serial = serial.wrapping_add(rung as i32);
            encoders.push(encoder(channels, to, serial, quality, &path)?);
        }
        let meter = Meter::new(channels, to).map_err(|error| unmeasured(&error))?;
        let frames = 0;
        Ok(Self {
            resampler,
            desk: Desk {
                meter,
                encoders,
                frames,
            },
        })
    }

    /// Takes a block, one plane a channel.
    pub(crate) fn take(&mut self, planes: &[Vec<f32>]) -> Result<(), Refusal> {
        match &mut self.resampler {
            None => self.desk.take(planes),
            Some(resampler) => resampler.take(planes, &mut |block| self.desk.take(block)),
        }
    }

    /// Writes out what is still inside and closes the files.
    pub(crate) fn finish(mut self) -> Result<Recorded, Refusal> {
        if let Some(resampler) = self.resampler {
            resampler.finish(&mut |block| self.desk.take(block))?;
        }
        for encoder in self.desk.encoders {
            let mut file = encoder.finish().map_err(|error| unencoded(&error))?;
            file.flush()?;
        }
        let measured = self.desk.meter.finish();
        let (histogram, true_peak) = measured.map_err(|error| unmeasured(&error))?;
        Ok(Recorded {
            histogram,
            true_peak,
            frames: self.desk.frames,
        })
    }
}

struct Desk {
    meter: Meter,
    encoders: Vec<VorbisEncoder<BufWriter<File>>>,
    frames: u64,
}

impl Desk {
    fn take(&mut self, planes: &[Vec<f32>]) -> Result<(), Refusal> {
        let frames = planes.first().map_or(0, Vec::len);
        let clamp = |sample: &f32| sample.clamp(-SAMPLE_MAX, SAMPLE_MAX);
        let clamped: Vec<Vec<f32>> = planes
            .iter()
            .map(|plane| plane.iter().map(clamp).collect())
            .collect();
        let mut start = 0;
        while start < frames {
            let end = (start + BLOCK_FRAMES).min(frames);
            let block: Vec<&[f32]> = clamped
                .iter()
                .map(|plane| plane.get(start..end).unwrap_or(&[]))
                .collect();
            self.meter
                .take(&block)
                .map_err(|error| unmeasured(&error))?;
            for encoder in &mut self.encoders {
                encoder
                    .encode_audio_block(&block)
                    .map_err(|error| unencoded(&error))?;
            }
            start = end;
        }
        self.frames += frames as u64;
        Ok(())
    }
}

fn encoder(
    channels: usize,
    rate: u32,
    serial: i32,
    target_quality: f32,
    path: &PathBuf,
) -> Result<VorbisEncoder<BufWriter<File>>, Refusal> {
    let channels = u8::try_from(channels).ok().and_then(NonZeroU8::new);
    let channels = channels.expect("at most two channels come out of the mixdown");
    let rate = NonZeroU32::new(rate).expect("the rate was checked");
    let sink = BufWriter::new(File::create(path)?);
    VorbisEncoderBuilder::new_with_serial(rate, channels, sink, serial)
        .bitrate_management_strategy(VorbisBitrateManagementStrategy::QualityVbr { target_quality })
        .build()
        .map_err(|error| unencoded(&error))
}

fn unencoded(error: &vorbis_rs::VorbisError) -> Refusal {
    Refusal::whole(format!("could not be encoded ({error})"))
}

fn unmeasured(error: &ebur128::Error) -> Refusal {
    Refusal::whole(format!("its loudness could not be measured ({error})"))
}
