//! Peers that vanish or freeze in the middle of a track: the origin carries the play on.

use std::time::Duration;

use antiphon_node::status::Status;
use antiphon_protocol::limits::SPAN_CHUNKS_MAX;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_tests::listener::{Listener, ListenerOptions};
use antiphon_tests::network::Network;
use antiphon_tests::outsider::Outsider;
use antiphon_tests::peer_source::PeerSource;

const SECOND: Duration = Duration::from_secs(1);

/// A listener in the middle of a track that its only holder brings, and that holder.
async fn mid_track(network: &Network) -> (Listener, Listener, Status) {
    let piece = network.library().piece("estuary").unwrap();
    let holder = ListenerOptions {
        // Twice the music's rate, so that most of the track is still to come.
        upload_kbit: 400,
        ..ListenerOptions::fast(&network.folder().join("holder.wav"))
    };
    let holder = network.listener_with("holder", holder).await.unwrap();
    holder.gets(network, &piece).await.unwrap();
    // What the holder could give at once after its rest goes to somebody else.
    let outsider = Outsider::join(network, "greedy", PeerSource::honest(&piece));
    let mut greedy = outsider.await.unwrap();
    let (swarm, holders) = greedy.look_up(&piece).await.unwrap();
    let contact = holders[0].contact.clone();
    assert!(greedy.dial(contact.clone()).await.unwrap());
    let taken = greedy.fetch(contact.node, swarm, &piece, SPAN_CHUNKS_MAX);
    assert_eq!(taken.await.unwrap(), FetchEvent::Done);

    let listener = network.listener("listener").await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.has_heard(3 * SECOND).await.unwrap();
    let fed = |status: &Status| status.bytes.peers > 0;
    let status = listener.status_when("a peer feeds it", fed).await.unwrap();
    (listener, holder, status)
}

/// Hears on from `fed` without a stall, further than what was there by then.
async fn hears_on(listener: &Listener, fed: &Status) {
    let playing = fed.playing.as_ref().unwrap();
    let held_until = Duration::from_millis(playing.position_ms + playing.buffer_ms);
    assert!(held_until < 40 * SECOND, "too much was there: {playing:?}");
    let later = listener.has_heard(held_until + 5 * SECOND).await.unwrap();
    assert_eq!((later.stalls, later.corrupt_played), (0, 0), "{later:?}");
    assert!(later.bytes.origin > fed.bytes.origin, "{later:?}");
}

#[tokio::test]
async fn when_the_only_holder_is_killed_mid_track_the_origin_carries_the_play_on() {
    let network = Network::start("fallback").await.unwrap();
    let (listener, mut holder, fed) = mid_track(&network).await;
    holder.kill().await.unwrap();
    hears_on(&listener, &fed).await;
}

#[tokio::test]
async fn when_the_only_holder_freezes_mid_track_the_origin_carries_the_play_on() {
    let network = Network::start("freeze").await.unwrap();
    let (listener, mut holder, fed) = mid_track(&network).await;
    holder.freeze().await.unwrap();
    hears_on(&listener, &fed).await;
}
