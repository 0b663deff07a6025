use std::io::{self, Read, Seek, SeekFrom};

use antiphon_player::{
    DecodeError, Event, PlayFailure, PlayId, PlayerConfig, Track, TrackSource, TrackSpec,
    decode_all,
};

use crate::fixtures::{ogg, recorder, track, until_empty, whole};

/// A stream of bytes that look random and are the same every time.
fn noise(count: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

#[test]
fn bytes_that_are_no_music_fail_and_the_next_track_plays() {
    let good = ogg(1, 44_100, 2, 5_000);
    let mut text = noise(100_000, 3);
    text[..4].copy_from_slice(b"OggS");
    let bad: [Vec<u8>; 6] = [
        Vec::new(),
        vec![0],
        noise(100_000, 1),
        text,
        good[..100].to_vec(),
        vec![0; 1 << 20],
    ];
    for bytes in bad {
        let (player, events, tape) = recorder(PlayerConfig::default());
        player.pause().unwrap();
        player.enqueue(track(1, &bytes)).unwrap();
        player.enqueue(track(2, &good)).unwrap();
        player.resume().unwrap();
        let seen = until_empty(&events);
        let failed = |event: &Event| matches!(event, Event::Failed { id: PlayId(1), .. });
        assert!(seen.iter().any(failed), "{seen:?}");
        assert!(seen.contains(&Event::TrackEnded {
            id: PlayId(2),
            frames_played: 5_000
        }));
        assert_eq!(tape.samples().len(), 10_000);
    }
}

#[test]
fn a_track_that_breaks_off_plays_up_to_there_and_fails() {
    let bytes = ogg(1, 44_100, 2, 60_000);
    let (player, events, tape) = recorder(PlayerConfig::default());
    player
        .play(track(1, &bytes[..bytes.len() * 2 / 3]))
        .unwrap();
    let seen = until_empty(&events);
    let failed = seen.iter().find_map(|event| match event {
        Event::Failed {
            reason,
            frames_played,
            ..
        } => Some((reason, *frames_played)),
        _ => None,
    });
    let (reason, frames_played) = failed.expect("it failed");
    assert!(
        matches!(reason, PlayFailure::Decode(DecodeError::Truncated { .. })),
        "{reason:?}"
    );
    assert!((1..60_000).contains(&frames_played));
    assert_eq!(tape.samples().len() as u64, frames_played * 2);
}

#[test]
fn damaged_files_never_panic_and_never_exceed_their_length() {
    let good = ogg(1, 44_100, 2, 30_000);
    let spec = TrackSpec {
        frames: Some(30_000),
        ..TrackSpec::default()
    };
    for seed in 0..60 {
        let mut bytes = good.clone();
        let hits = noise(64, seed);
        for hit in hits.chunks_exact(4) {
            let at = u32::from_le_bytes([hit[0], hit[1], hit[2], 0]) as usize % bytes.len();
            bytes[at] ^= hit[3] | 1;
        }
        if let Ok(track) = decode_all(whole(&bytes), &spec) {
            assert!(track.frames() <= 30_000, "seed {seed}");
        }
    }
}

struct Panicking;

impl Read for Panicking {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("on purpose");
    }
}

impl Seek for Panicking {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

impl TrackSource for Panicking {
    fn byte_len(&self) -> u64 {
        1_000_000
    }
}

#[test]
fn a_panic_while_decoding_costs_that_track_only() {
    let good = ogg(1, 44_100, 2, 5_000);
    let (player, events, tape) = recorder(PlayerConfig::default());
    player.pause().unwrap();
    let spec = TrackSpec::default();
    player
        .enqueue(Track {
            id: PlayId(1),
            source: Box::new(Panicking),
            spec,
        })
        .unwrap();
    player.enqueue(track(2, &good)).unwrap();
    player.resume().unwrap();
    let seen = until_empty(&events);
    let reason = PlayFailure::Panicked {
        message: "on purpose".to_owned(),
    };
    assert_eq!(
        seen.iter().find(|e| matches!(e, Event::Failed { .. })),
        Some(&Event::Failed {
            id: PlayId(1),
            reason,
            frames_played: 0
        })
    );
    assert_eq!(tape.samples().len(), 10_000);
}
