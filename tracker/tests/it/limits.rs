//! Hostile connections: frames and streams beyond their limits, and the HTTP side.

use std::task::Poll;
use std::time::Duration;

use antiphon_protocol::codec;
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::limits::{ANNOUNCES_PER_REQUEST_MAX, TRACKER_FRAME_BYTES_MAX};
use antiphon_protocol::peer::Extent;
use antiphon_protocol::tracker::{AnnounceEntry, TrackerReply, TrackerRequest};
use antiphon_protocol::{ContentId, TrackId};
use antiphon_tracker::RunningTracker;
use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, connect, node};

/// Nothing on loopback takes this long unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);

fn code(reply: &TrackerReply) -> Option<ErrorCode> {
    match reply {
        TrackerReply::Refused { code, .. } => Some(*code),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_too_long_or_no_request_are_refused() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let stranger = connect(&tracker).await?;
    let too_long = (TRACKER_FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
    let reply = stranger.ask_bytes(&too_long).await?;
    assert_eq!(code(&reply), Some(ErrorCode::TOO_LARGE));
    let long_for_a_stranger = 2_000_u32.to_le_bytes();
    let reply = stranger.ask_bytes(&long_for_a_stranger).await?;
    assert_eq!(code(&reply), Some(ErrorCode::TOO_LARGE));
    let reply = stranger.ask_bytes(&[1, 0, 0, 0, 0xff]).await?;
    assert_eq!(code(&reply), Some(ErrorCode::MALFORMED));

    let (client, ..) = node(&tracker, "Ada").await?;
    let entry = AnnounceEntry {
        content: ContentId([1; 32]),
        extent: Extent::Partial(vec![0xff; 64]),
    };
    let largest = TrackerRequest::Announce {
        entries: vec![entry; ANNOUNCES_PER_REQUEST_MAX],
    };
    let reply = client.ask(&largest).await?;
    assert!(matches!(reply, TrackerReply::Announced { swarms, .. }
        if swarms.len() == ANNOUNCES_PER_REQUEST_MAX));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_only_sends_rubbish_is_closed() -> Result<()> {
    let mut world = World::new()?;
    world.limits.connection_requests_burst = 100;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    while client.ask_bytes(&[1, 0, 0, 0, 0xff]).await.is_ok() {}
    let closed = client.quic().closed().await;
    let quinn::ConnectionError::ApplicationClosed(close) = closed else {
        bail!("closed otherwise: {closed}");
    };
    assert_eq!(close.error_code, u32::from(ErrorCode::MALFORMED.0).into());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_come_back_when_they_end() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let (client, ..) = node(&tracker, "Ada").await?;
    let mut held = Vec::new();
    while let Poll::Ready(opened) = futures::poll!(std::pin::pin!(client.quic().open_bi())) {
        let (mut send, receive) = opened?;
        send.write_all(&[9]).await?;
        held.push((send, receive));
        assert!(held.len() <= 32);
    }
    // Credit for the few streams that logging in took may still be due.
    assert!(held.len() > 24);
    assert!(futures::poll!(std::pin::pin!(client.quic().open_uni())).is_pending());
    held.clear();
    assert!(matches!(
        client.ask(&TrackerRequest::Renew).await?,
        TrackerReply::Passes(_)
    ));
    Ok(())
}

/// The tracker's `/metrics`.
pub async fn metrics(tracker: &RunningTracker) -> Result<String> {
    let mut stream = tokio::net::TcpStream::connect(tracker.http_address()).await?;
    let request = "GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_of_the_connections_and_gets_it_back() -> Result<()> {
    let mut world = World::new()?;
    world.limits.address_connections = 2;
    let tracker = world.start().await?;
    let (first, ..) = node(&tracker, "Ada").await?;
    // Answered, so the tracker too knows that the handshake is over.
    let (second, ..) = node(&tracker, "Ben").await?;
    assert!(connect(&tracker).await.is_err(), "a third was let in");
    let metrics = metrics(&tracker).await?;
    // It had to prove its address first, so that nobody else's packets shut it out.
    for line in [
        "antiphon_tracker_handshake_retries_total 1",
        "antiphon_tracker_handshakes_turned_away_by_address_total 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    second.quic().close(0_u32.into(), b"");
    let again = async {
        loop {
            if let Ok(client) = connect(&tracker).await {
                break client;
            }
        }
    };
    let third = tokio::time::timeout(DEADLINE, again).await?;
    assert!(third.quic().close_reason().is_none());
    assert!(matches!(
        first.ask(&TrackerRequest::Renew).await?,
        TrackerReply::Passes(_)
    ));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_connects_too_often_is_turned_away() -> Result<()> {
    let mut world = World::new()?;
    world.limits.address_handshakes_per_second = 1;
    world.limits.address_handshakes_burst = 3;
    let tracker = world.start().await?;
    let mut clients = Vec::new();
    while let Ok(client) = connect(&tracker).await {
        clients.push(client);
        assert!(clients.len() < 100, "nothing paces them");
    }
    // As many before the address is proven as after.
    assert!(clients.len() >= 6, "{} were let in", clients.len());
    for client in &clients {
        assert!(client.quic().close_reason().is_none());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_one_allowance_for_all_its_connections() -> Result<()> {
    let mut world = World::new()?;
    world.limits.account_requests_per_second = 1;
    world.limits.account_requests_burst = 5;
    let tracker = world.start().await?;
    let (first, ..) = node(&tracker, "Ada").await?;
    let second = connect(&tracker).await?;
    let token = second.login("Ada", crate::world::PASSWORD).await?;
    second.attach(&token).await?;
    for _ in 0..5 {
        first.ask(&TrackerRequest::Renew).await?;
    }
    let refused = second.ask(&TrackerRequest::Renew).await?;
    let TrackerReply::Refused { code, retry_after } = refused else {
        bail!("answered: {refused:?}");
    };
    assert_eq!(code, ErrorCode::RATE_LIMITED);
    assert!(retry_after.0 > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_beyond_their_limits_are_refused_although_well_formed() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let (client, ..) = node(&tracker, "Ada").await?;
    // Encoded with a legal limit, then raised: the encoder itself would refuse.
    let mut frame = codec::encode(&TrackerRequest::Catalog {
        after: Some(TrackId([1; 16])),
        limit: 200,
    });
    let last = frame.len() - 1;
    assert_eq!(frame[last], 1);
    frame[last] = 100;
    let reply = client.ask_bytes(&frame).await?;
    assert_eq!(code(&reply), Some(ErrorCode::INVALID));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_http_side_tells_health_and_metrics() -> Result<()> {
    let world = World::new()?;
    world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let (_client, ..) = node(&tracker, "Ada").await?;
    let fetch = async |path: &str| -> Result<String> {
        let mut stream = tokio::net::TcpStream::connect(tracker.http_address()).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    assert!(fetch("/livez").await?.starts_with("HTTP/1.1 200"));
    assert!(fetch("/readyz").await?.starts_with("HTTP/1.1 200"));
    assert!(fetch("/admin").await?.starts_with("HTTP/1.1 404"));
    let metrics = fetch("/metrics").await?;
    for line in ["antiphon_tracker_tracks 1", "antiphon_tracker_nodes 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    std::fs::remove_file(world.releases().join("catalog.pub"))?;
    tracker.shutdown().await;
    let tracker = world.start().await?;
    let mut stream = tokio::net::TcpStream::connect(tracker.http_address()).await?;
    stream
        .write_all(b"GET /readyz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    Ok(())
}
