//! Round trips before the first bytes, over a way of 100 ms there and back.

use std::time::{Duration, Instant};

use antiphon_origin::server::RunningOrigin;

use super::stage::{Client, Music, Stage, fetch, own_bytes, span, within};
use crate::delay_proxy::DelayProxy;

/// Each way. Long enough that a busy machine's pauses do not look like a round trip more.
const DELAY: Duration = Duration::from_millis(50);

async fn stage() -> (Stage, Music, RunningOrigin, DelayProxy) {
    let stage = Stage::new();
    let music = stage.add(5_000_000, 1);
    let origin = stage.start().await;
    let proxy = DelayProxy::start(origin.quic_address(), DELAY)
        .await
        .unwrap();
    (stage, music, origin, proxy)
}

#[tokio::test]
async fn a_returning_node_has_a_whole_head_after_one_round_trip() {
    let (_stage, music, origin, proxy) = stage().await;
    let client = Client::new(origin.certificate_fingerprint());
    let first = client.connect(proxy.address()).await;
    fetch(&first, &music, span(100, 1)).await.unwrap();
    first.close(0_u32.into(), b"");
    within(client.endpoint.wait_idle()).await;
    proxy.silent_for(DELAY * 4).await;
    proxy.reset();

    let started = Instant::now();
    let connecting = client.connecting(proxy.address());
    let (connection, accepted) = connecting.into_0rtt().expect("a session to resume");
    let head = fetch(&connection, &music, span(0, 4)).await.unwrap();
    let round_trips = proxy.round_trips();
    println!(
        "0-RTT head of 64 KiB: {round_trips} round trip, {:?} at {:?}",
        started.elapsed(),
        DELAY * 2
    );
    assert_eq!(head, own_bytes(&music, span(0, 4)));
    assert_eq!(round_trips, 1);
    assert!(within(accepted).await, "0-RTT was not accepted");
}

#[tokio::test]
async fn a_new_node_has_a_whole_head_after_two_round_trips_and_a_warm_one_after_one() {
    let (_stage, music, origin, proxy) = stage().await;
    let client = Client::new(origin.certificate_fingerprint());
    let started = Instant::now();
    let connection = client.connect(proxy.address()).await;
    let cold = fetch(&connection, &music, span(0, 4)).await.unwrap();
    let cold_round_trips = proxy.round_trips();
    println!(
        "cold head: {cold_round_trips} round trips, {:?}",
        started.elapsed()
    );
    assert_eq!(cold, own_bytes(&music, span(0, 4)));
    assert_eq!(cold_round_trips, 2);

    proxy.silent_for(DELAY * 4).await;
    proxy.reset();
    let started = Instant::now();
    fetch(&connection, &music, span(200, 4)).await.unwrap();
    let warm_round_trips = proxy.round_trips();
    println!(
        "warm head: {warm_round_trips} round trip, {:?}",
        started.elapsed()
    );
    assert_eq!(warm_round_trips, 1);
}
