//! Free music for the demo: a dozen short pieces composed from a seed and rendered as WAV.
//!
//! Plucked strings (Karplus-Strong), a soft pad, bass and percussion over chord progressions; each
//! piece differs in key, tempo, meter, register and form. Nothing is copied from any recording.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const RATE: u32 = 44_100;

/// Title and seconds of each piece; lengths between 30 and 90 s, as the demo promises.
const PIECES: [(&str, u32); 12] = [
    ("Harbor Lights", 62),
    ("Paper Lanterns", 48),
    ("Slow Tram Home", 75),
    ("Copper Rain", 39),
    ("Night Ferry", 84),
    ("Windowsill", 33),
    ("Orchard Road", 57),
    ("Signal Hill", 70),
    ("Blue Hour", 45),
    ("Tin Roof", 36),
    ("Long Division", 88),
    ("First Frost", 52),
];

/// Natural minor, major, dorian, and a pentatonic, as semitones of the octave.
const SCALES: [&[i32]; 4] = [
    &[0, 2, 3, 5, 7, 8, 10],
    &[0, 2, 4, 5, 7, 9, 11],
    &[0, 2, 3, 5, 7, 9, 10],
    &[0, 3, 5, 7, 10],
];

/// Chord roots as steps of the scale.
const PROGRESSIONS: [[usize; 4]; 5] = [
    [0, 5, 2, 6],
    [0, 3, 4, 3],
    [0, 4, 5, 3],
    [5, 3, 0, 4],
    [0, 2, 3, 5],
];

/// Writes all pieces into `folder` and says where they are. Existing files are kept.
pub fn compose(folder: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut files = Vec::with_capacity(PIECES.len());
    for (number, (title, seconds)) in PIECES.iter().enumerate() {
        let path = folder.join(format!("{title}.wav"));
        if !path.exists() {
            let partial = path.with_extension("part");
            write_wav(&partial, &Piece::new(number as u64).render(*seconds))?;
            std::fs::rename(&partial, &path)?;
        }
        files.push(path);
    }
    Ok(files)
}

struct Piece {
    rng: StdRng,
    scale: &'static [i32],
    progression: [usize; 4],
    /// MIDI note of the tonic.
    tonic: i32,
    beat_secs: f32,
    beats_a_bar: usize,
    swing: f32,
    drums: bool,
}

impl Piece {
    fn new(number: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(0x616e_7469_7068_6f6e ^ number);
        Self {
            scale: SCALES[rng.random_range(0..SCALES.len())],
            progression: PROGRESSIONS[rng.random_range(0..PROGRESSIONS.len())],
            tonic: rng.random_range(45..57),
            beat_secs: 60.0 / rng.random_range(68.0..126.0_f32),
            beats_a_bar: if rng.random_bool(0.25) { 3 } else { 4 },
            swing: rng.random_range(0.0..0.18),
            drums: rng.random_bool(0.6),
            rng,
        }
    }

    fn render(mut self, seconds: u32) -> Stereo {
        let mut mix = Stereo::silence(seconds);
        let bar_secs = self.beat_secs * self.beats_a_bar as f32;
        let bars = ((seconds as f32 - 2.0) / bar_secs) as usize;
        for bar in 0..bars {
            let at = bar as f32 * bar_secs;
            let root = self.progression[bar % 4];
            let intensity = form(bar, bars);
            self.pad(&mut mix, at, bar_secs, root, intensity);
            self.bass(&mut mix, at, root, intensity);
            if bar >= 2 {
                self.melody(&mut mix, at, root, intensity);
            }
            if self.drums && bar >= 4 && bar + 2 < bars {
                self.percussion(&mut mix, at, intensity);
            }
        }
        mix.echo(self.beat_secs * 0.75);
        mix.finish();
        mix
    }

    fn note(&self, step: usize, octave: i32) -> f32 {
        let len = self.scale.len();
        let semitone = self.scale[step % len] + 12 * (step / len) as i32;
        440.0 * 2.0_f32.powf((self.tonic + semitone + 12 * octave - 69) as f32 / 12.0)
    }

    fn pad(&self, mix: &mut Stereo, at: f32, length: f32, root: usize, intensity: f32) {
        for (voice, step) in [root, root + 2, root + 4].into_iter().enumerate() {
            let frequency = self.note(step, 0);
            let pan = 0.3 + 0.2 * voice as f32;
            mix.tone(at, length * 1.1, frequency, pan, 0.05 * intensity);
        }
    }

    fn bass(&self, mix: &mut Stereo, at: f32, root: usize, intensity: f32) {
        let note = self.note(root, -1);
        for beat in (0..self.beats_a_bar).step_by(2) {
            let length = self.beat_secs * 1.6;
            mix.tone(
                at + beat as f32 * self.beat_secs,
                length,
                note,
                0.5,
                0.16 * intensity,
            );
        }
    }

    fn melody(&mut self, mix: &mut Stereo, at: f32, root: usize, intensity: f32) {
        for eighth in 0..self.beats_a_bar * 2 {
            if !self.rng.random_bool(f64::from(0.35 + 0.35 * intensity)) {
                continue;
            }
            let late = if eighth % 2 == 1 { self.swing } else { 0.0 };
            let start = at + (eighth as f32 / 2.0 + late) * self.beat_secs;
            let step = root + [0, 2, 4, 6, 7, 9][self.rng.random_range(0..6)];
            let frequency = self.note(step, 1);
            let pan = self.rng.random_range(0.2..0.8);
            let level = self.rng.random_range(0.10..0.22) * intensity;
            mix.pluck(start, 1.6, frequency, pan, level, &mut self.rng);
        }
    }

    fn percussion(&mut self, mix: &mut Stereo, at: f32, intensity: f32) {
        for beat in 0..self.beats_a_bar {
            let start = at + beat as f32 * self.beat_secs;
            if beat % 2 == 0 {
                mix.drum(start, 0.25 * intensity);
            } else {
                mix.noise(start, 0.12, 0.08 * intensity, &mut self.rng);
            }
            mix.noise(
                start + self.beat_secs / 2.0,
                0.03,
                0.04 * intensity,
                &mut self.rng,
            );
        }
    }
}

/// Quiet start, a climb, a fuller middle and a quiet end.
fn form(bar: usize, bars: usize) -> f32 {
    let place = bar as f32 / bars.max(1) as f32;
    0.55 + 0.45 * (std::f32::consts::PI * place).sin()
}

struct Stereo {
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Stereo {
    fn silence(seconds: u32) -> Self {
        let frames = (seconds * RATE) as usize;
        Self {
            left: vec![0.0; frames],
            right: vec![0.0; frames],
        }
    }

    fn add(&mut self, at: f32, pan: f32, samples: impl Iterator<Item = f32>) {
        let start = (at * RATE as f32) as usize;
        let left = self.left.iter_mut().skip(start);
        let right = self.right.iter_mut().skip(start);
        for ((left, right), sample) in left.zip(right).zip(samples) {
            *left += sample * (1.0 - pan);
            *right += sample * pan;
        }
    }

    /// Two partials a little apart, slow in and slow out.
    fn tone(&mut self, at: f32, length: f32, frequency: f32, pan: f32, level: f32) {
        let frames = (length * RATE as f32) as usize;
        let turn = std::f32::consts::TAU * frequency / RATE as f32;
        self.add(
            at,
            pan,
            (0..frames).map(move |n| {
                let place = n as f32 / frames as f32;
                let envelope = (place * 12.0).min(1.0) * (1.0 - place).min(0.3) / 0.3;
                let phase = turn * n as f32;
                level
                    * envelope
                    * (phase.sin() + 0.4 * (phase * 2.003).sin() + 0.15 * (phase * 3.01).sin())
            }),
        );
    }

    /// A Karplus-Strong string.
    fn pluck(
        &mut self,
        at: f32,
        length: f32,
        frequency: f32,
        pan: f32,
        level: f32,
        rng: &mut StdRng,
    ) {
        let period = (RATE as f32 / frequency).max(2.0) as usize;
        let mut string: Vec<f32> = (0..period).map(|_| rng.random_range(-1.0..1.0)).collect();
        let frames = (length * RATE as f32) as usize;
        let mut place = 0;
        let samples = (0..frames).map(move |n| {
            let next = (place + 1) % period;
            let sample = string[place];
            string[place] = 0.497 * (sample + string[next]);
            place = next;
            level * sample * (1.0 - n as f32 / frames as f32)
        });
        let samples: Vec<f32> = samples.collect();
        self.add(at, pan, samples.into_iter());
    }

    fn drum(&mut self, at: f32, level: f32) {
        let frames = RATE as usize / 5;
        self.add(
            at,
            0.5,
            (0..frames).map(move |n| {
                let time = n as f32 / RATE as f32;
                let phase =
                    std::f32::consts::TAU * (50.0 * time + 4.0 * (1.0 - (-time * 30.0).exp()));
                level * phase.sin() * (-time * 18.0).exp()
            }),
        );
    }

    fn noise(&mut self, at: f32, length: f32, level: f32, rng: &mut StdRng) {
        let frames = (length * RATE as f32) as usize;
        let samples: Vec<f32> = (0..frames)
            .map(|n| level * rng.random_range(-1.0..1.0) * (1.0 - n as f32 / frames as f32).powi(3))
            .collect();
        self.add(at, 0.55, samples.into_iter());
    }

    /// One crossed echo, which makes a room.
    fn echo(&mut self, delay_secs: f32) {
        let delay = (delay_secs * RATE as f32) as usize;
        for n in delay..self.left.len() {
            let (left, right) = (self.left[n - delay], self.right[n - delay]);
            self.left[n] += 0.28 * right;
            self.right[n] += 0.28 * left;
        }
    }

    /// Soft clipping, and two seconds of fade at the end.
    fn finish(&mut self) {
        let frames = self.left.len();
        let fade = 2 * RATE as usize;
        for channel in [&mut self.left, &mut self.right] {
            for (n, sample) in channel.iter_mut().enumerate() {
                let left_over = (frames - n) as f32 / fade as f32;
                *sample = (*sample * 1.3).tanh() * left_over.min(1.0);
            }
        }
    }
}

fn write_wav(path: &Path, sound: &Stereo) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let bytes = sound.left.len() as u32 * 4;
    file.write_all(b"RIFF")?;
    file.write_all(&(36 + bytes).to_le_bytes())?;
    file.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x02\0")?;
    file.write_all(&RATE.to_le_bytes())?;
    file.write_all(&(RATE * 4).to_le_bytes())?;
    file.write_all(b"\x04\0\x10\0data")?;
    file.write_all(&bytes.to_le_bytes())?;
    for (left, right) in sound.left.iter().zip(&sound.right) {
        for sample in [left, right] {
            file.write_all(&((sample * 32_000.0) as i16).to_le_bytes())?;
        }
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_differ_are_audible_and_do_not_clip() {
        let loudest = |number| {
            let sound = Piece::new(number).render(8);
            let peak = sound
                .left
                .iter()
                .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            assert!(
                (0.05..=1.0).contains(&peak),
                "piece {number} peaks at {peak}"
            );
            sound.left
        };
        assert_ne!(loudest(0), loudest(1));
    }
}
