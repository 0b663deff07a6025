//! What a good file becomes.

use antiphon_origin::ingest::{IngestEvent, IngestOptions, ingest};
use antiphon_origin::library::LibraryError;
use antiphon_protocol::{Gain, Rung, TrackManifest};

use super::sounds::{Planes, decode, noise, tone, vorbis, wav};
use super::{Bench, fixture, only};

const RATE: u32 = 44_100;

#[test]
fn a_wav_becomes_every_rung_with_exactly_its_samples() {
    let bench = Bench::new();
    let frames = 3 * RATE as usize + 1_234;
    let manifest = bench.accept("a.wav", &wav(&noise(frames, 2), RATE));
    let rungs: Vec<_> = manifest.renditions.iter().map(|it| it.rung).collect();
    assert_eq!(rungs, Rung::ALL);
    for rendition in &manifest.renditions {
        let file = bench.decrypted(manifest.track, rendition);
        assert_eq!(file.len() as u64, rendition.size.0);
        assert_eq!(rendition.frames, frames as u64);
        assert_eq!((rendition.sample_rate, rendition.channels), (RATE, 2));
        let heard = decode(&file);
        assert_eq!(heard[0].len(), frames);
        assert_eq!(rendition.seek_table.len(), 4);
        assert_eq!(rendition.seek_table[0], rendition.setup_bytes);
    }
    let rates: Vec<_> = manifest.renditions.iter().map(|it| it.bit_rate).collect();
    assert!(rates.is_sorted() && rates[0] < rates[2], "{rates:?}");
}

#[test]
fn ogg_vorbis_within_a_rung_is_kept_byte_for_byte() {
    let bench = Bench::new();
    let planes = noise(6 * RATE as usize, 2);
    for (quality, kept) in [(0.0, Rung::Low), (0.5, Rung::Standard), (0.8, Rung::High)] {
        let source = vorbis(&planes, quality, &[]);
        let rate = source.len() * 8 / 6_000;
        let manifest = bench.accept(&format!("{quality}.ogg"), &source);
        let best = manifest.renditions.last().unwrap();
        assert_eq!(best.rung, kept, "at {rate} kbit/s");
        assert_eq!(bench.decrypted(manifest.track, best), source);
        for lower in &manifest.renditions {
            assert!(lower.bit_rate <= best.bit_rate);
        }
    }
}

#[test]
fn bytes_behind_the_last_page_are_not_music() {
    let bench = Bench::new();
    let source = vorbis(&noise(RATE as usize, 2), 0.0, &[]);
    let longer = [source.as_slice(), b"TAG and other junk"].concat();
    let manifest = bench.accept("a.ogg", &longer);
    let kept = &manifest.renditions[0];
    assert_eq!(bench.decrypted(manifest.track, kept), source);
}

#[test]
fn every_second_can_be_decoded_from_its_seek_entry_and_from_no_later_page() {
    let bench = Bench::new();
    let source = vorbis(&noise(9 * RATE as usize + 77, 2), 0.3, &[]);
    let manifest = bench.accept("a.ogg", &source);
    let rendition = manifest.renditions.last().unwrap();
    let file = bench.decrypted(manifest.track, rendition);
    let whole = decode(&file);
    assert_eq!(rendition.seek_table.len(), 10);
    let pages = page_offsets(&file);
    for (second, offset) in rendition.seek_table.iter().enumerate() {
        let first_sample = second * RATE as usize;
        assert!(reaches(
            &file,
            rendition.setup_bytes,
            *offset,
            &whole,
            first_sample
        ));
        let later = pages.iter().find(|page| *page > offset);
        if let Some(later) = later.filter(|_| second > 0) {
            let setup = rendition.setup_bytes;
            assert!(
                !reaches(&file, setup, *later, &whole, first_sample),
                "second {second}"
            );
        }
    }
}

/// Whether decoding from `offset` gives the sample at `first` and all after it, unchanged.
fn reaches(file: &[u8], setup: u32, offset: u32, whole: &Planes, first: usize) -> bool {
    let joined = [&file[..setup as usize], &file[offset as usize..]].concat();
    let part = decode(&joined);
    // A decoder that joins late cannot know where it is; the end is common to both.
    let due = whole[0].len() - first;
    part[0].len() >= due
        && part.iter().zip(whole).all(|(part, whole)| {
            let (part, whole) = (&part[part.len() - due..], &whole[first..]);
            part.iter().zip(whole).all(|(a, b)| (a - b).abs() < 1e-6)
        })
}

fn page_offsets(file: &[u8]) -> Vec<u32> {
    let starts = file.windows(5).enumerate();
    let starts = starts.filter(|(_, bytes)| *bytes == b"OggS\0");
    starts.map(|(at, _)| at as u32).collect()
}

#[test]
fn flac_mp3_and_aac_become_tracks_of_their_true_length() {
    let bench = Bench::new();
    for (name, frames, rungs) in [
        ("tone.flac", 30_870, 3),
        // 1.5 s at 32 kHz.
        ("tone.mp3", 48_000, 1),
        ("tone-plain.mp3", 0, 1),
        ("tone.m4a", 0, 1),
        ("tone.aac", 0, 1),
    ] {
        let manifest = bench.accept(name, &fixture(name));
        assert_eq!(manifest.renditions.len(), rungs, "{name}");
        for rendition in &manifest.renditions {
            let file = bench.decrypted(manifest.track, rendition);
            assert_eq!(decode(&file)[0].len() as u64, rendition.frames, "{name}");
            if frames > 0 {
                assert_eq!(rendition.frames, frames, "{name}");
            } else {
                // Such a file does not say how much of it is padding.
                let seconds = rendition.duration().as_secs_f64();
                assert!((1.5..1.65).contains(&seconds), "{name}: {seconds}");
            }
        }
    }
}

#[test]
fn junk_behind_an_mp3_changes_nothing() {
    let bench = Bench::new();
    let plain = bench.accept("a.mp3", &fixture("tone.mp3"));
    let junk = [
        fixture("tone.mp3"),
        b"TAG\xff\xfb\x90\x00 lyrics".repeat(40),
    ]
    .concat();
    let with_junk = bench.accept("b.mp3", &junk);
    assert_eq!(plain.renditions[0].frames, with_junk.renditions[0].frames);
    assert_eq!(plain.track_gain, with_junk.track_gain);
}

#[test]
fn high_sample_rates_are_brought_down_and_all_others_kept() {
    let bench = Bench::new();
    for (from, to) in [
        (96_000, 48_000),
        (88_200, 44_100),
        (50_000, 48_000),
        (22_050, 22_050),
    ] {
        let frames = from as usize * 2 + 17;
        let manifest = bench.accept(
            &format!("{from}.wav"),
            &wav(&tone(frames, 2, from, 0.5), from),
        );
        let due = (frames as u64 * u64::from(to)).div_ceil(u64::from(from));
        for rendition in &manifest.renditions {
            assert_eq!(
                (rendition.sample_rate, rendition.frames),
                (to, due),
                "{from}"
            );
        }
        let standard = manifest.rendition(Rung::Standard).unwrap();
        let heard = decode(&bench.decrypted(manifest.track, standard));
        let expected = tone(due as usize, 2, to, 0.5);
        let middle = due as usize / 4..due as usize * 3 / 4;
        let error: f32 = middle
            .clone()
            .map(|at| (heard[0][at] - expected[0][at]).powi(2))
            .sum();
        let error = (error / middle.len() as f32).sqrt();
        assert!(
            error < 0.03,
            "{from}: a shift or a change of pitch, {error}"
        );
    }
}

#[test]
fn every_usual_sample_rate_can_be_encoded_on_every_rung() {
    let bench = Bench::new();
    for rate in [8_000, 11_025, 12_000, 16_000, 24_000, 32_000, 48_000] {
        for channels in [1, 2] {
            let bytes = wav(&tone(rate as usize, channels, rate, 0.5), rate);
            let manifest = bench.accept(&format!("{rate}-{channels}.wav"), &bytes);
            let lengths: Vec<_> = manifest.renditions.iter().map(|it| it.frames).collect();
            assert_eq!(lengths, [u64::from(rate); 3]);
        }
    }
}

#[test]
fn more_than_two_channels_become_stereo_and_one_stays_one() {
    let bench = Bench::new();
    let surround = bench.accept("6.wav", &wav(&tone(40_000, 6, RATE, 0.9), RATE));
    assert!(
        surround
            .renditions
            .iter()
            .all(|it| it.channels == 2 && it.frames == 40_000)
    );
    assert!(surround.true_peak < Gain(30), "{:?}", surround.true_peak);
    let mono = bench.accept("1.wav", &wav(&tone(40_000, 1, RATE, 0.5), RATE));
    assert!(mono.renditions.iter().all(|it| it.channels == 1));
}

#[test]
fn gain_and_peak_are_those_of_the_standard() {
    let bench = Bench::new();
    let both = |frequency: f64, amplitude: f32| -> Planes {
        let sample = |at: usize| {
            let phase = std::f64::consts::TAU * frequency * at as f64 / f64::from(RATE);
            amplitude * phase.sin() as f32
        };
        vec![(0..RATE as usize * 3).map(sample).collect(); 2]
    };
    // EBU Tech 3341: a stereo sine of 1 kHz at -20 dBFS measures -20 LUFS.
    let manifest = bench.accept("a.wav", &wav(&both(1_000.0, 0.1), RATE));
    assert!(
        (manifest.track_gain.0 - 200).abs() <= 5,
        "{:?}",
        manifest.track_gain
    );
    assert_eq!(manifest.album_gain, manifest.track_gain);
    assert!(
        (manifest.true_peak.0 + 2_000).abs() <= 10,
        "{:?}",
        manifest.true_peak
    );
    let silence: TrackManifest = bench.accept("s.wav", &wav(&vec![vec![0.0; 88_200]; 2], RATE));
    assert_eq!(
        (silence.track_gain, silence.true_peak),
        (Gain(0), Gain(-20_000))
    );
    let faint = bench.accept("f.wav", &wav(&both(1_000.0, 0.001), RATE));
    assert_eq!(faint.track_gain, Gain(2_000));
}

#[test]
fn the_same_file_again_is_the_same_track_and_writes_nothing() {
    let bench = Bench::new();
    let bytes = wav(&tone(50_000, 2, RATE, 0.5), RATE);
    bench.source("a.wav", &bytes);
    let track = only(&bench.ingest()).track;
    let (objects, private) = (bench.objects(), bench.private_files());
    let release = std::fs::read(bench.library.release_path(track)).unwrap();
    bench.source("sub/copy.wav", &bytes);
    let again = bench.ingest();
    assert_eq!((again.accepted.len(), again.skipped.len()), (0, 2));
    assert!(again.skipped.iter().all(|(_, skipped)| *skipped == track));
    assert_eq!((bench.objects(), bench.private_files()), (objects, private));
    assert_eq!(
        std::fs::read(bench.library.release_path(track)).unwrap(),
        release
    );
}

#[test]
fn force_makes_a_new_version_under_new_keys() {
    let bench = Bench::new();
    bench.source("a.wav", &wav(&tone(50_000, 2, RATE, 0.5), RATE));
    let track = only(&bench.ingest()).track;
    let before = bench.manifest(track);
    let force = IngestOptions {
        force: true,
        ..IngestOptions::default()
    };
    assert_eq!(only(&bench.ingest_with(&force)).track, track);
    let after = bench.manifest(track);
    assert_eq!((before.version, after.version), (1, 2));
    assert_ne!(before.renditions[0].content, after.renditions[0].content);
    assert_eq!(before.renditions[0].size, after.renditions[0].size);
}

#[test]
fn only_the_rungs_asked_for_are_made() {
    let bench = Bench::new();
    bench.source("a.wav", &wav(&tone(50_000, 2, RATE, 0.5), RATE));
    let options = IngestOptions {
        rungs: vec![Rung::Standard],
        jobs: 1,
        ..IngestOptions::default()
    };
    assert_eq!(only(&bench.ingest_with(&options)).rungs, [Rung::Standard]);
}

#[test]
fn progress_reaches_the_total_and_a_second_writer_is_turned_away() {
    let bench = Bench::new();
    let path = bench.source("a.wav", &wav(&tone(90_000, 2, RATE, 0.5), RATE));
    let seen = std::sync::Mutex::new((0, 0, false));
    let options = IngestOptions::default();
    let summary = ingest(
        &bench.library,
        std::slice::from_ref(&path),
        &options,
        |event| {
            let mut seen = seen.lock().unwrap();
            match event {
                IngestEvent::Discovered { files: 1, bytes } => seen.1 = bytes,
                IngestEvent::Progress {
                    bytes_done,
                    bytes_total,
                    ..
                } => {
                    assert!(bytes_done <= bytes_total);
                    seen.0 = seen.0.max(bytes_done);
                }
                IngestEvent::Started { .. } => {
                    let second = ingest(&bench.library, &[], &options, |_| {});
                    seen.2 = matches!(second, Err(LibraryError::Busy(_)));
                }
                _ => {}
            }
        },
    );
    let (done, total, was_busy) = seen.into_inner().unwrap();
    assert_eq!((done, was_busy), (total, true));
    assert_eq!(summary.unwrap().audio.0, 90_000 * 1_000_000 / 44_100);
}
