//! Who gets a connection, and what stays across restarts.

use std::net::SocketAddr;

use antiphon_origin::server::{Origin, OriginConfig, StartError};

use super::stage::{Client, Stage, fetch, span, within};

#[tokio::test]
async fn a_restart_keeps_the_certificate_and_a_stale_session_still_connects() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let first = stage.start().await;
    let (fingerprint, address) = (first.certificate_fingerprint(), first.quic_address());
    let client = Client::new(fingerprint);
    let connection = client.connect(address).await;
    fetch(&connection, &music, span(0, 1)).await.unwrap();
    first.shutdown().await;
    // The transport gives the port back a moment after the shutdown.
    let again = OriginConfig {
        listen: address,
        ..stage.config()
    };
    let second = within(async {
        loop {
            if let Ok(origin) = Origin::start(again.clone()).await {
                break origin;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(second.certificate_fingerprint(), fingerprint);
    // The origin's memory of sessions is gone, so 0-RTT is refused, not the connection.
    let connecting = client.connecting(address);
    let (connection, accepted) = connecting.into_0rtt().expect("a session to offer");
    assert!(!within(accepted).await);
    assert!(fetch(&connection, &music, span(0, 1)).await.is_some());
}

#[tokio::test]
async fn with_many_open_handshakes_newcomers_prove_their_address_first() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let origin = Origin::start(OriginConfig {
        unproven_handshakes_max: 0,
        ..stage.config()
    })
    .await
    .unwrap();
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    assert!(fetch(&connection, &music, span(0, 1)).await.is_some());
    assert_eq!(origin.metrics().quic_retries, 1);
    // It was given a proof for the next time.
    let again = client.connecting(origin.quic_address());
    let again = again.into_0rtt().map(|(connection, _)| connection);
    let again = again.map_err(|_| "no session").unwrap();
    assert!(fetch(&again, &music, span(0, 1)).await.is_some());
    assert_eq!(origin.metrics().quic_retries, 1);
}

/// Connects until the origin has noticed that there is room again.
async fn let_in_again(client: &Client, origin: SocketAddr) -> quinn::Connection {
    within(async {
        loop {
            if let Ok(connection) = client.connecting(origin).await {
                break connection;
            }
        }
    })
    .await
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_until_one_ends() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let origin = Origin::start(OriginConfig {
        quic_connections_max: 1,
        ..stage.config()
    })
    .await
    .unwrap();
    let client = Client::new(origin.certificate_fingerprint());
    let first = client.connect(origin.quic_address()).await;
    let refused = within(client.connecting(origin.quic_address())).await;
    assert!(refused.is_err());
    assert_eq!(origin.metrics().quic_connections_refused, 1);
    first.close(0_u32.into(), b"");
    let again = let_in_again(&client, origin.quic_address()).await;
    fetch(&again, &music, span(0, 1)).await.unwrap();
}

#[tokio::test]
async fn an_address_has_its_share_of_the_connections_and_gets_it_back() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let origin = Origin::start(OriginConfig {
        quic_connections_per_address: 1,
        ..stage.config()
    })
    .await
    .unwrap();
    let client = Client::new(origin.certificate_fingerprint());
    let first = client.connect(origin.quic_address()).await;
    // Answered, so the origin too knows that the handshake is over.
    assert!(fetch(&first, &music, span(0, 1)).await.is_some());
    let refused = within(client.connecting(origin.quic_address())).await;
    assert!(refused.is_err());
    let metrics = origin.metrics();
    assert_eq!(metrics.quic_connections_refused_by_address, 1);
    first.close(0_u32.into(), b"");
    let again = let_in_again(&client, origin.quic_address()).await;
    fetch(&again, &music, span(0, 1)).await.unwrap();
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_refused() {
    let stage = Stage::new();
    let origin = Origin::start(OriginConfig {
        handshakes_per_address_per_second: 1,
        handshakes_per_address_burst: 2,
        ..stage.config()
    })
    .await
    .unwrap();
    let client = Client::new(origin.certificate_fingerprint());
    let mut open = Vec::new();
    while let Ok(connection) = within(client.connecting(origin.quic_address())).await {
        open.push(connection);
        assert!(open.len() < 100, "nothing paces them");
    }
    assert!(open.len() >= 2, "{} were let in", open.len());
    assert_eq!(origin.metrics().quic_connections_refused_by_address, 1);
    assert!(open.iter().all(|one| one.close_reason().is_none()));
}

#[tokio::test]
async fn one_way_streams_and_datagrams_are_not_taken() {
    let stage = Stage::new();
    let origin = stage.start().await;
    let client = Client::new(origin.certificate_fingerprint());
    let connection = client.connect(origin.quic_address()).await;
    assert_eq!(connection.max_datagram_size(), None);
    let opening = connection.open_uni();
    let waited = tokio::time::timeout(std::time::Duration::from_millis(200), opening).await;
    assert!(waited.is_err(), "a one-way stream could be opened");
}

#[tokio::test]
async fn impossible_settings_are_told() {
    let stage = Stage::new();
    let running = stage.start().await;
    let taken = OriginConfig {
        listen: running.quic_address(),
        ..stage.config()
    };
    let error = Origin::start(taken).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    let mut not_a_point = [0; 32];
    not_a_point[0] = 2;
    let bad_key = OriginConfig {
        capability_key: Some(not_a_point),
        ..stage.config()
    };
    let error = Origin::start(bad_key).await.unwrap_err();
    assert!(matches!(error, StartError::CapabilityKey), "{error}");
}
