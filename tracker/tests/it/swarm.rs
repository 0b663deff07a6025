//! Announcing and looking up: who is in the answers, and when no longer.

use antiphon_protocol::ContentId;
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::manifest::Rung;
use antiphon_protocol::peer::Extent;
use antiphon_protocol::tracker::{AnnounceEntry, TrackerReply, TrackerRequest};
use anyhow::{Result, bail};

use crate::client::Client;
use crate::world::{World, eventually, node};

async fn announce(client: &Client, content: ContentId, extent: Extent) -> Result<TrackerReply> {
    let entries = vec![
        AnnounceEntry { content, extent },
        AnnounceEntry {
            content: ContentId([0xee; 32]),
            extent: Extent::Full,
        },
    ];
    client.ask(&TrackerRequest::Announce { entries }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_are_the_announcing_nodes_but_never_the_asker() -> Result<()> {
    let world = World::new()?;
    let (manifest, _) = world.publish_track(1, "Song")?;
    let content = manifest.renditions[1].content;
    let tracker = world.start().await?;
    let (ada, ..) = node(&tracker, "Ada").await?;
    let (bob, ..) = node(&tracker, "Bob").await?;
    let reply = announce(&ada, content, Extent::Full).await?;
    let TrackerReply::Announced {
        swarms,
        again_after,
    } = reply
    else {
        bail!("not announced: {reply:?}");
    };
    assert!(swarms[0].is_some() && swarms[1].is_none());
    assert!(again_after.0 > 0 && again_after.0 <= 30 * 60 * 1_000);

    let found = bob.look_up(content).await?;
    assert_eq!(found.len(), 1);
    assert!(found[0].full);
    assert_eq!(found[0].contact.node, ada.node);
    assert_eq!(found[0].contact.addresses, ["127.0.0.1:7701".parse()?]);
    assert_eq!(ada.look_up(content).await?, []);

    let (track, rung) = (manifest.track, Rung::Standard);
    let TrackerReply::Opened(opened) = bob.ask(&TrackerRequest::Open { track, rung }).await? else {
        bail!("not opened");
    };
    assert_eq!(opened.holders, found);
    // Who has all of it is told of nobody, and given the same license.
    let held = TrackerRequest::OpenHeld { track, rung };
    let TrackerReply::Opened(of_held) = bob.ask(&held).await? else {
        bail!("not opened");
    };
    assert_eq!(of_held.holders, []);
    assert_eq!(
        (of_held.content, of_held.manifest),
        (opened.content, opened.manifest)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn holders_vanish_when_they_say_so_leave_or_are_gone() -> Result<()> {
    let world = World::new()?;
    let (manifest, _) = world.publish_track(1, "Song")?;
    let content = manifest.renditions[1].content;
    let tracker = world.start().await?;
    let (ada, token, _) = node(&tracker, "Ada").await?;
    let (bob, ..) = node(&tracker, "Bob").await?;

    announce(&ada, content, Extent::Partial(vec![1])).await?;
    assert!(
        bob.look_up(content)
            .await?
            .iter()
            .all(|holder| !holder.full)
    );
    assert_eq!(bob.look_up(content).await?.len(), 1);
    announce(&ada, content, Extent::Gone).await?;
    assert_eq!(bob.look_up(content).await?, []);

    announce(&ada, content, Extent::Full).await?;
    assert_eq!(ada.ask(&TrackerRequest::Leave).await?, TrackerReply::Left);
    assert_eq!(bob.look_up(content).await?, []);

    announce(&ada, content, Extent::Full).await?;
    assert_eq!(bob.look_up(content).await?.len(), 1);
    // Addresses may be renewed without announcing again.
    ada.attach(&token).await?;
    assert_eq!(bob.look_up(content).await?.len(), 1);
    ada.quic().close(0_u32.into(), b"");
    eventually(async || Ok(bob.look_up(content).await?.is_empty())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_ours_is_not_looked_up() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let (client, ..) = node(&tracker, "Ada").await?;
    let request = TrackerRequest::Lookup {
        content: ContentId([0xee; 32]),
        limit: 10,
    };
    assert_eq!(client.refusal(&request).await?, ErrorCode::NOT_FOUND);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_news_renews_what_it_announced_with_an_empty_list() -> Result<()> {
    let world = World::new()?;
    let (manifest, _) = world.publish_track(1, "Song")?;
    let content = manifest.renditions[1].content;
    let tracker = world.start().await?;
    let (ada, ..) = node(&tracker, "Ada").await?;
    let (bob, ..) = node(&tracker, "Bob").await?;
    announce(&ada, content, Extent::Full).await?;
    let entries = Vec::new();
    let reply = ada.ask(&TrackerRequest::Announce { entries }).await?;
    let TrackerReply::Renewed {
        everything,
        again_after,
    } = reply
    else {
        bail!("not renewed: {reply:?}");
    };
    assert!(!everything && again_after.0 > 0);
    assert_eq!(bob.look_up(content).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_asked_for_and_one_holds_is_offered_to_one_more_with_its_holder() -> Result<()> {
    let world = World::new()?;
    let (manifest, _) = world.publish_track(1, "Song")?;
    let content = manifest.renditions[1].content;
    let tracker = world.start().await?;
    let (ada, ..) = node(&tracker, "Ada").await?;
    announce(&ada, content, Extent::Full).await?;
    let (eve, ..) = node(&tracker, "Eve").await?;
    let ask = TrackerRequest::Placements { limit: 4 };
    let nothing = Vec::new();
    assert_eq!(
        eve.ask(&ask).await?,
        TrackerReply::Placements {
            placements: nothing
        }
    );
    let (bob, ..) = node(&tracker, "Bob").await?;
    let (cleo, ..) = node(&tracker, "Cleo").await?;
    for asker in [&bob, &cleo] {
        assert_eq!(asker.look_up(content).await?.len(), 1);
    }
    let TrackerReply::Placements { placements } = eve.ask(&ask).await? else {
        bail!("no placements");
    };
    let [placement] = placements.as_slice() else {
        bail!("not one: {placements:?}");
    };
    assert_eq!(placement.content, content);
    assert_eq!(placement.holders.len(), 1);
    let offered = placement
        .manifest
        .open(&world.catalog_key.verifying_key())?;
    assert_eq!(offered.track, manifest.track);
    let (dan, ..) = node(&tracker, "Dan").await?;
    let reply = dan.ask(&ask).await?;
    let TrackerReply::Placements { placements } = reply else {
        bail!("no placements");
    };
    assert!(placements.is_empty(), "one node at a time");
    Ok(())
}
