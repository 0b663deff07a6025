//! Decodes a whole track at once, to compare renditions sample for sample. Not for playing.

use crate::decoder::{DecodeError, TrackDecoder};
use crate::source::{AudioFormat, TrackSource, TrackSpec};

/// A whole track, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct DecodedTrack {
    /// Rate and channels.
    pub format: AudioFormat,
    /// Interleaved samples, gain not applied.
    pub samples: Vec<f32>,
}

impl DecodedTrack {
    /// Samples a channel.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.samples.len() as u64 / u64::from(self.format.channels.max(1))
    }
}

/// Decodes `source` to its end. Memory grows with the track: four bytes a sample.
pub fn decode_all(
    source: Box<dyn TrackSource>,
    spec: &TrackSpec,
) -> Result<DecodedTrack, DecodeError> {
    let mut decoder = TrackDecoder::open(source, spec)?;
    let mut samples = Vec::new();
    while decoder.next_block(&mut samples)?.is_some() {}
    Ok(DecodedTrack {
        format: decoder.format(),
        samples,
    })
}
