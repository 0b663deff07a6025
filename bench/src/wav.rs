//! Music made on the spot, so that ingest has something to decode and encode.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

const RATE: u32 = 44_100;
const CHANNELS: u16 = 2;
const BYTES_PER_SAMPLE: u16 = 2;

/// Writes a stereo WAV file: chords that change every second, with overtones and some noise.
/// Different seeds give different pieces.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, length: Duration, seed: u32) -> io::Result<()> {
    let frames = u32::try_from(length.as_secs() * u64::from(RATE)).unwrap_or(u32::MAX);
    let mut out = BufWriter::new(File::create(path)?);
    header(&mut out, frames)?;
    let mut noise = seed | 1;
    for frame in 0..frames {
        let time = f64::from(frame) / f64::from(RATE);
        let second = frame / RATE;
        let decay = (-2.0 * (time - f64::from(second))).exp();
        let root = 110.0 * f64::powf(2.0, f64::from((second * 7 + seed) % 24) / 12.0);
        for side in [0.0, 0.25] {
            // Xorshift, low and even: what makes real recordings hard to encode.
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let hiss = f64::from(noise) / f64::from(u32::MAX) - 0.5;
            let chord: f64 = CHORD
                .iter()
                .zip(1..)
                .map(|(ratio, part)| {
                    let phase =
                        std::f64::consts::TAU * root * ratio * time + side * f64::from(part);
                    phase.sin() / f64::from(part)
                })
                .sum();
            let sample = 0.25 * decay * chord + 0.02 * hiss;
            out.write_all(&((sample * f64::from(i16::MAX)) as i16).to_le_bytes())?;
        }
    }
    out.flush()
}

/// A minor seventh with two overtones of its root.
const CHORD: [f64; 6] = [1.0, 1.2, 1.5, 1.8, 2.0, 3.0];

fn header(out: &mut impl Write, frames: u32) -> io::Result<()> {
    let frame_bytes = CHANNELS * BYTES_PER_SAMPLE;
    let data_bytes = frames.saturating_mul(u32::from(frame_bytes));
    out.write_all(b"RIFF")?;
    out.write_all(&data_bytes.saturating_add(36).to_le_bytes())?;
    out.write_all(b"WAVEfmt ")?;
    out.write_all(&16_u32.to_le_bytes())?;
    out.write_all(&1_u16.to_le_bytes())?;
    out.write_all(&CHANNELS.to_le_bytes())?;
    out.write_all(&RATE.to_le_bytes())?;
    out.write_all(&(RATE * u32::from(frame_bytes)).to_le_bytes())?;
    out.write_all(&frame_bytes.to_le_bytes())?;
    out.write_all(&(8 * BYTES_PER_SAMPLE).to_le_bytes())?;
    out.write_all(b"data")?;
    out.write_all(&data_bytes.to_le_bytes())
}
