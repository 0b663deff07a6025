//! Introductions: who is told of whom, what is told, and how often.

use std::net::SocketAddr;

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::Extent;
use antiphon_protocol::tracker::{AnnounceEntry, TrackerNotice, TrackerReply, TrackerRequest};
use antiphon_protocol::{ContentId, NodeId};
use antiphon_tracker::RunningTracker;
use anyhow::{Result, bail};

use crate::client::Client;
use crate::world::{PASSWORD, World, connect, eventually, node};

/// A tracker with one track, whose content is told.
async fn network(limit: impl FnOnce(&mut World)) -> Result<(World, RunningTracker, ContentId)> {
    let mut world = World::new()?;
    limit(&mut world);
    let (manifest, _) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    Ok((world, tracker, manifest.renditions[1].content))
}

/// A node that says that it serves peers where the tracker sees it; and where that is.
async fn reachable(tracker: &RunningTracker, name: &str) -> Result<(Client, SocketAddr)> {
    let client = connect(tracker).await?;
    let token = client.register(name, PASSWORD).await?;
    let attach = client.attach_request_at(&token, "0.0.0.0:0");
    let TrackerReply::Attached(attached) = client.ask(&attach).await? else {
        bail!("not attached");
    };
    Ok((client, attached.observed))
}

async fn holds(client: &Client, content: ContentId) -> Result<()> {
    let extent = Extent::Full;
    let entries = vec![AnnounceEntry { content, extent }];
    client.ask(&TrackerRequest::Announce { entries }).await?;
    Ok(())
}

async fn look_up(client: &Client, content: ContentId) -> Result<Vec<Vec<SocketAddr>>> {
    let holders = client.look_up(content).await?;
    Ok(holders.into_iter().map(|h| h.contact.addresses).collect())
}

/// A node that holds the track.
async fn holder(tracker: &RunningTracker, content: ContentId) -> Result<(Client, SocketAddr)> {
    let (client, seen) = reachable(tracker, "Ada").await?;
    holds(&client, content).await?;
    Ok((client, seen))
}

/// A node that has been told who holds it.
async fn seeker(tracker: &RunningTracker, name: &str, content: ContentId) -> Result<Client> {
    let (client, _) = reachable(tracker, name).await?;
    look_up(&client, content).await?;
    Ok(client)
}

/// Has `holder` told of `asker`, where the tracker sees it.
async fn introduced(asker: &Client, address: SocketAddr, holder: &Client) -> Result<()> {
    let reply = asker.ask(&introduce(holder.node)).await?;
    assert_eq!(reply, TrackerReply::Introduced);
    let node = asker.node;
    let told = TrackerNotice::Introduction { node, address };
    assert_eq!(holder.notice().await?, told);
    Ok(())
}

const fn introduce(node: NodeId) -> TrackerRequest {
    TrackerRequest::Introduce { node }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_is_told_who_wants_to_connect_and_where_the_tracker_sees_it() -> Result<()> {
    let (_world, tracker, content) = network(|_| ()).await?;
    let (ada, seen) = holder(&tracker, content).await?;
    let (bob, address) = reachable(&tracker, "Bob").await?;
    // The port it listens at inside is not told by the node, but seen by the tracker.
    assert_eq!(look_up(&bob, content).await?, [[seen]]);
    introduced(&bob, address, &ada).await
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_the_gone_and_the_unknown_are_refused_alike() -> Result<()> {
    let (_world, tracker, content) = network(|_| ()).await?;
    let (ada, _) = holder(&tracker, content).await?;
    let (bob, _) = reachable(&tracker, "Bob").await?;
    let ask = introduce(ada.node);
    assert_eq!(bob.refusal(&ask).await?, ErrorCode::NOT_FOUND, "not named");
    let unknown = introduce(NodeId([0xee; 32]));
    assert_eq!(bob.refusal(&unknown).await?, ErrorCode::NOT_FOUND);
    look_up(&bob, content).await?;
    assert_eq!(bob.ask(&ask).await?, TrackerReply::Introduced);
    let back = introduce(bob.node);
    assert_eq!(ada.refusal(&back).await?, ErrorCode::NOT_FOUND, "one way");
    ada.quic().close(0_u32.into(), b"");
    eventually(async || Ok(look_up(&bob, content).await?.is_empty())).await?;
    assert_eq!(bob.refusal(&ask).await?, ErrorCode::NOT_FOUND, "gone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_dialed_where_it_is_seen_is_not_introduced() -> Result<()> {
    let (_world, tracker, content) = network(|_| ()).await?;
    let (ada, _) = holder(&tracker, content).await?;
    let stranger = connect(&tracker).await?;
    let ask = introduce(ada.node);
    assert_eq!(stranger.refusal(&ask).await?, ErrorCode::UNAUTHENTICATED);
    let (bob, ..) = node(&tracker, "Bob").await?;
    look_up(&bob, content).await?;
    assert_eq!(bob.refusal(&ask).await?, ErrorCode::INVALID);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_floods_is_refused() -> Result<()> {
    let few = |world: &mut World| world.limits.account_introductions_per_minute = 3;
    let (_world, tracker, content) = network(few).await?;
    let (ada, _) = holder(&tracker, content).await?;
    let bob = seeker(&tracker, "Bob", content).await?;
    let ask = introduce(ada.node);
    for _ in 0..3 {
        assert_eq!(bob.ask(&ask).await?, TrackerReply::Introduced);
    }
    assert_eq!(bob.refusal(&ask).await?, ErrorCode::RATE_LIMITED);
    let renewed = bob.ask(&TrackerRequest::Renew).await?;
    assert!(
        matches!(renewed, TrackerReply::Passes(_)),
        "all else goes on"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_not_flooded_by_many_accounts() -> Result<()> {
    let few = |world: &mut World| world.limits.node_introductions_per_minute = 2;
    let (_world, tracker, content) = network(few).await?;
    let (ada, _) = holder(&tracker, content).await?;
    let ask = introduce(ada.node);
    for name in ["Bob", "Cleo"] {
        let asker = seeker(&tracker, name, content).await?;
        assert_eq!(asker.ask(&ask).await?, TrackerReply::Introduced);
    }
    let dan = seeker(&tracker, "Dan", content).await?;
    assert_eq!(dan.refusal(&ask).await?, ErrorCode::RATE_LIMITED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_leaves_a_node_room_for_others() -> Result<()> {
    let few = |world: &mut World| world.limits.node_introductions_per_minute = 10;
    let (_world, tracker, content) = network(few).await?;
    let (ada, _) = holder(&tracker, content).await?;
    let ask = introduce(ada.node);
    let bob = seeker(&tracker, "Bob", content).await?;
    while bob.ask(&ask).await? == TrackerReply::Introduced {
        ada.notice().await?;
    }
    let cleo = seeker(&tracker, "Cleo", content).await?;
    assert_eq!(cleo.ask(&ask).await?, TrackerReply::Introduced);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moved_is_told_so_and_not_introduced_where_it_was() -> Result<()> {
    let (_world, tracker, content) = network(|_| ()).await?;
    let (ada, _) = holder(&tracker, content).await?;
    let bob = seeker(&tracker, "Bob", content).await?;
    bob.endpoint()
        .rebind(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    // Whoever has its former address now is not to be dialed, nor where packets merely come from.
    let ask = introduce(ada.node);
    assert_eq!(bob.refusal(&ask).await?, ErrorCode::INVALID);
    assert_eq!(bob.notice().await?, TrackerNotice::Moved);
    Ok(())
}
