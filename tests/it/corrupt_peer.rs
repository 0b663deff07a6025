//! Peers that lie, stall or decline while they claim to hold everything: nobody hears of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_tests::library::Known;
use antiphon_tests::listener::{Listener, ListenerOptions};
use antiphon_tests::network::Network;
use antiphon_tests::outsider::{Manners, Outsider};
use antiphon_tests::peer_source::PeerSource;
use antiphon_tests::wav_file::Wav;

/// The track comes whole and without a stall, whatever peers do.
async fn plays_undisturbed(listener: &Listener, piece: &Known) {
    listener.play(piece).await.unwrap();
    listener.has_heard(Duration::from_secs(2)).await.unwrap();
    listener.holds(piece).await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert_eq!((play.stalls, play.failure.as_str()), (0, ""), "{play:?}");
    let cached = std::fs::read(listener.cached_file(piece.content())).unwrap();
    assert!(cached == *piece.sealed, "only genuine bytes are kept");
}

#[tokio::test]
async fn a_lying_peer_is_not_heard_and_counted() {
    let network = Network::start("liar").await.unwrap();
    let piece = network.library().piece("dune").unwrap();
    let source = PeerSource::lying(&piece);
    let mut liar = Outsider::join(&network, "liar", source.clone())
        .await
        .unwrap();
    liar.behave(Manners::Serves, &piece).unwrap();
    liar.announce(&piece).await.unwrap();

    let listener = network.listener("listener").await.unwrap();
    plays_undisturbed(&listener, &piece).await;
    let status = listener.api.status().await.unwrap();
    assert!(source.given() > 0, "the liar was asked: {status:?}");
    assert!(status.corrupt_chunks > 0, "{status:?}");
    assert_eq!(status.corrupt_played, 0);
    assert_eq!(
        status.bytes.origin, piece.rendition.size.0,
        "from elsewhere"
    );
    // One lie is enough to lose the connection, so there are few.
    assert!(status.corrupt_chunks <= 4, "{status:?}");
}

#[tokio::test]
async fn between_a_liar_and_an_honest_peer_the_sound_is_the_ingested_one() {
    let mut network = Network::start("liar-exact").await.unwrap();
    let piece = network.library().piece("dune").unwrap();
    let honest = ListenerOptions::fast(&network.folder().join("honest.wav"));
    let honest = network.listener_with("honest", honest).await.unwrap();
    honest.gets(&network, &piece).await.unwrap();
    let source = PeerSource::lying(&piece);
    let mut liar = Outsider::join(&network, "liar", source.clone())
        .await
        .unwrap();
    liar.behave(Manners::Serves, &piece).unwrap();
    liar.announce(&piece).await.unwrap();
    // Nobody but the two can give a byte.
    network.kill_origin().await.unwrap();

    let wav = network.folder().join("listener.wav");
    let listener = network.listener_with("listener", ListenerOptions::exact(&wav));
    let mut listener = listener.await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.holds(&piece).await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert_eq!(play.failure, "");
    let status = listener.api.status().await.unwrap();
    assert_eq!((status.corrupt_played, status.bytes.origin), (0, 0));
    let asked = source.given() > 0;
    assert_eq!(asked, status.corrupt_chunks > 0, "each lie was noticed");
    listener.end().await.unwrap();
    let expected = piece.samples().unwrap();
    assert_eq!(Wav::read(&wav).unwrap().first_difference(&expected), None);
}

#[tokio::test]
async fn a_peer_that_never_answers_does_not_hold_the_music_up() {
    misbehaves("staller", Manners::Stalls).await;
}

#[tokio::test]
async fn a_peer_that_declines_everything_does_not_hold_the_music_up() {
    misbehaves("decliner", Manners::Declines).await;
}

async fn misbehaves(name: &str, manners: Manners) {
    let network = Network::start(name).await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let source = PeerSource::honest(&piece);
    let mut outsider = Outsider::join(&network, name, source).await.unwrap();
    let asked = outsider.behave(manners, &piece).unwrap();
    outsider.announce(&piece).await.unwrap();
    let listener = network.listener("listener").await.unwrap();
    plays_undisturbed(&listener, &piece).await;
    let status = listener.api.status().await.unwrap();
    assert!(
        asked.load(Ordering::Relaxed) > 0,
        "it was asked: {status:?}"
    );
    assert_eq!(status.bytes.peers, 0, "{status:?}");
    assert_eq!((status.corrupt_chunks, status.corrupt_played), (0, 0));
}
