//! `kill -9` of every part at moments nobody chose: restarts work, nothing acknowledged is lost, no
//! wrong byte is played.

use std::time::Duration;

use antiphon_protocol::identity::DeviceSecret;
use antiphon_protocol::tracker::Password;
use antiphon_tests::library::Known;
use antiphon_tests::listener::{Listener, ListenerOptions};
use antiphon_tests::network::Network;
use antiphon_tests::wav_file::Wav;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// The moments of a run, unless `TEST_SEED` gives others.
const SEED: u64 = 1;
/// Between a command and a kill: from nothing done yet to a play under way.
const MOMENT_MS_MAX: u64 = 1_500;

fn seed() -> u64 {
    let given = std::env::var("TEST_SEED").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(SEED)
}

/// Waits for a moment nobody chose: not at all, or until so much more has been heard.
async fn a_moment(listener: &Listener, rng: &mut StdRng) {
    if rng.random_ratio(1, 4) {
        return;
    }
    let more = rng.random_range(0..MOMENT_MS_MAX);
    let playing = listener.api.status().await.unwrap().playing;
    let heard = playing.map_or(0, |playing| playing.position_ms);
    let heard = listener.has_heard(Duration::from_millis(heard + more));
    heard.await.unwrap();
}

#[tokio::test]
async fn a_node_killed_at_any_moment_starts_again_with_what_it_had() {
    let network = Network::start("node-kills").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let wav = network.folder().join("final.wav");
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut listener = network.listener("listener").await.unwrap();
    let node = listener.node().unwrap();
    for cycle in 0..5 {
        listener.play(&piece).await.unwrap();
        a_moment(&listener, &mut rng).await;
        listener.kill().await.unwrap();
        // Neither name nor password: the session and the keys are still there.
        let again = listener.start_again().await;
        again.unwrap_or_else(|error| panic!("seed {seed}, cycle {cycle}: {error:#}"));
        assert_eq!(listener.node().unwrap(), node, "the same keys");
    }
    // What came in the last second may be forgotten, what came before may not.
    listener.play(&piece).await.unwrap();
    listener.has_heard(Duration::from_secs(3)).await.unwrap();
    listener.kill().await.unwrap();
    listener.start_again().await.unwrap();
    listener.play(&piece).await.unwrap();
    let status = listener.has_heard(Duration::from_secs(1)).await.unwrap();
    assert!(status.bytes.cache > 0, "{status:?}");
    assert_eq!(status.corrupt_played, 0);
    let home = listener.end().await.unwrap();
    let sink = format!("wavf32:{}", wav.display());
    let play = home.play("estuary", &sink).await.unwrap();
    assert_eq!(play.failure, "");
    let expected = piece.samples().unwrap();
    assert_eq!(Wav::read(&wav).unwrap().first_difference(&expected), None);
}

#[tokio::test]
async fn an_acknowledged_account_survives_any_kill_of_the_tracker() {
    let mut network = Network::start("tracker-kills").await.unwrap();
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let device = DeviceSecret::generate(&mut rand::rng()).public();
    let password = |name: &str| Password(format!("{name}'s own words"));
    let mut names = Vec::new();
    for cycle in 0..5 {
        let client = network.tracker_client().await.unwrap();
        for number in 0..rng.random_range(1..4) {
            let name = format!("listener-{cycle}-{number}");
            let made = client.register(name.clone(), password(&name), device);
            made.await.unwrap();
            names.push(name);
        }
        // At once: what was acknowledged must be on the disk already.
        network.kill_tracker().await.unwrap();
        network.start_tracker().await.unwrap();
        let client = network.tracker_client().await.unwrap();
        for name in &names {
            let back = client.login(name.clone(), password(name), device).await;
            back.unwrap_or_else(|error| panic!("seed {seed}, {name} is lost: {error}"));
        }
    }
}

#[tokio::test]
async fn kills_of_origin_and_tracker_are_not_heard() {
    let mut network = Network::start("service-kills").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let seed = seed();
    let mut rng = StdRng::seed_from_u64(seed);
    let listener = network.listener("listener").await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.has_heard(Duration::from_millis(1)).await.unwrap();
    for _ in 0..3 {
        a_moment(&listener, &mut rng).await;
        network.kill_origin().await.unwrap();
        a_moment(&listener, &mut rng).await;
        network.start_origin().await.unwrap();
        network.kill_tracker().await.unwrap();
        a_moment(&listener, &mut rng).await;
        network.start_tracker().await.unwrap();
    }
    let heard = listener.api.status().await.unwrap();
    let heard = Duration::from_millis(heard.playing.unwrap().position_ms);
    let status = listener
        .has_heard(heard + Duration::from_secs(2))
        .await
        .unwrap();
    assert_eq!((status.stalls, status.corrupt_played), (0, 0), "{status:?}");
    let connected = |status: &antiphon_node::status::Status| status.tracker_connected;
    listener
        .status_when("connected again", connected)
        .await
        .unwrap();
}

async fn one_with_the_piece(network: &Network, piece: &Known) -> Listener {
    let options = ListenerOptions::exact(&network.folder().join("heard.wav"));
    let listener = network.listener_with("listener", options).await.unwrap();
    listener.gets(network, piece).await.unwrap();
    listener.has_played().await.unwrap();
    listener
}

#[tokio::test]
async fn a_bit_that_turned_on_the_disk_is_noticed_fetched_again_and_never_played() {
    let network = Network::start("bit-rot").await.unwrap();
    let piece = network.library().piece("dune").unwrap();
    let mut listener = one_with_the_piece(&network, &piece).await;
    listener.end().await.unwrap();
    let file = listener.cached_file(piece.content());
    let mut bytes = std::fs::read(&file).unwrap();
    assert!(bytes == *piece.sealed, "the cache is still there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();

    listener.start_again().await.unwrap();
    listener.play(&piece).await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert_eq!(play.failure, "");
    assert!(play.bytes.cache > 0, "{play:?}");
    assert!(
        play.bytes.origin > 0,
        "the damaged chunk came again: {play:?}"
    );
    assert!(play.bytes.origin < piece.rendition.size.0 / 2, "{play:?}");
    let status = listener.api.status().await.unwrap();
    assert_eq!(status.corrupt_played, 0);
    let noticed = status
        .notices
        .iter()
        .any(|notice| notice.contains("damaged"));
    assert!(noticed, "{:?}", status.notices);
    let home = listener.end().await.unwrap();
    let wav = network.folder().join("heard.wav");
    let expected = piece.samples().unwrap();
    assert_eq!(Wav::read(&wav).unwrap().first_difference(&expected), None);
    let healed = std::fs::read(home.cached_file(piece.content())).unwrap();
    assert!(healed == *piece.sealed, "the disk is right again");
}

#[tokio::test]
async fn who_has_the_music_already_asks_the_tracker_for_the_license_only() {
    let network = Network::start("license-only").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let mut listener = network.listener("listener").await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.holds(&piece).await.unwrap();
    let _home = listener.end().await.unwrap();
    listener.start_again().await.unwrap();
    let connected = |status: &antiphon_node::status::Status| status.tracker_connected;
    listener.status_when("connected", connected).await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.has_heard(Duration::from_secs(1)).await.unwrap();
    let metrics = network.tracker_metrics().await.unwrap();
    for (kind, requests) in [("open", 1), ("open_held", 1)] {
        let line = format!(
            "antiphon_tracker_requests_total{{kind=\"{kind}\",outcome=\"answered\"}} {requests}\n"
        );
        assert!(metrics.contains(&line), "no {line:?} in {metrics}");
    }
}
