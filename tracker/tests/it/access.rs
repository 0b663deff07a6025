//! Every request, before and after `AttachNode`.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::identity::NodeSecret;
use antiphon_protocol::manifest::Rung;
use antiphon_protocol::tracker::{AccessToken, TrackerReply, TrackerRequest};
use antiphon_protocol::{ContentId, NodeId, TrackId};
use anyhow::Result;

use crate::world::{PASSWORD, World, connect, node};

/// Every variant that needs `AttachNode`. The match makes a new variant fail to compile here until it
/// is in one of the two lists.
fn needs_attach() -> Vec<TrackerRequest> {
    let all = vec![
        TrackerRequest::Catalog {
            after: None,
            limit: 10,
        },
        TrackerRequest::Search {
            query: "song".into(),
            limit: 10,
        },
        TrackerRequest::Open {
            track: TrackId([1; 16]),
            rung: Rung::Standard,
        },
        TrackerRequest::Announce { entries: vec![] },
        TrackerRequest::Lookup {
            content: ContentId([1; 32]),
            limit: 5,
        },
        TrackerRequest::Renew,
        TrackerRequest::Leave,
        TrackerRequest::Placements { limit: 4 },
        TrackerRequest::Introduce {
            node: NodeId([1; 32]),
        },
        TrackerRequest::OpenHeld {
            track: TrackId([1; 16]),
            rung: Rung::Standard,
        },
    ];
    for request in &all {
        match request {
            TrackerRequest::Catalog { .. }
            | TrackerRequest::Search { .. }
            | TrackerRequest::Open { .. }
            | TrackerRequest::OpenHeld { .. }
            | TrackerRequest::Announce { .. }
            | TrackerRequest::Lookup { .. }
            | TrackerRequest::Renew
            | TrackerRequest::Leave
            | TrackerRequest::Placements { .. }
            | TrackerRequest::Introduce { .. } => {}
            TrackerRequest::Register { .. }
            | TrackerRequest::Login { .. }
            | TrackerRequest::Attach { .. }
            | TrackerRequest::AttachNode { .. } => unreachable!("these need none"),
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_logging_in_is_answered_before_attach() -> Result<()> {
    let world = World::new()?;
    world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let stranger = connect(&tracker).await?;
    let logged_in = connect(&tracker).await?;
    logged_in.register("Ada", PASSWORD).await?;
    let refused = connect(&tracker).await?;
    refused
        .ask(&refused.attach_request(&AccessToken([0; 32])))
        .await?;
    for client in [&stranger, &logged_in, &refused] {
        for request in needs_attach() {
            let code = client.refusal(&request).await?;
            assert_eq!(code, ErrorCode::UNAUTHENTICATED, "{request:?}");
        }
    }
    let (attached, ..) = node(&tracker, "Bob").await?;
    for request in needs_attach() {
        let reply = attached.ask(&request).await?;
        let answered = match reply {
            TrackerReply::Refused { code, .. } => code == ErrorCode::NOT_FOUND,
            _ => true,
        };
        assert!(answered, "{request:?}: {reply:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn attached_nodes_learn_the_network_and_renew_their_passes() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let (mut client, token, attached) = node(&tracker, "Ada").await?;
    assert_eq!(attached.tracker_key, tracker.signing_key());
    assert_eq!(
        attached.catalog_key,
        world.catalog_key.verifying_key().to_bytes()
    );
    assert!(attached.observed.ip().is_loopback());
    let key = ed25519_dalek::VerifyingKey::from_bytes(&attached.tracker_key)?;
    let ticket = attached.passes.ticket.open(&key)?;
    assert!(ticket.admits(client.node, attached.now));
    assert!(!ticket.admits(NodeId([9; 32]), attached.now));
    let TrackerReply::Passes(renewed) = client.ask(&TrackerRequest::Renew).await? else {
        anyhow::bail!("no passes");
    };
    assert!(renewed.capability.open(&key)?.admits(attached.now));
    assert_ne!(
        renewed.capability.open(&key)?.nonce,
        attached.passes.capability.open(&key)?.nonce
    );
    // Renewing addresses is allowed, becoming another node is not.
    client.attach(&token).await?;
    client.attach_formerly(&token).await?;
    client.transport = NodeSecret::generate(&mut rand::rng());
    client.node = client.transport.id();
    for other in [
        client.attach_request(&token),
        client.former_attach_request(&token),
    ] {
        assert_eq!(client.refusal(&other).await?, ErrorCode::FORBIDDEN);
    }
    Ok(())
}
