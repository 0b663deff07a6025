//! Nodes whose network lets no UDP through.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use antiphon_protocol::ContentId;
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::manifest::Rung;
use antiphon_protocol::peer::Extent;
use antiphon_protocol::tracker::{AnnounceEntry, TrackerNotice, TrackerReply, TrackerRequest};
use antiphon_tracker::RunningTracker;
use anyhow::{Result, bail};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::client::Client;
use crate::limits::metrics;
use crate::world::{PASSWORD, World, connect, connect_tcp, node};

/// Longer than the tracker waits for a handshake.
const DEADLINE: Duration = Duration::from_secs(30);

async fn tcp_node(tracker: &RunningTracker, name: &str) -> Result<Client> {
    let client = connect_tcp(tracker).await?;
    let token = client.register(name, PASSWORD).await?;
    client.attach(&token).await?;
    Ok(client)
}

async fn holds(client: &Client, content: ContentId) -> Result<()> {
    let extent = Extent::Full;
    let entries = vec![AnnounceEntry { content, extent }];
    let reply = client.ask(&TrackerRequest::Announce { entries }).await?;
    assert!(matches!(reply, TrackerReply::Announced { .. }), "{reply:?}");
    Ok(())
}

/// A connection from another address of this machine.
async fn come_from(host: u8, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
    Ok(socket.connect(to).await?)
}

/// Until the tracker closes a connection that has said nothing.
async fn closed(mut socket: TcpStream) -> Result<()> {
    let read = timeout(DEADLINE, socket.read(&mut [0])).await?;
    match read {
        Ok(0) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        other => bail!("not closed: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_a_node_attaches_opens_announces_and_looks_up() -> Result<()> {
    let world = World::new()?;
    let (manifest, keys) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let content = manifest.renditions[1].content;
    let ada = tcp_node(&tracker, "Ada").await?;
    let (track, rung) = (manifest.track, Rung::Standard);
    let opened = ada.ask(&TrackerRequest::Open { track, rung }).await?;
    let TrackerReply::Opened(opened) = opened else {
        bail!("not opened: {opened:?}");
    };
    assert_eq!(opened.content, content);
    let key = ed25519_dalek::VerifyingKey::from_bytes(&tracker.signing_key())?;
    assert_eq!(opened.license.open(&key)?.open(&ada.device)?, keys);

    holds(&ada, content).await?;
    let (bob, ..) = node(&tracker, "Bob").await?;
    holds(&bob, content).await?;
    let holders = ada.look_up(content).await?;
    let [holder] = holders.as_slice() else {
        bail!("{holders:?}");
    };
    assert_eq!(holder.contact.node, bob.node);
    let metrics = metrics(&tracker).await?;
    for line in [
        "antiphon_tracker_open_connections{transport=\"tcp\"} 1",
        "antiphon_tracker_open_connections{transport=\"quic\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_over_tcp_is_known_by_the_ports_it_names_and_not_by_tcps() -> Result<()> {
    let world = World::new()?;
    let (manifest, _) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let content = manifest.renditions[1].content;
    let ada = connect_tcp(&tracker).await?;
    let token = ada.register("Ada", PASSWORD).await?;
    // It says, wrongly, that peers are served where the tracker sees it; and then a port.
    let mut request = ada.attach_request_at(&token, "0.0.0.0:0");
    let TrackerRequest::AttachNode { addresses, .. } = &mut request else {
        bail!("no attach");
    };
    addresses.push("0.0.0.0:7701".parse()?);
    let TrackerReply::Attached(attached) = ada.ask(&request).await? else {
        bail!("not attached");
    };
    assert_eq!(attached.observed, SocketAddr::from(([127, 0, 0, 1], 0)));
    holds(&ada, content).await?;
    let (bob, ..) = node(&tracker, "Bob").await?;
    holds(&bob, content).await?;
    let seen = bob.look_up(content).await?;
    let seen: Vec<_> = seen
        .into_iter()
        .flat_map(|holder| holder.contact.addresses)
        .collect();
    assert_eq!(seen, [SocketAddr::from(([127, 0, 0, 1], 7701))]);
    ada.look_up(content).await?;
    let node = bob.node;
    let refused = ada.refusal(&TrackerRequest::Introduce { node }).await?;
    assert_eq!(refused, ErrorCode::INVALID);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_come_over_tcp_too() -> Result<()> {
    let world = World::new()?;
    let (manifest, _) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let content = manifest.renditions[1].content;
    let ada = tcp_node(&tracker, "Ada").await?;
    holds(&ada, content).await?;
    let bob = connect(&tracker).await?;
    let token = bob.register("Bob", PASSWORD).await?;
    let TrackerReply::Attached(attached) =
        bob.ask(&bob.attach_request_at(&token, "0.0.0.0:0")).await?
    else {
        bail!("not attached");
    };
    bob.look_up(content).await?;
    let node = ada.node;
    for _ in 0..3 {
        let reply = bob.ask(&TrackerRequest::Introduce { node }).await?;
        assert_eq!(reply, TrackerReply::Introduced);
        let told = TrackerNotice::Introduction {
            node: bob.node,
            address: attached.observed,
        };
        assert_eq!(ada.notice().await?, told);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_for_another_connection_is_worth_nothing() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let ada = connect_tcp(&tracker).await?;
    let token = ada.register("Ada", PASSWORD).await?;
    let (other, over_quic) = (connect_tcp(&tracker).await?, connect(&tracker).await?);
    let attach = |of_device: [u8; 32], of_node: [u8; 32]| TrackerRequest::AttachNode {
        token: token.clone(),
        proof: ada.device.prove(&of_device),
        node: ada.node,
        node_proof: ada.transport.prove(&of_node),
        addresses: Vec::new(),
    };
    let own = ada.channel();
    for foreign in [other.channel(), over_quic.channel()] {
        for request in [attach(foreign, own), attach(own, foreign)] {
            let refused = ada.refusal(&request).await?;
            assert_eq!(refused, ErrorCode::UNAUTHENTICATED);
        }
    }
    let reply = ada.ask(&attach(own, own)).await?;
    assert!(matches!(reply, TrackerReply::Attached(_)), "{reply:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_is_let_go_and_keeps_nobody_out_over_quic() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let at = tracker.quic_address();
    let mut silent = Vec::new();
    // They are accepted in this order, so the last one of each address finds no place.
    for host in [2, 3] {
        for _ in 0..16 {
            silent.push(come_from(host, at).await?);
        }
        closed(come_from(host, at).await?).await?;
    }
    // Nor does anybody else by now.
    closed(come_from(4, at).await?).await?;
    let metrics = metrics(&tracker).await?;
    for turned_away in ["turned_away_by_address_total 1", "turned_away_total 2"] {
        let turned_away = format!("antiphon_tracker_handshakes_{turned_away}");
        assert!(metrics.contains(&turned_away), "{metrics}");
    }
    let (bob, ..) = node(&tracker, "Bob").await?;
    for socket in silent {
        closed(socket).await?;
    }
    // Their places are free again.
    tcp_node(&tracker, "Ada").await?;
    assert!(bob.quic().close_reason().is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_share_of_both_ways_together() -> Result<()> {
    let mut world = World::new()?;
    world.limits.address_connections = 2;
    let tracker = world.start().await?;
    let (_bob, ..) = node(&tracker, "Bob").await?;
    let ada = tcp_node(&tracker, "Ada").await?;
    assert!(connect_tcp(&tracker).await.is_err(), "a third was let in");
    assert!(connect(&tracker).await.is_err(), "a third was let in");
    let renewed = ada.ask(&TrackerRequest::Renew).await?;
    assert!(matches!(renewed, TrackerReply::Passes(_)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_over_tcp_are_bounded_and_come_back_when_they_end() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let greedy = tcp_node(&tracker, "Ada").await?;
    let mut held = Vec::new();
    // More than there may be ends the connection, and nobody else's.
    while let Ok((mut send, receive)) = greedy.link.open().await {
        if send.write_all(&[9]).await.is_err() {
            break;
        }
        held.push((send, receive));
        tokio::task::yield_now().await;
    }
    timeout(DEADLINE, greedy.link.closed()).await?;
    let ada = tcp_node(&tracker, "Ben").await?;
    for _ in 0..3 {
        let asked = (0..32).map(|_| ada.ask(&TrackerRequest::Renew));
        for reply in futures::future::join_all(asked).await {
            assert!(matches!(reply?, TrackerReply::Passes(_)));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_stops_closes_what_came_over_tcp() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let ada = tcp_node(&tracker, "Ada").await?;
    tracker.shutdown().await;
    timeout(DEADLINE, ada.link.closed()).await?;
    Ok(())
}
