//! The origin gone: what peers hold plays, what nobody holds is said to be missing, and all is well
//! when it comes back.

use std::time::{Duration, Instant};

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;
use antiphon_tests::wait::{self, PATIENCE};

/// The promise is two seconds; the rest is for looking, on a busy machine.
const SAID_WITHIN: Duration = Duration::from_millis(2_500);

#[tokio::test]
async fn without_the_origin_peers_carry_their_tracks_and_others_are_said_to_be_missing() {
    let mut network = Network::start("origin-outage").await.unwrap();
    let held = network.library().piece("aurora").unwrap();
    let unheld = network.library().piece("birch").unwrap();
    let holder = ListenerOptions::fast(&network.folder().join("holder.wav"));
    let holder = network.listener_with("holder", holder).await.unwrap();
    holder.gets(&network, &held).await.unwrap();
    let listener = network.listener("listener").await.unwrap();
    network.kill_origin().await.unwrap();

    listener.play(&held).await.unwrap();
    let status = listener.has_heard(Duration::from_secs(2)).await.unwrap();
    assert_eq!((status.stalls, status.bytes.origin), (0, 0));

    let began = Instant::now();
    listener.play(&unheld).await.unwrap();
    let failure = wait::until("the play is given up", PATIENCE, async || {
        let failure = listener.api.latest_play().await?.failure;
        Ok((!failure.is_empty()).then_some(failure))
    });
    let failure = failure.await.unwrap();
    let said_after = began.elapsed();
    assert!(failure.contains("not available now"), "{failure}");
    assert!(said_after < SAID_WITHIN, "it took {said_after:?}");
    let status = listener.api.status().await.unwrap();
    assert!(
        status
            .notices
            .iter()
            .any(|notice| notice.contains(&failure))
    );
    assert_eq!(status.playing, None);

    network.start_origin().await.unwrap();
    listener.play(&unheld).await.unwrap();
    let status = listener.has_heard(Duration::from_secs(1)).await.unwrap();
    assert!(status.bytes.origin > 0, "{status:?}");
}

#[tokio::test]
async fn a_play_outlives_the_origin_on_what_it_has_and_goes_on_when_it_is_back() {
    let mut network = Network::start("origin-back").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let listener = network.listener("listener").await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.has_heard(Duration::from_secs(1)).await.unwrap();
    network.kill_origin().await.unwrap();
    let status = listener.api.status().await.unwrap();
    let playing = status.playing.unwrap();
    assert!(playing.buffer_ms > 5_000, "{playing:?}");
    // On what it has, into the time where it would have asked for more.
    let heard = Duration::from_millis(playing.position_ms + playing.buffer_ms - 2_000);
    listener.has_heard(heard).await.unwrap();
    network.start_origin().await.unwrap();
    let beyond = heard + Duration::from_secs(6);
    let status = listener.has_heard(beyond).await.unwrap();
    assert!(
        status.bytes.origin > piece.rendition.size.0 / 4,
        "{status:?}"
    );
    assert_eq!(status.corrupt_played, 0);
}
