//! The tracker gone: what plays goes on, what is licensed and cached starts, also after a restart.

use std::time::Duration;

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;

#[tokio::test]
async fn without_the_tracker_plays_go_on_and_licensed_tracks_start() {
    let mut network = Network::start("tracker-outage").await.unwrap();
    let cached = network.library().piece("aurora").unwrap();
    let current = network.library().piece("cinder").unwrap();
    let unknown = network.library().piece("birch").unwrap();
    let mut listener = network.listener("listener").await.unwrap();
    listener.play(&cached).await.unwrap();
    listener.holds(&cached).await.unwrap();
    listener.play(&current).await.unwrap();
    listener.has_heard(Duration::from_secs(1)).await.unwrap();

    network.kill_tracker().await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert_eq!((play.track, play.stalls), (current.id(), 0));
    assert_eq!(play.failure, "");
    listener.play(&cached).await.unwrap();
    listener
        .has_heard(Duration::from_millis(500))
        .await
        .unwrap();
    let play = listener.api.latest_play().await.unwrap();
    assert_eq!((play.track, play.bytes.origin), (cached.id(), 0));

    listener.kill().await.unwrap();
    listener.start_again().await.unwrap();
    listener.play(&cached).await.unwrap();
    let status = listener
        .has_heard(Duration::from_millis(500))
        .await
        .unwrap();
    assert!(!status.tracker_connected);
    assert!(status.bytes.cache > 0, "{status:?}");
    assert_eq!(status.bytes.origin + status.bytes.peers, 0);

    listener.play(&unknown).await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert!(play.failure.contains("tracker"), "{play:?}");

    network.start_tracker().await.unwrap();
    let connected = |status: &antiphon_node::status::Status| status.tracker_connected;
    listener.status_when("connected", connected).await.unwrap();
    let node = listener.node().unwrap();
    network.knows_holder(&cached, &node).await.unwrap();
    listener.play(&unknown).await.unwrap();
    listener
        .has_heard(Duration::from_millis(500))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_tracker_that_comes_back_learns_again_who_holds_what() {
    let mut network = Network::start("tracker-back").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let holder = ListenerOptions::fast(&network.folder().join("holder.wav"));
    let holder = network.listener_with("holder", holder).await.unwrap();
    holder.gets(&network, &piece).await.unwrap();
    network.kill_tracker().await.unwrap();
    network.start_tracker().await.unwrap();
    let node = holder.node().unwrap();
    network.knows_holder(&piece, &node).await.unwrap();
    // What a newcomer is told is of use: it plays from the holder alone.
    network.kill_origin().await.unwrap();
    let newcomer = network.listener("newcomer").await.unwrap();
    newcomer.play(&piece).await.unwrap();
    let status = newcomer.has_heard(Duration::from_secs(1)).await.unwrap();
    assert!(
        status.bytes.peers > 0 && status.bytes.origin == 0,
        "{status:?}"
    );
}
