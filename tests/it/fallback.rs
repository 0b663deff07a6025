//! Peers that vanish: the origin carries the play on.

use std::time::Duration;

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;

#[tokio::test]
async fn when_the_only_holder_is_killed_mid_track_the_origin_carries_the_play_on() {
    let network = Network::start("fallback").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let holder = ListenerOptions {
        // Twice the music's rate, so that most of the track is still to come when it is killed.
        upload_kbit: 400,
        ..ListenerOptions::fast(&network.folder().join("holder.wav"))
    };
    let mut holder = network.listener_with("holder", holder).await.unwrap();
    holder.gets(&network, &piece).await.unwrap();

    let listener = network.listener("listener").await.unwrap();
    listener.play(&piece).await.unwrap();
    let second = Duration::from_secs(1);
    listener.has_heard(3 * second).await.unwrap();
    let fed = listener
        .status_when("a peer feeds it", |status| status.bytes.peers > 0)
        .await
        .unwrap();
    holder.kill().await.unwrap();
    let playing = fed.playing.unwrap();
    let held_until = Duration::from_millis(playing.position_ms + playing.buffer_ms);
    assert!(
        held_until < 40 * second,
        "the holder was too fast: {playing:?}"
    );

    let later = listener.has_heard(held_until + 5 * second).await.unwrap();
    assert_eq!(later.stalls, 0, "{later:?}");
    assert!(later.bytes.origin > fed.bytes.origin, "{later:?}");
    assert_eq!(later.corrupt_played, 0);
}
