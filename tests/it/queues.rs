//! Queues that go on: behind what cannot be played, and with what was asked for already.

use std::time::Duration;

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
    let heard = listener.status_when("hears the last one", |status| {
        let playing = status.playing.as_ref();
        playing.is_some_and(|now| now.track == last.id() && now.position_ms > 0)
    });
    heard.await.unwrap();
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
    let heard = listener.status_when("hears the second", |status| {
        let playing = status.playing.as_ref();
        playing.is_some_and(|now| now.track == second.id() && now.position_ms > 0)
    });
    heard.await.unwrap();
    assert_eq!(opened(&network).await, before + 1);
    let latest = listener.api.latest_play().await.unwrap();
    assert!(latest.commanded && latest.failure.is_empty(), "{latest:?}");
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
