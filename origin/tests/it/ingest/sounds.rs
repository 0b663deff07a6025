//! Sources made on the spot: tones and noise as WAV and Ogg Vorbis, and decoding them back.

use std::num::{NonZeroU8, NonZeroU32};

use vorbis_rs::{VorbisBitrateManagementStrategy, VorbisDecoder, VorbisEncoderBuilder};

pub(crate) type Planes = Vec<Vec<f32>>;

/// A tone with a different pitch in each channel.
pub(crate) fn tone(frames: usize, channels: usize, rate: u32, amplitude: f32) -> Planes {
    let sample = |channel: usize, at: usize| {
        let pitch = 440.0 + 110.0 * channel as f64;
        let phase = std::f64::consts::TAU * pitch * at as f64 / f64::from(rate);
        amplitude * phase.sin() as f32
    };
    let plane = |channel| (0..frames).map(|at| sample(channel, at)).collect();
    (0..channels).map(plane).collect()
}

/// Noise that never repeats, so that every second of it is different, over a tone that fades in
/// and out, so that the encoder changes its block size.
pub(crate) fn noise(frames: usize, channels: usize) -> Planes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut planes = vec![Vec::with_capacity(frames); channels];
    for at in 0..frames {
        let burst = if at / 5_000 % 3 == 0 { 0.8 } else { 0.05 };
        for plane in &mut planes {
            plane.push(burst * next());
        }
    }
    planes
}

/// A 16-bit WAV file.
pub(crate) fn wav(planes: &Planes, rate: u32) -> Vec<u8> {
    let channels = planes.len() as u16;
    let mut data = Vec::new();
    for at in 0..planes[0].len() {
        for plane in planes {
            let sample = (plane[at].clamp(-1.0, 1.0) * 32_767.0) as i16;
            data.extend_from_slice(&sample.to_le_bytes());
        }
    }
    let mut out = b"RIFF".to_vec();
    out.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0");
    out.extend_from_slice(&channels.to_le_bytes());
    out.extend_from_slice(&rate.to_le_bytes());
    out.extend_from_slice(&(rate * u32::from(channels) * 2).to_le_bytes());
    out.extend_from_slice(&(channels * 2).to_le_bytes());
    out.extend_from_slice(&16_u16.to_le_bytes());
    out.extend_from_slice(b"data");
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(&data);
    out
}

/// An Ogg Vorbis file at 44.1 kHz with these comments.
pub(crate) fn vorbis(planes: &Planes, quality: f32, comments: &[(&str, &str)]) -> Vec<u8> {
    let rate = NonZeroU32::new(44_100).unwrap();
    let channels = NonZeroU8::new(planes.len() as u8).unwrap();
    let strategy = VorbisBitrateManagementStrategy::QualityVbr {
        target_quality: quality,
    };
    let mut encoder = VorbisEncoderBuilder::new_with_serial(rate, channels, Vec::new(), 7)
        .bitrate_management_strategy(strategy)
        .comment_tags(comments.iter().copied())
        .unwrap()
        .build()
        .unwrap();
    for start in (0..planes[0].len()).step_by(1024) {
        let end = (start + 1024).min(planes[0].len());
        let block: Vec<&[f32]> = planes.iter().map(|plane| &plane[start..end]).collect();
        encoder.encode_audio_block(block).unwrap();
    }
    encoder.finish().unwrap()
}

/// All samples of an Ogg Vorbis file, by another decoder than ingest uses.
pub(crate) fn decode(ogg: &[u8]) -> Planes {
    let mut decoder = VorbisDecoder::<&[u8]>::new(ogg).unwrap();
    let mut planes = vec![Vec::new(); usize::from(decoder.channels().get())];
    let mut holes = 0;
    loop {
        match decoder.decode_audio_block() {
            Ok(None) => return planes,
            Ok(Some(block)) => {
                for (plane, samples) in planes.iter_mut().zip(block.samples()) {
                    plane.extend_from_slice(samples);
                }
            }
            // Said once where pages were left out, then decoding goes on.
            Err(error) => {
                holes += 1;
                assert!(holes == 1, "{error}");
            }
        }
    }
}
