//! Passwords, licenses, tickets and capabilities that are wrong in every way: no key material and
//! no bytes come out.

use std::time::{Duration, Instant};

use antiphon_node::licenses::{AcceptError, KeptLicense, Licenses, TrustedKeys};
use antiphon_node::peers::PeerEvent;
use antiphon_node::tracker_client::RequestError;
use antiphon_protocol::identity::{DeviceSecret, NodeSecret};
use antiphon_protocol::license::License;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{PASS_LIFETIME_SECS, RegionClass, Ticket};
use antiphon_protocol::tracker::{OpenedTrack, Password, TrackerRequest};
use antiphon_protocol::{ErrorCode, NodeId, Rung};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_tests::listener::{Listener, ListenerOptions};
use antiphon_tests::network::Network;
use antiphon_tests::outsider::{Outsider, key, now};
use antiphon_tests::peer_source::PeerSource;
use ed25519_dalek::SigningKey;

fn refusal<T: std::fmt::Debug>(result: Result<T, RequestError>) -> ErrorCode {
    match result {
        Err(RequestError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

fn trusted(outsider: &Outsider) -> TrustedKeys {
    let key = |bytes: [u8; 32]| key(&NodeId(bytes).to_string()).unwrap();
    TrustedKeys {
        tracker: key(outsider.attached.tracker_key),
        catalog: key(outsider.attached.catalog_key),
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_get_the_same_answer_in_the_same_time() {
    let network = Network::start("oracle").await.unwrap();
    let client = network.tracker_client().await.unwrap();
    let device = DeviceSecret::generate(&mut rand::rng()).public();
    let password = |text: &str| Password(text.to_owned());
    let made = client.register("ada".to_owned(), password("the right words"), device);
    made.await.unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (name, times) in ["ada", "nobody"].into_iter().zip(&mut times) {
            let began = Instant::now();
            let answer = client.login(name.to_owned(), password("other words"), device);
            assert_eq!(refusal(answer.await), ErrorCode::LOGIN);
            times.push(began.elapsed());
        }
    }
    let [wrong, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    // Without the work of a password's check the answer would come a hundred times faster.
    let ratio = wrong / unknown;
    assert!((0.4..2.5).contains(&ratio), "{wrong} s and {unknown} s");
}

#[tokio::test]
async fn a_session_is_of_no_use_without_its_device() {
    let network = Network::start("session").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let ada = Outsider::join(&network, "ada", PeerSource::honest(&piece));
    let ada = ada.await.unwrap();
    let thief = network.tracker_client().await.unwrap();
    let open = || TrackerRequest::Open {
        track: piece.track,
        rung: Rung::Standard,
    };
    let unattached = thief.request(open()).await;
    assert_eq!(refusal(unattached), ErrorCode::UNAUTHENTICATED);
    let other = DeviceSecret::generate(&mut rand::rng());
    let node = NodeSecret::generate(&mut rand::rng());
    let token = ada.session.token.clone();
    let stolen = thief.attach(token, &other, &node, Vec::new()).await;
    assert_eq!(refusal(stolen), ErrorCode::UNAUTHENTICATED);
    let still_not = thief.request(open()).await;
    assert_eq!(refusal(still_not), ErrorCode::UNAUTHENTICATED);
    ada.open(piece.track).await.unwrap();
}

#[tokio::test]
async fn a_license_opens_on_its_device_for_its_track_unaltered_and_in_time_only() {
    let network = Network::start("license").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let another = network.library().piece("birch").unwrap();
    let ada = Outsider::join(&network, "ada", PeerSource::honest(&piece));
    let ada = ada.await.unwrap();
    let bob = Outsider::join(&network, "bob", PeerSource::honest(&piece));
    let bob = bob.await.unwrap();
    let opened = ada.open(piece.track).await.unwrap();
    let trusted = trusted(&ada);
    let accept = |track, license: &Signed<License>, device: &DeviceSecret| {
        let OpenedTrack {
            manifest, content, ..
        } = &opened;
        let received = (manifest, license, *content);
        let accepted =
            Licenses::default().accept(track, received, &trusted, device, Instant::now());
        accepted.map(|(playable, _)| playable)
    };
    let own = accept(piece.track, &opened.license, &ada.device).unwrap();
    assert!(own.key == piece.key, "the genuine one opens");

    let foreign = accept(piece.track, &opened.license, &bob.device);
    assert!(matches!(foreign, Err(AcceptError::Keys(_))), "{foreign:?}");
    let other_track = accept(another.track, &opened.license, &ada.device);
    assert!(matches!(other_track, Err(AcceptError::OtherTrack)));
    let terms = opened.license.open(&trusted.tracker).unwrap();
    let forged = Signed::sign(&terms, &SigningKey::from_bytes(&[7; 32]));
    let forged = accept(piece.track, &forged, &ada.device);
    assert!(matches!(forged, Err(AcceptError::License(_))), "{forged:?}");
    let genuine = opened.license.to_bytes();
    for at in 0..genuine.len() {
        let mut altered = genuine.clone();
        altered[at] ^= 1;
        let accepted = Signed::from_bytes(&altered)
            .is_ok_and(|license| accept(piece.track, &license, &ada.device).is_ok());
        assert!(!accepted, "byte {at} altered");
    }

    let lease = u64::from(terms.terms.lease_secs);
    let received = now();
    let OpenedTrack {
        manifest,
        license,
        content,
        ..
    } = opened;
    let kept = KeptLicense::new(manifest, license, content, received);
    let restore = |wall| {
        let now = (Instant::now(), wall);
        Licenses::default().restore(piece.track, &kept, &trusted, &ada.device, now)
    };
    restore(received.plus_secs(lease - 1)).unwrap();
    let late = restore(received.plus_secs(lease + 1));
    assert!(matches!(late, Err(AcceptError::Expired)), "{late:?}");
}

#[tokio::test]
async fn a_stolen_cache_does_not_play_on_another_device() {
    let mut network = Network::start("stolen").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let mut ada = network.listener("ada").await.unwrap();
    ada.play(&piece).await.unwrap();
    ada.holds(&piece).await.unwrap();
    let mut thief = network.listener("thief").await.unwrap();
    let connected = |status: &antiphon_node::status::Status| status.tracker_connected;
    thief.status_when("connected", connected).await.unwrap();
    thief.kill().await.unwrap();
    let home = ada.end().await.unwrap();
    network.kill_tracker().await.unwrap();
    std::fs::remove_dir_all(thief.cache()).unwrap();
    std::fs::rename(&home.cache, thief.cache()).unwrap();
    thief.start_again().await.unwrap();
    thief.play(&piece).await.unwrap();
    let play = thief.has_played().await.unwrap();
    assert_eq!(play.start_us, None, "{play:?}");
    assert!(!play.failure.is_empty(), "{play:?}");
}

/// A listener that holds the piece, and an account that wants it from there.
async fn holder_and_outsider(network: &Network) -> (Listener, Outsider) {
    let piece = network.library().piece("aurora").unwrap();
    let options = ListenerOptions::fast(&network.folder().join("holder.wav"));
    let holder = network.listener_with("holder", options).await.unwrap();
    holder.gets(network, &piece).await.unwrap();
    let outsider = Outsider::join(network, "outsider", PeerSource::honest(&piece));
    (holder, outsider.await.unwrap())
}

#[tokio::test]
async fn a_node_gives_nothing_to_a_forged_ticket_and_its_bytes_to_a_genuine_one() {
    let network = Network::start("ticket").await.unwrap();
    let piece = network.library().piece("aurora").unwrap();
    let (holder, mut outsider) = holder_and_outsider(&network).await;
    let (swarm, holders) = outsider.look_up(&piece).await.unwrap();
    let contact = holders[0].contact.clone();
    let genuine = outsider.attached.passes.ticket.clone();
    let node = outsider.peers.node();
    let ticket = |node, expires| Ticket {
        node,
        region: RegionClass(0),
        expires,
    };
    let soon = now().plus_secs(PASS_LIFETIME_SECS);
    let own_key = SigningKey::from_bytes(&[7; 32]);
    let tracker_key = tracker_signing_key(&network);
    let long_ago = antiphon_protocol::UnixSeconds(now().0 - 3_600);
    let forgeries = [
        Signed::sign(&ticket(node, soon), &own_key),
        Signed::sign(&ticket(contact.node, soon), &tracker_key),
        Signed::sign(&ticket(node, long_ago), &tracker_key),
    ];
    for forged in forgeries {
        outsider.peers.set_ticket(forged);
        // Seen from here a connection may come up, because the holder's ticket is genuine.
        let let_in = outsider.dial(contact.clone()).await.unwrap();
        if let_in {
            let end = outsider.fetch(contact.node, swarm, &piece, 1);
            assert_ne!(end.await.unwrap(), FetchEvent::Done);
            let gone = |event: &PeerEvent| matches!(event, PeerEvent::Disconnected { .. });
            outsider.sees("the holder hangs up", gone).await.unwrap();
        }
        assert_eq!(outsider.received.chunks(), 0);
        let status = holder.api.status().await.unwrap();
        assert_eq!((status.neighbors, status.uploaded), (0, 0), "{status:?}");
    }
    outsider.peers.set_ticket(genuine);
    assert!(outsider.dial(contact.clone()).await.unwrap());
    let end = outsider.fetch(contact.node, swarm, &piece, 1).await;
    assert_eq!(end.unwrap(), FetchEvent::Done);
    assert_eq!(outsider.received.chunks(), 1);
}

/// The tracker's own secret, which a forger does not have; to make what it would never sign.
fn tracker_signing_key(network: &Network) -> SigningKey {
    let file = network.tracker_data().join("keys/tracker.key");
    let bytes = std::fs::read(file).unwrap();
    // A mark, the key, a checksum.
    let key = SigningKey::from_bytes(&bytes[8..40].try_into().unwrap());
    assert_eq!(
        key.verifying_key(),
        antiphon_tests::outsider::key(network.tracker_key()).unwrap()
    );
    key
}

mod origin {
    //! Capabilities, on both ways to the origin.

    use std::sync::Arc;

    use antiphon_node::origin_client::{FetchOrder, OriginClient};
    use antiphon_protocol::ticket::Capability;
    use antiphon_protocol::{ChunkIndex, Span, UnixSeconds};
    use antiphon_swarm::FetchId;
    use antiphon_swarm::node::output::OriginRoute;
    use antiphon_tests::peer_source::CountingSink;

    use super::*;

    #[tokio::test]
    async fn the_origin_gives_nothing_without_a_living_capability_of_the_tracker() {
        let network = Network::start("capability").await.unwrap();
        let piece = network.library().piece("aurora").unwrap();
        let ada = Outsider::join(&network, "ada", PeerSource::honest(&piece));
        let ada = ada.await.unwrap();
        let genuine = ada.attached.passes.capability.clone();
        let tracker_key = tracker_signing_key(&network);
        let capability = |expires, key| Some(Signed::sign(&Capability { nonce: 1, expires }, key));
        let soon = now().plus_secs(PASS_LIFETIME_SECS);
        let never = UnixSeconds(now().0 + 100 * 365 * 86_400);
        let wrong = [
            None,
            capability(soon, &SigningKey::from_bytes(&[7; 32])),
            capability(UnixSeconds(now().0 - 3_600), &tracker_key),
            capability(never, &tracker_key),
        ];
        let sink = Arc::new(CountingSink::default());
        let origins = ada.attached.origins.clone();
        let (client, mut events) =
            OriginClient::new(origins, Arc::<CountingSink>::clone(&sink), None).unwrap();
        let mut fetch = 0;
        let mut ask = async |route, capability| {
            fetch += 1;
            client.set_capability(capability);
            client.fetch(FetchOrder {
                fetch: FetchId(fetch),
                route,
                content: piece.content(),
                geometry: piece.geometry().unwrap(),
                span: Span::new(ChunkIndex(0), 1).unwrap(),
                deadline: antiphon_swarm::Duration::from_millis(5_000),
            });
            loop {
                let news = tokio::time::timeout(Duration::from_secs(30), events.recv());
                let event = news.await.expect("the origin answers").unwrap().event;
                if !matches!(event, FetchEvent::Accepted | FetchEvent::Verified { .. }) {
                    return event;
                }
            }
        };
        for route in [OriginRoute::Quic, OriginRoute::Http] {
            let before = sink.chunks();
            for wrong in &wrong {
                let end = ask(route, wrong.clone()).await;
                let FetchEvent::Declined { code, .. } = end else {
                    panic!("{end:?} for {wrong:?}");
                };
                assert_eq!(code, ErrorCode::CAPABILITY);
            }
            assert_eq!(sink.chunks(), before, "no bytes came");
            let end = ask(route, Some(genuine.clone())).await;
            assert_eq!(end, FetchEvent::Done);
            assert_eq!(sink.chunks(), before + 1);
        }
    }
}
