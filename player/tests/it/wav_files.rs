use std::str::FromStr;

use antiphon_player::{Event, PlayFailure, Player, PlayerConfig, SinkError, SinkSpec};

use crate::fixtures::{decoded, ogg, track, until_empty};

/// The fields of a canonical 44-byte header, and the data.
fn read(path: &std::path::Path) -> (u16, u16, u32, u16, Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let u16_at = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(
        (&bytes[..4], &bytes[8..16], &bytes[36..40]),
        (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
    );
    assert_eq!(u32_at(4) as usize, bytes.len() - 8);
    assert_eq!(u32_at(40) as usize, bytes.len() - 44);
    assert_eq!(u32_at(28), u32_at(24) * u32::from(u16_at(32)));
    (
        u16_at(20),
        u16_at(22),
        u32_at(24),
        u16_at(34),
        bytes[44..].to_vec(),
    )
}

fn write(spec: &str, bytes: &[u8]) {
    let sink = SinkSpec::from_str(spec).unwrap().open().unwrap();
    let (player, events) = Player::new(PlayerConfig::default(), sink).unwrap();
    player.play(track(1, bytes)).unwrap();
    until_empty(&events);
    player.shutdown().unwrap();
}

#[test]
fn a_float_file_holds_every_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.wav");
    let bytes = ogg(1, 48_000, 2, 70_001);
    write(&format!("wavf32:{}", path.display()), &bytes);
    let (tag, channels, rate, bits, data) = read(&path);
    assert_eq!((tag, channels, rate, bits), (3, 2, 48_000, 32));
    let samples: Vec<f32> = data
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert!(samples == decoded(&bytes).samples);
}

#[test]
fn sixteen_bit_files_hold_the_music_clocked_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = ogg(1, 44_100, 2, 20_000);
    let expected: Vec<i16> = decoded(&bytes)
        .samples
        .iter()
        .map(|sample| (sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16)
        .collect();
    for form in ["wav", "wav-clocked"] {
        let path = folder.path().join(form);
        write(&format!("{form}:{}", path.display()), &bytes);
        let (tag, channels, rate, bits, data) = read(&path);
        assert_eq!((tag, channels, rate, bits), (1, 2, 44_100, 16));
        let samples: Vec<i16> = data
            .chunks_exact(2)
            .map(|b| i16::from_le_bytes(b.try_into().unwrap()))
            .collect();
        // The clock goes on for up to a period after the last sample.
        assert!(samples[..expected.len()] == expected, "{form}");
        assert!(
            samples[expected.len()..].iter().all(|sample| *sample == 0),
            "{form}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_written_fails_the_play_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("x.wav");
    let sink = SinkSpec::from_str(&format!("wav:{}", path.display()))
        .unwrap()
        .open()
        .unwrap();
    let (player, events) = Player::new(PlayerConfig::default(), sink).unwrap();
    player.play(track(1, &ogg(1, 44_100, 2, 5_000))).unwrap();
    let seen = until_empty(&events);
    let Some(Event::Failed {
        reason: PlayFailure::Sink(error),
        ..
    }) = seen.first()
    else {
        panic!("{seen:?}");
    };
    assert!(
        matches!(error, SinkError::File { path: named, .. } if *named == path),
        "{error}"
    );
}
