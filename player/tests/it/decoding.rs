use std::sync::atomic::Ordering;

use antiphon_player::{TrackDecoder, TrackSpec, decode_all};

use crate::fixtures::{Counted, decoded, ogg, pages, whole};

#[test]
fn exactly_the_encoded_frames_come_out() {
    for (rate, channels, frames) in [
        (44_100, 2, 44_100 * 3),
        (44_100, 2, 44_101),
        (44_100, 1, 12_345),
        (48_000, 2, 99_999),
        (22_050, 2, 30_000),
        (44_100, 2, 1),
        (44_100, 2, 100),
        (44_100, 2, 1_000),
        (44_100, 6, 20_000),
    ] {
        let track = decoded(&ogg(1, rate, channels, frames));
        assert_eq!(track.frames(), frames as u64, "{rate} {channels} {frames}");
        assert_eq!(track.format.rate, rate);
        assert_eq!(track.format.channels, u16::from(channels));
    }
}

#[test]
fn what_comes_out_is_what_was_encoded() {
    let track = decoded(&ogg(0, 44_100, 1, 44_100));
    let difference: f32 = track
        .samples
        .iter()
        .enumerate()
        .map(|(i, sample)| {
            let time = i as f32 / 44_100.0;
            let slow = (time * 3.0).sin() * 0.3;
            let ideal = (time * 220.0 * std::f32::consts::TAU).sin() * (0.4 + slow);
            (sample - ideal).abs()
        })
        .sum();
    assert!(
        difference / 44_100.0 < 0.02,
        "mean difference {}",
        difference / 44_100.0
    );
}

#[test]
fn a_stated_length_is_never_exceeded() {
    let bytes = ogg(1, 44_100, 2, 50_000);
    let spec = TrackSpec {
        frames: Some(20_000),
        ..TrackSpec::default()
    };
    assert_eq!(decode_all(whole(&bytes), &spec).unwrap().frames(), 20_000);
}

#[test]
fn the_first_half_second_reads_only_the_start_of_the_file() {
    let bytes = ogg(2, 44_100, 2, 44_100 * 60);
    let (source, log) = Counted::new(&bytes);
    let mut decoder = TrackDecoder::open(source, &TrackSpec::default()).unwrap();
    let first_audio = pages(&bytes)
        .iter()
        .find(|(_, granule)| *granule > 0)
        .unwrap()
        .0;
    let to_open = log.highest.load(Ordering::Relaxed);
    assert!(
        to_open < first_audio + 16 * 1024,
        "opening read {to_open} bytes"
    );
    let mut samples = Vec::new();
    while samples.len() < 22_050 * 2 {
        decoder.next_block(&mut samples).unwrap().unwrap();
    }
    let (read, highest) = (
        log.bytes.load(Ordering::Relaxed),
        log.highest.load(Ordering::Relaxed),
    );
    println!("opening read {to_open} bytes, half a second {read}, setup ends at {first_audio}");
    assert!(read < 64 * 1024, "read {read} bytes");
    assert!(
        highest < 64 * 1024,
        "read up to byte {highest} of {}",
        bytes.len()
    );
}
