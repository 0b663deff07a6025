//! Queues that go on: behind what cannot be played, and with what was asked for already.

use std::time::Duration;

use antiphon_tests::library::Known;
use antiphon_tests::listener::Listener;
use antiphon_tests::network::Network;

#[tokio::test]
async fn a_track_that_makes_no_music_does_not_end_the_queue() {
    let network = Network::start_with_wrong_key("no-music", "birch")
        .await
        .unwrap();
    let piece = |title: &str| network.library().piece(title).unwrap();
    let (first, broken, last) = (piece("aurora"), piece("birch"), piece("cinder"));
    let listener = network.listener("listener").await.unwrap();
    let queue = [first.id(), broken.id(), last.id()];
    let queue: Vec<&str> = queue.iter().map(String::as_str).collect();
    listener.api.play(&queue).await.unwrap();
    sounds(&listener, &last).await;
    let plays = listener.api.plays().await.unwrap();
    let told: Vec<(&str, bool)> = plays
        .iter()
        .map(|play| (play.track.as_str(), play.failure.is_empty()))
        .collect();
    let expected = [(queue[0], true), (queue[1], false), (queue[2], true)];
    assert_eq!(told, expected, "{plays:?}");
}

#[tokio::test]
async fn who_goes_on_to_what_is_being_opened_does_not_ask_again() {
    let mut network = Network::start("next-in-flight").await.unwrap();
    let piece = |title: &str| network.library().piece(title).unwrap();
    let (first, second) = (piece("estuary"), piece("birch"));
    let listener = network.listener("listener").await.unwrap();
    listener.play(&first).await.unwrap();
    listener.has_heard(Duration::from_millis(1)).await.unwrap();
    let before = opened(&network).await;
    network.freeze_tracker().await.unwrap();
    // The license for it is on its way while somebody skips to it.
    listener.api.enqueue(&[&second.id()]).await.unwrap();
    listener.api.command("next").await.unwrap();
    network.thaw_tracker().await.unwrap();
    sounds(&listener, &second).await;
    assert_eq!(opened(&network).await, before + 1);
    let plays = listener.api.plays().await.unwrap();
    assert_eq!(plays.len(), 2, "{plays:?}");
    assert!(
        plays[1].commanded && plays[1].failure.is_empty(),
        "{plays:?}"
    );
}

/// Tracks the tracker has opened.
async fn opened(network: &Network) -> u64 {
    let metrics = network.tracker_metrics().await.unwrap();
    let lines = metrics.lines().filter(|line| {
        line.starts_with("antiphon_tracker_requests_total") && line.contains("kind=\"open\"")
    });
    let counts = lines.filter_map(|line| line.split(' ').next_back()?.parse::<u64>().ok());
    counts.sum()
}

#[tokio::test]
async fn a_seek_that_leaves_a_hole_does_not_end_the_queue() {
    let network = Network::start("hole").await.unwrap();
    let piece = |title: &str| network.library().piece(title).unwrap();
    let (first, second) = (piece("estuary"), piece("birch"));
    let listener = network.listener("listener").await.unwrap();
    let queue = [&*first.id(), &*second.id()];
    listener.api.play(&queue).await.unwrap();
    listener
        .has_heard(Duration::from_millis(500))
        .await
        .unwrap();
    listener.api.seek(Duration::from_secs(55)).await.unwrap();
    sounds(&listener, &second).await;
    let mut ledger = listener.api.ledger().await.unwrap().into_iter();
    let entry = ledger.find(|entry| entry.track == first.id()).unwrap();
    assert_eq!(entry.complete_unix_us, None, "it has a hole");
    let plays = listener.api.plays().await.unwrap();
    let [former, latter] = &plays[..] else {
        panic!("two plays: {plays:?}");
    };
    let apart = latter.began_unix_us - former.began_unix_us;
    assert!(
        apart > 4_000_000,
        "it began when the former ended: {plays:?}"
    );
}

#[tokio::test]
async fn without_the_origin_the_queue_goes_on_to_what_is_here() {
    let mut network = Network::start("no-origin-next").await.unwrap();
    let piece = |title: &str| network.library().piece(title).unwrap();
    let (first, missing, last) = (piece("aurora"), piece("birch"), piece("cinder"));
    let listener = network.listener("listener").await.unwrap();
    for cached in [&first, &last] {
        listener.play(cached).await.unwrap();
        listener.holds(cached).await.unwrap();
    }
    let before = listener.api.plays().await.unwrap().len();
    network.kill_origin().await.unwrap();
    let queue = [&*first.id(), &*missing.id(), &*last.id()];
    listener.api.play(&queue).await.unwrap();
    listener.has_heard(Duration::from_millis(1)).await.unwrap();
    listener.api.seek(Duration::from_secs(11)).await.unwrap();
    sounds(&listener, &last).await;
    let plays = listener.api.plays().await.unwrap().split_off(before);
    let told: Vec<_> = plays
        .iter()
        .map(|play| (&*play.track, &*play.failure))
        .collect();
    let expected = [
        (queue[0], ""),
        (queue[1], "not available now"),
        (queue[2], ""),
    ];
    assert_eq!(told, expected, "{plays:?}");
}

#[tokio::test]
async fn without_the_tracker_the_queue_keeps_its_place() {
    let mut network = Network::start("no-tracker-next").await.unwrap();
    let piece = |title: &str| network.library().piece(title).unwrap();
    let (cached, unknown) = (piece("aurora"), piece("birch"));
    let listener = network.listener("listener").await.unwrap();
    listener.play(&cached).await.unwrap();
    listener.holds(&cached).await.unwrap();
    network.kill_tracker().await.unwrap();
    // What is here plays.
    listener
        .api
        .play(&[&unknown.id(), &cached.id()])
        .await
        .unwrap();
    sounds(&listener, &cached).await;
    // Without anything that is here the queue stands still, and goes on when the tracker is back.
    listener
        .api
        .play(&[&unknown.id(), &unknown.id()])
        .await
        .unwrap();
    let play = listener.has_played().await.unwrap();
    assert!(play.failure.contains("tracker"), "{play:?}");
    assert_eq!(listener.api.status().await.unwrap().queued, 1);
    network.start_tracker().await.unwrap();
    sounds(&listener, &unknown).await;
}

#[tokio::test]
async fn keys_pressed_while_a_track_is_opened_count() {
    let mut network = Network::start("keys").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let listener = network.listener("listener").await.unwrap();
    network.freeze_tracker().await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.api.seek(Duration::from_secs(20)).await.unwrap();
    listener.api.command("pause").await.unwrap();
    network.thaw_tracker().await.unwrap();
    let paused = listener.status_when("is paused", |status| {
        status
            .playing
            .as_ref()
            .is_some_and(|now| now.state == "paused")
    });
    paused.await.unwrap();
    listener.api.command("resume").await.unwrap();
    let status = listener.has_heard(Duration::from_secs(20)).await.unwrap();
    let position = status.playing.unwrap().position_ms;
    assert!(position < 30_000, "{position}");
}

#[tokio::test]
async fn resume_after_a_stop_plays_what_was_stopped() {
    let network = Network::start("resume").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let listener = network.listener("listener").await.unwrap();
    let nothing = listener.api.command("resume").await.unwrap_err();
    assert!(
        nothing.to_string().contains("nothing is playing"),
        "{nothing}"
    );
    listener.play(&piece).await.unwrap();
    listener.has_heard(Duration::from_millis(1)).await.unwrap();
    listener.api.command("stop").await.unwrap();
    assert!(listener.api.status().await.unwrap().playing.is_none());
    listener.api.command("resume").await.unwrap();
    sounds(&listener, &piece).await;
}

#[tokio::test]
async fn what_is_here_does_not_overtake_what_is_being_opened() {
    let mut network = Network::start("order").await.unwrap();
    let piece = |title: &str| network.library().piece(title).unwrap();
    let (cached, unknown) = (piece("aurora"), piece("birch"));
    let listener = network.listener("listener").await.unwrap();
    listener.play(&cached).await.unwrap();
    listener.holds(&cached).await.unwrap();
    network.freeze_tracker().await.unwrap();
    listener.play(&unknown).await.unwrap();
    listener.api.enqueue(&[&cached.id()]).await.unwrap();
    network.thaw_tracker().await.unwrap();
    sounds(&listener, &unknown).await;
    sounds(&listener, &cached).await;
    let plays = listener.api.plays().await.unwrap();
    let tracks: Vec<&str> = plays.iter().map(|play| &*play.track).collect();
    assert_eq!(tracks, [cached.id(), unknown.id(), cached.id()]);
}

#[tokio::test]
async fn a_tracker_that_hangs_for_a_while_ends_nothing() {
    let mut network = Network::start("hang").await.unwrap();
    let piece = network.library().piece("birch").unwrap();
    let listener = network.listener("listener").await.unwrap();
    network.freeze_tracker().await.unwrap();
    listener.play(&piece).await.unwrap();
    let waits = listener.status_when("stands still", |status| status.waits_for_tracker);
    waits.await.unwrap();
    network.thaw_tracker().await.unwrap();
    sounds(&listener, &piece).await;
}

#[tokio::test]
async fn who_paused_hears_nothing_in_place_of_what_cannot_be_played() {
    let mut network = Network::start("kept-pause").await.unwrap();
    let piece = |title: &str| network.library().piece(title).unwrap();
    let (cached, missing) = (piece("aurora"), piece("birch"));
    let listener = network.listener("listener").await.unwrap();
    listener.play(&cached).await.unwrap();
    listener.holds(&cached).await.unwrap();
    network.kill_origin().await.unwrap();
    listener
        .api
        .play(&[&missing.id(), &cached.id()])
        .await
        .unwrap();
    listener.api.command("pause").await.unwrap();
    let paused = listener.status_when("is paused at the next", |status| {
        let playing = status.playing.as_ref();
        playing.is_some_and(|now| now.track == cached.id() && now.state == "paused")
    });
    assert_eq!(paused.await.unwrap().playing.unwrap().position_ms, 0);
    listener.api.command("resume").await.unwrap();
    sounds(&listener, &cached).await;
}

/// Waits until this piece is heard.
async fn sounds(listener: &Listener, piece: &Known) {
    let what = format!("hears {}", piece.manifest.title);
    let heard = listener.status_when(&what, |status| {
        let playing = status.playing.as_ref();
        playing.is_some_and(|now| now.track == piece.id() && now.position_ms > 0)
    });
    heard.await.unwrap();
}
