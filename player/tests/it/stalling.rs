use std::time::{Duration, Instant};

use antiphon_player::{
    DecodeError, Event, PlayFailure, PlayId, PlayState, Player, PlayerConfig, SinkSpec, Track,
    TrackSpec,
};

use crate::fixtures::{DEADLINE, Gated, ogg, track, until, until_empty};

#[test]
fn a_source_that_blocks_while_playing_is_a_stall_with_a_length() {
    let bytes = ogg(1, 44_100, 2, 44_100 * 2);
    let (source, gate) = Gated::new(&bytes);
    gate.open_to(bytes.len() as u64 / 2);
    let (player, events) =
        Player::new(PlayerConfig::default(), SinkSpec::Null.open().unwrap()).unwrap();
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    let seen = until(&events, |event| matches!(event, Event::Stalled { .. }));
    let Some(Event::Stalled { since, .. }) = seen.last() else {
        unreachable!()
    };
    assert_eq!(player.status().state, PlayState::Stalled);
    gate.open_to(bytes.len() as u64);
    let seen = until(&events, |event| matches!(event, Event::Resumed { .. }));
    let Some(Event::Resumed { stalled_for, .. }) = seen.last() else {
        unreachable!()
    };
    assert!(*stalled_for > Duration::ZERO && *stalled_for <= since.elapsed());
    until_empty(&events);
    let stalls = player.status().stalls;
    assert_eq!(stalls.count, 1);
    assert_eq!(stalls.total, *stalled_for);
}

#[test]
fn waiting_for_the_first_bytes_is_no_stall() {
    let bytes = ogg(1, 44_100, 2, 10_000);
    let (source, gate) = Gated::new(&bytes);
    let (player, events) =
        Player::new(PlayerConfig::default(), SinkSpec::Null.open().unwrap()).unwrap();
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    gate.wait_until_blocked();
    // Who reads may be ahead of who says what plays.
    let deadline = Instant::now() + DEADLINE;
    while player.status().state == PlayState::Idle && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(player.status().state, PlayState::Starting);
    gate.open_to(bytes.len() as u64);
    until_empty(&events);
    assert_eq!(player.status().stalls.count, 0);
}

#[test]
fn a_next_track_that_is_late_is_a_stall() {
    let (first, second) = (ogg(1, 44_100, 2, 10_000), ogg(2, 44_100, 2, 10_000));
    let (source, gate) = Gated::new(&second);
    let (player, events) =
        Player::new(PlayerConfig::default(), SinkSpec::Null.open().unwrap()).unwrap();
    player.pause().unwrap();
    player.enqueue(track(1, &first)).unwrap();
    player
        .enqueue(Track {
            id: PlayId(2),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    player.resume().unwrap();
    until(&events, |event| matches!(event, Event::Stalled { .. }));
    gate.open_to(second.len() as u64);
    let seen = until_empty(&events);
    assert!(
        seen.contains(&Event::TrackEnded {
            id: PlayId(2),
            frames_played: 10_000
        }),
        "{seen:?}"
    );
    assert_eq!(player.status().stalls.count, 1);
}

#[test]
fn a_source_that_gives_up_fails_its_track_and_the_next_one_plays() {
    let bytes = ogg(1, 44_100, 2, 100_000);
    let next = ogg(2, 44_100, 2, 20_000);
    let (source, gate) = Gated::new(&bytes);
    gate.open_to(bytes.len() as u64 / 2);
    let (player, events) =
        Player::new(PlayerConfig::default(), SinkSpec::Null.open().unwrap()).unwrap();
    player
        .play(Track {
            id: PlayId(1),
            source,
            spec: TrackSpec::default(),
        })
        .unwrap();
    player.enqueue(track(2, &next)).unwrap();
    gate.wait_until_blocked();
    gate.make_unavailable();
    let seen = until_empty(&events);
    let failed = seen.iter().find_map(|event| match event {
        Event::Failed {
            id: PlayId(1),
            reason,
            frames_played,
        } => Some((reason, *frames_played)),
        _ => None,
    });
    let (reason, frames_played) = failed.expect("the first track failed");
    let unavailable = DecodeError::Unavailable {
        reason: "nobody has it".to_owned(),
    };
    assert_eq!(*reason, PlayFailure::Decode(unavailable));
    assert!((1..100_000).contains(&frames_played), "{frames_played}");
    assert!(seen.contains(&Event::TrackEnded {
        id: PlayId(2),
        frames_played: 20_000
    }));
}
