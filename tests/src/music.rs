//! Made music: chords over a bed of noise, so that the encoder has something to do at every rate.

use std::f32::consts::TAU;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::wav_file;

const RATE: u32 = 44_100;
const CHANNELS: u16 = 2;
/// Notes of a minor pentatonic scale, in semitones.
const SCALE: [i32; 5] = [0, 3, 5, 7, 10];

/// Writes a piece of this length as a WAV file; the same seed gives the same file.
///
/// # Errors
/// If the file cannot be written.
pub fn write_piece(path: &Path, seed: u64, seconds: u32) -> anyhow::Result<()> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut samples = Vec::with_capacity((RATE * seconds * u32::from(CHANNELS)) as usize);
    for _ in 0..seconds * 2 {
        let notes: Vec<f32> = (0..3).map(|_| note(&mut rng)).collect();
        for frame in 0..RATE / 2 {
            let time = frame as f32 / RATE as f32;
            let fade = (-3.0 * time).exp();
            for side in 0..CHANNELS {
                let spread = 1.0 + f32::from(side) * 0.003;
                let chord: f32 = notes
                    .iter()
                    .map(|pitch| (TAU * pitch * spread * time).sin())
                    .sum();
                let noise: f32 = rng.random_range(-1.0..1.0);
                let sample = 0.2 * chord * fade + 0.05 * noise;
                samples.push((sample * f32::from(i16::MAX)) as i16);
            }
        }
    }
    wav_file::write_s16(path, RATE, CHANNELS, &samples)
}

fn note(rng: &mut StdRng) -> f32 {
    let step = SCALE[rng.random_range(0..SCALE.len())] + 12 * rng.random_range(0..3);
    110.0 * 2_f32.powf(step as f32 / 12.0)
}
