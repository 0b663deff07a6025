//! WAV files: written as ingest gets them, read as the player leaves them.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};

/// The samples of a WAV file.
#[derive(Clone, Debug, PartialEq)]
pub struct Wav {
    /// Samples a frame.
    pub channels: u16,
    /// Frames a second.
    pub rate: u32,
    /// Interleaved.
    pub samples: Samples,
}

/// As they are stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// Whole numbers.
    S16(Vec<i16>),
    /// Floating point.
    F32(Vec<f32>),
}

impl Wav {
    /// Samples a channel.
    #[must_use]
    pub fn frames(&self) -> u64 {
        let samples = match &self.samples {
            Samples::S16(samples) => samples.len(),
            Samples::F32(samples) => samples.len(),
        };
        samples as u64 / u64::from(self.channels.max(1))
    }

    /// Where the samples first differ from `expected`, bit for bit; the end of the shorter if only
    /// the lengths do.
    #[must_use]
    pub fn first_difference(&self, expected: &[f32]) -> Option<usize> {
        let Samples::F32(samples) = &self.samples else {
            return Some(0);
        };
        let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
        let differing = samples.iter().zip(expected).position(differs);
        let shorter = samples.len().min(expected.len());
        differing.or((samples.len() != expected.len()).then_some(shorter))
    }

    /// Reads `path`.
    ///
    /// # Errors
    /// If it is no WAV file whose header tells its true length.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("there is no {}", path.display()))?;
        let rest = bytes.strip_prefix(b"RIFF").context("not a RIFF file")?;
        ensure!(rest.get(4..8) == Some(b"WAVE"), "not a WAV file");
        let mut rest = rest.get(8..).context("a header")?;
        let mut format = None;
        while let (Some(name), Some(length)) = (rest.get(..4), rest.get(4..8)) {
            let length = u32::from_le_bytes(length.try_into()?) as usize;
            let body = rest.get(8..8 + length).context("a chunk is cut short")?;
            match name {
                b"fmt " => format = Some(body),
                b"data" => return Self::from_parts(format.context("no format")?, body),
                _ => {}
            }
            rest = rest.get(8 + length + length % 2..).unwrap_or_default();
        }
        bail!("no samples in {}", path.display())
    }

    fn from_parts(format: &[u8], data: &[u8]) -> anyhow::Result<Self> {
        let short = |at: usize| {
            let bytes = format.get(at..at + 2).context("a short format")?;
            anyhow::Ok(u16::from_le_bytes(bytes.try_into()?))
        };
        let rate = format.get(4..8).context("a short format")?;
        let rate = u32::from_le_bytes(rate.try_into()?);
        let samples = match (short(0)?, short(14)?) {
            (1, 16) => Samples::S16(
                data.chunks_exact(2)
                    .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                    .collect(),
            ),
            (3, 32) => Samples::F32(
                data.chunks_exact(4)
                    .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                    .collect(),
            ),
            other => bail!("a WAV format not written here: {other:?}"),
        };
        Ok(Self {
            channels: short(2)?,
            rate,
            samples,
        })
    }
}

/// Writes whole-number samples.
///
/// # Errors
/// If the file cannot be written.
pub fn write_s16(path: &Path, rate: u32, channels: u16, samples: &[i16]) -> anyhow::Result<()> {
    let data = u32::try_from(samples.len() * 2)?;
    let frame = channels * 2;
    let mut bytes = Vec::with_capacity(44 + data as usize);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(36 + data).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16_u32.to_le_bytes());
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&rate.to_le_bytes());
    bytes.extend_from_slice(&(rate * u32::from(frame)).to_le_bytes());
    bytes.extend_from_slice(&frame.to_le_bytes());
    bytes.extend_from_slice(&16_u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data.to_le_bytes());
    for sample in samples {
        bytes.extend_from_slice(&sample.to_le_bytes());
    }
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
