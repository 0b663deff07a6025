//! Music from another listener instead of from the origin.

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;
use antiphon_tests::wav_file::{Samples, Wav};

/// Plays as fast as it can, so that the listener soon holds what it plays.
fn fast(network: &Network, file: &str) -> ListenerOptions {
    let path = network.folder().join(file);
    ListenerOptions {
        sink: format!("wav:{}", path.display()),
        ..ListenerOptions::default()
    }
}

#[tokio::test]
async fn the_second_listener_takes_nine_tenths_from_the_first() {
    let network = Network::start("assist").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let first = network.listener_with("first", fast(&network, "first.wav"));
    let first = first.await.unwrap();
    first.play(&piece).await.unwrap();
    first.holds(&piece).await.unwrap();
    network.knows_holders(&piece, 1).await.unwrap();

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
    let first = network.listener_with("first", fast(&network, "first.wav"));
    let first = first.await.unwrap();
    first.play(&piece).await.unwrap();
    first.holds(&piece).await.unwrap();
    network.knows_holders(&piece, 1).await.unwrap();
    // From here on nobody but the first listener can give a byte.
    network.kill_origin().await.unwrap();

    let wav = network.folder().join("second.wav");
    let options = ListenerOptions {
        sink: format!("wavf32:{}", wav.display()),
        ..ListenerOptions::default()
    };
    let second = network.listener_with("second", options).await.unwrap();
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
    let Samples::F32(heard) = Wav::read(&wav).unwrap().samples else {
        panic!("floating point was asked for");
    };
    let expected = piece.samples().unwrap();
    assert_eq!(heard.len(), expected.len());
    let differing = heard.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(differing, None, "the first sample that differs");
    assert!(
        expected.iter().any(|sample| sample.abs() > 0.05),
        "it is no silence"
    );
}
