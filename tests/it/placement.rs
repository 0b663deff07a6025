//! Copies that a node keeps for others without having been asked to by its owner.

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;

#[tokio::test]
async fn a_willing_node_keeps_a_copy_of_what_few_hold_and_serves_it_when_they_are_gone() {
    let mut network = Network::start("placement").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let first = ListenerOptions::fast(&network.folder().join("first.wav"));
    let mut first = network.listener_with("first", first).await.unwrap();
    first.gets(&network, &piece).await.unwrap();

    let options = ListenerOptions {
        placement_after: 1,
        ..ListenerOptions::default()
    };
    let willing = network.listener_with("willing", options).await.unwrap();
    let name = willing.node().unwrap();
    network.knows_holder(&piece, &name).await.unwrap();
    assert!(
        willing.api.plays().await.unwrap().is_empty(),
        "nobody heard it there"
    );

    // Only the placed copy is left.
    first.kill().await.unwrap();
    network.kill_origin().await.unwrap();
    let second = network.listener("second").await.unwrap();
    second.play(&piece).await.unwrap();
    second.holds(&piece).await.unwrap();
    let play = second.api.latest_play().await.unwrap();
    assert_eq!((play.failure.as_str(), play.bytes.origin), ("", 0));
    assert_eq!(play.bytes.peers, piece.rendition.size.0);
}
