use std::time::{Duration, Instant};

use antiphon_player::{
    Event, MemorySink, PlayFailure, PlayId, PlayState, Player, PlayerConfig, PlayerError, SinkSpec,
    SkipReason, Track, TrackSpec, Volume,
};

use crate::fixtures::{
    DEADLINE, Gated, decoded, ogg, recorder, seek_table, track, until, until_empty, whole,
};

#[test]
fn tracks_in_order_come_out_without_a_gap_and_bit_for_bit() {
    let files = [
        ogg(1, 44_100, 2, 100_001),
        ogg(2, 44_100, 2, 3_000),
        ogg(3, 44_100, 2, 50_000),
    ];
    let (player, events, tape) = recorder(PlayerConfig::default());
    // Nothing is heard until all three are queued, so that none can be late.
    player.pause().unwrap();
    for (id, file) in files.iter().enumerate() {
        player.enqueue(track(id as u64, file)).unwrap();
    }
    player.resume().unwrap();
    let seen = until_empty(&events);
    let expected: Vec<f32> = files
        .iter()
        .flat_map(|file| decoded(file).samples)
        .collect();
    assert_eq!(tape.samples().len(), expected.len());
    assert!(tape.samples() == expected, "some sample differs");
    let ended: Vec<_> = seen
        .iter()
        .filter_map(|event| match event {
            Event::TrackEnded { id, frames_played } => Some((id.0, *frames_played)),
            _ => None,
        })
        .collect();
    assert_eq!(ended, [(0, 100_001), (1, 3_000), (2, 50_000)]);
    let started = seen
        .iter()
        .filter(|event| matches!(event, Event::Started { .. }))
        .count();
    assert_eq!(started, 3);
    player.shutdown().unwrap();
}

#[test]
fn a_track_of_another_rate_follows_at_the_output_rate() {
    let (first, second) = (ogg(1, 44_100, 2, 44_100), ogg(2, 48_000, 1, 48_000));
    let (player, events, tape) = recorder(PlayerConfig::default());
    player.pause().unwrap();
    player.enqueue(track(1, &first)).unwrap();
    player.enqueue(track(2, &second)).unwrap();
    player.resume().unwrap();
    let seen = until_empty(&events);
    assert_eq!(tape.samples().len(), 2 * 2 * 44_100);
    assert!(tape.samples()[..2 * 44_100] == decoded(&first).samples);
    assert!(seen.contains(&Event::TrackEnded {
        id: PlayId(2),
        frames_played: 48_000
    }));
}

#[test]
fn gain_is_applied_but_never_beyond_full_scale() {
    let bytes = ogg(1, 44_100, 2, 30_000);
    let plain = decoded(&bytes).samples;
    let peak = plain
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    for (millibel, factor) in [(-602, 0.5), (200, 1.2589), (3_000, 1.0 / peak)] {
        let (player, events, tape) = recorder(PlayerConfig::default());
        let spec = TrackSpec {
            track_gain_millibel: millibel,
            peak: Some(peak),
            ..TrackSpec::default()
        };
        player
            .play(Track {
                id: PlayId(1),
                source: whole(&bytes),
                spec,
            })
            .unwrap();
        until_empty(&events);
        let heard = tape.samples();
        assert_eq!(heard.len(), plain.len());
        let worst = plain
            .iter()
            .zip(&heard)
            .map(|(a, b)| (a * factor - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-3, "{millibel}");
        assert!(
            heard
                .iter()
                .all(|sample| sample.abs() <= 1.0 + f32::EPSILON)
        );
    }
}

#[test]
fn volume_scales_what_is_heard() {
    let bytes = ogg(1, 44_100, 2, 30_000);
    let config = PlayerConfig {
        volume: Volume::from_linear(0.25),
        ..PlayerConfig::default()
    };
    let (player, events, tape) = recorder(config);
    player.play(track(1, &bytes)).unwrap();
    until_empty(&events);
    let expected: Vec<f32> = decoded(&bytes)
        .samples
        .iter()
        .map(|sample| sample * 0.25)
        .collect();
    assert!(tape.samples() == expected);
}

#[test]
fn a_seek_while_playing_continues_at_the_very_frame() {
    let bytes = ogg(1, 44_100, 2, 44_100 * 8);
    let plain = decoded(&bytes).samples;
    let (source, gate) = Gated::new(&bytes);
    // Two seconds come, then the source blocks: whatever was heard came from there.
    gate.open_to(bytes.len() as u64 / 4);
    let spec = TrackSpec {
        seek_table: seek_table(&bytes, 44_100, 44_100 * 8),
        frames: Some(44_100 * 8),
        ..TrackSpec::default()
    };
    let (player, events, tape) = recorder(PlayerConfig::default());
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec,
        })
        .unwrap();
    until(&events, |event| matches!(event, Event::Started { .. }));
    gate.wait_until_blocked();
    player.seek(Duration::from_secs(6)).unwrap();
    gate.open_to(bytes.len() as u64);
    let seen = until_empty(&events);
    assert!(
        seen.contains(&Event::Seeked {
            id: PlayId(1),
            frame: 44_100 * 6
        }),
        "{seen:?}"
    );
    let heard = tape.samples();
    let rest = &plain[44_100 * 6 * 2..];
    assert!(heard.len() > rest.len());
    let (before, after) = heard.split_at(heard.len() - rest.len());
    assert!(after == rest, "what follows the seek differs");
    assert!(
        before == &plain[..before.len()],
        "what precedes the seek differs"
    );
    let ended = seen.iter().find_map(|event| match event {
        Event::TrackEnded { frames_played, .. } => Some(*frames_played),
        _ => None,
    });
    // What the sink took while the seek was under way is not counted: a few of its blocks.
    let uncounted = (heard.len() as u64 / 2)
        .checked_sub(ended.unwrap())
        .unwrap();
    assert!(
        uncounted <= 8_192,
        "{uncounted} frames were heard but not counted"
    );
}

#[test]
fn skip_goes_to_the_next_track_from_its_start() {
    let (first, second) = (ogg(1, 44_100, 2, 400_000), ogg(2, 44_100, 2, 20_000));
    let (source, gate) = Gated::new(&first);
    gate.open_to(first.len() as u64 / 2);
    let (player, events, tape) = recorder(PlayerConfig::default());
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    player.enqueue(track(2, &second)).unwrap();
    until(&events, |event| matches!(event, Event::Started { .. }));
    gate.wait_until_blocked();
    player.skip().unwrap();
    let seen = until_empty(&events);
    assert!(matches!(
        seen.first(),
        Some(Event::Skipped {
            id: PlayId(1),
            reason: SkipReason::Skip,
            frames_played: 1..,
            ..
        })
    ));
    let heard = tape.samples();
    assert!(heard[heard.len() - 40_000..] == decoded(&second).samples);
}

#[test]
fn playing_something_else_does_not_wait_for_a_blocked_read() {
    let bytes = ogg(1, 44_100, 2, 20_000);
    let (player, events, tape) = recorder(PlayerConfig::default());
    let (source, gate) = Gated::new(&bytes);
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    gate.wait_until_blocked();
    // The source may be blocked before the player's own thread has said what it is doing.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while player.status().state != PlayState::Starting {
        assert!(
            std::time::Instant::now() < deadline,
            "the player never starts"
        );
        std::thread::yield_now();
    }
    player.play(track(2, &bytes)).unwrap();
    let seen = until_empty(&events);
    let replaced = Event::Skipped {
        id: PlayId(1),
        reason: SkipReason::Replaced,
        frame: 0,
        frames_played: 0,
    };
    assert_eq!(seen.first(), Some(&replaced));
    assert!(tape.samples() == decoded(&bytes).samples);
}

#[test]
fn a_pause_holds_the_music_and_loses_none_of_it() {
    let bytes = ogg(1, 44_100, 2, 44_100);
    let (source, gate) = Gated::new(&bytes);
    gate.open_to(bytes.len() as u64 / 2);
    let (player, events, tape) = recorder(PlayerConfig::default());
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    until(&events, |event| matches!(event, Event::Started { .. }));
    player.pause().unwrap();
    until(&events, |event| matches!(event, Event::Paused { .. }));
    assert_eq!(player.status().state, PlayState::Paused);
    gate.open_to(bytes.len() as u64);
    player.resume().unwrap();
    until_empty(&events);
    assert!(tape.samples() == decoded(&bytes).samples);
}

#[test]
fn a_sink_that_dies_pauses_the_player_and_says_why() {
    let bytes = ogg(1, 44_100, 2, 50_000);
    let (sink, _tape) = MemorySink::new(20_000);
    let (player, events) = Player::new(PlayerConfig::default(), Box::new(sink)).unwrap();
    player.play(track(1, &bytes)).unwrap();
    let seen = until(&events, |event| matches!(event, Event::SinkLost { .. }));
    let Some(Event::SinkLost { reason }) = seen.last() else {
        unreachable!()
    };
    assert!(reason.contains("full"), "{reason}");
    assert_eq!(player.status().state, PlayState::Paused);
}

#[test]
fn any_order_of_commands_leaves_a_player_that_plays() {
    let files: Vec<_> = (1..4).map(|seed| ogg(seed, 44_100, 2, 60_000)).collect();
    let (player, events, tape) = recorder(PlayerConfig {
        queue_max: 8,
        ..Default::default()
    });
    let mut state = 7_u32;
    for turn in 0..300_u64 {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let file = &files[state as usize % files.len()];
        let sent = match state >> 8 & 7 {
            0 => player.play(track(turn, file)),
            1 | 2 => player.enqueue(track(turn, file)),
            3 => player.pause(),
            4 => player.resume(),
            5 => player.skip(),
            6 => player.seek_to_frame(u64::from(state >> 12) % 70_000),
            _ => player.set_volume(Volume::from_linear((state >> 24) as f32 / 255.0)),
        };
        // Busy is an answer too: the queue of commands is bounded.
        assert!(matches!(sent, Ok(()) | Err(PlayerError::Busy)), "{sent:?}");
    }
    while player.set_volume(Volume::FULL) == Err(PlayerError::Busy) {
        std::thread::yield_now();
    }
    while player.play(track(1_000, &files[0])) == Err(PlayerError::Busy) {
        std::thread::yield_now();
    }
    let last = |event: &Event| {
        matches!(
            event,
            Event::TrackEnded {
                id: PlayId(1_000),
                ..
            }
        )
    };
    let seen = until(&events, last);
    assert_eq!(
        seen.last(),
        Some(&Event::TrackEnded {
            id: PlayId(1_000),
            frames_played: 60_000
        })
    );
    let heard = tape.samples();
    let expected = decoded(&files[0]).samples;
    assert!(heard[heard.len() - expected.len()..] == expected);
}

#[test]
fn stop_forgets_the_queue() {
    let bytes = ogg(1, 44_100, 2, 20_000);
    let (source, gate) = Gated::new(&bytes);
    let (player, events, tape) = recorder(PlayerConfig::default());
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    player.enqueue(track(2, &bytes)).unwrap();
    gate.wait_until_blocked();
    player.stop().unwrap();
    let seen = until_empty(&events);
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(player.status().state, PlayState::Idle);
    assert!(tape.samples().is_empty());
}

#[test]
fn a_full_queue_refuses_and_says_so() {
    let bytes = ogg(1, 44_100, 2, 1_000);
    let (player, events, _tape) = recorder(PlayerConfig {
        queue_max: 2,
        ..Default::default()
    });
    player.pause().unwrap();
    for id in 0..3 {
        player.enqueue(track(id, &bytes)).unwrap();
    }
    let seen = until(&events, |event| matches!(event, Event::Failed { .. }));
    assert!(matches!(
        seen.last(),
        Some(Event::Failed {
            id: PlayId(2),
            reason: PlayFailure::QueueFull { max: 2 },
            ..
        })
    ));
}

#[test]
fn the_first_sample_follows_the_first_bytes_at_once() {
    let bytes = ogg(1, 44_100, 2, 44_100 * 30);
    let (player, events) =
        Player::new(PlayerConfig::default(), SinkSpec::Null.open().unwrap()).unwrap();
    let mut fastest = Duration::MAX;
    for id in 0..5 {
        let (source, gate) = Gated::new(&bytes);
        player
            .play(Track {
                id: PlayId(id),
                source,
                spec: TrackSpec::default(),
            })
            .unwrap();
        gate.wait_until_blocked();
        let arrived = Instant::now();
        gate.open_to(16 * 1024);
        let seen = until(&events, |event| matches!(event, Event::Started { .. }));
        let Some(Event::Started { first_sample, .. }) = seen.last() else {
            unreachable!()
        };
        fastest = fastest.min(first_sample.saturating_duration_since(arrived));
        assert_eq!(player.status().first_sample, Some(*first_sample));
    }
    println!("first sample {fastest:?} after the first 16 KiB");
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
}

#[test]
fn status_and_positions_follow_the_music() {
    let bytes = ogg(1, 44_100, 2, 44_100 / 2);
    let config = PlayerConfig {
        position_every: Duration::from_millis(50),
        ..Default::default()
    };
    let (player, events) = Player::new(config, SinkSpec::Null.open().unwrap()).unwrap();
    let spec = TrackSpec {
        frames: Some(22_050),
        sample_rate_hint: Some(44_100),
        ..TrackSpec::default()
    };
    player
        .play(Track {
            id: PlayId(9),
            source: whole(&bytes),
            spec,
        })
        .unwrap();
    let seen = until(&events, |event| {
        matches!(event, Event::Position { frame: 1.., .. })
    });
    let Some(Event::Position { frame, .. }) = seen.last() else {
        unreachable!()
    };
    let status = player.status();
    assert_eq!(status.track, Some(PlayId(9)));
    assert!(status.position_frame >= *frame);
    assert_eq!(status.duration, Some(Duration::from_millis(500)));
    let start = Instant::now();
    until_empty(&events);
    assert!(start.elapsed() < DEADLINE);
    assert_eq!(player.status().state, PlayState::Idle);
    assert_eq!(player.status().stalls.count, 0);
}
