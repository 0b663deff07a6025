//! Music from another listener instead of from the origin.

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;
use antiphon_tests::wav_file::Wav;

#[tokio::test]
async fn the_second_listener_takes_nine_tenths_from_the_first() {
    let network = Network::start("assist").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let first = ListenerOptions::fast(&network.folder().join("first.wav"));
    let first = network.listener_with("first", first).await.unwrap();
    first.gets(&network, &piece).await.unwrap();

    let second = network.listener("second").await.unwrap();
    second.play(&piece).await.unwrap();
    second.holds(&piece).await.unwrap();
    let play = second.api.latest_play().await.unwrap();
    assert_eq!((play.stalls, play.failure.as_str()), (0, ""));
    let network_bytes = play.bytes.peers + play.bytes.origin;
    assert!(network_bytes >= piece.rendition.size.0, "{play:?}");
    assert!(play.bytes.peers * 10 >= network_bytes * 9, "{play:?}");
    let giver = first.api.status().await.unwrap();
    assert!(giver.uploaded * 10 >= network_bytes * 9, "{giver:?}");
    let status = second.api.status().await.unwrap();
    assert_eq!((status.corrupt_chunks, status.corrupt_played), (0, 0));
}

#[tokio::test]
async fn what_comes_through_peers_sounds_sample_for_sample_like_what_was_ingested() {
    let mut network = Network::start("equality").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let first = ListenerOptions::fast(&network.folder().join("first.wav"));
    let first = network.listener_with("first", first).await.unwrap();
    first.gets(&network, &piece).await.unwrap();
    // From here on nobody but the first listener can give a byte.
    network.kill_origin().await.unwrap();

    let wav = network.folder().join("second.wav");
    let second = network.listener_with("second", ListenerOptions::exact(&wav));
    let mut second = second.await.unwrap();
    second.play(&piece).await.unwrap();
    second.holds(&piece).await.unwrap();
    let play = second.has_played().await.unwrap();
    assert_eq!(play.failure, "");
    assert_eq!(play.bytes.peers, piece.rendition.size.0);
    assert_eq!(play.bytes.origin, 0);
    let home = second.end().await.unwrap();

    let cached = std::fs::read(home.cached_file(piece.content())).unwrap();
    assert!(
        cached == *piece.sealed,
        "the cached ciphertext is the object"
    );
    let expected = piece.samples().unwrap();
    assert_eq!(Wav::read(&wav).unwrap().first_difference(&expected), None);
    let is_music = expected.iter().any(|sample| sample.abs() > 0.05);
    assert!(is_music, "silence would prove nothing");
}

#[tokio::test]
async fn a_seed_keeps_what_it_is_told_to_and_gives_it_when_nobody_else_can() {
    let mut network = Network::start("seed").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let another = network.library().piece("birch").unwrap();
    let seed = network.seed("seed", &piece).await.unwrap();
    network
        .knows_holder(&piece, seed.said("node").unwrap())
        .await
        .unwrap();
    network.kill_origin().await.unwrap();
    let listener = network.listener("listener").await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.holds(&piece).await.unwrap();
    let play = listener.api.latest_play().await.unwrap();
    assert_eq!((play.bytes.origin, play.stalls), (0, 0));
    listener.play(&another).await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert!(play.failure.contains("not available"), "{play:?}");
}
