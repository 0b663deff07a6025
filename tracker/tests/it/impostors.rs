//! Whoever says that he is a node without having its transport key.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::manifest::Rung;
use antiphon_protocol::peer::{Extent, PeerContact};
use antiphon_protocol::ticket::RegionClass;
use antiphon_protocol::tracker::{
    AccessToken, AnnounceEntry, Holder, TrackerNotice, TrackerReply, TrackerRequest,
};
use antiphon_protocol::{ContentId, TrackId};
use antiphon_tracker::RunningTracker;
use anyhow::{Result, bail};

use crate::client::Client;
use crate::world::{PASSWORD, World, connect, connect_tcp, node};

/// Ada holds the track, Bob looks her up, and Eve says that she is Ada.
struct Scene {
    _world: World,
    tracker: RunningTracker,
    track: TrackId,
    content: ContentId,
    ada: Client,
    bob: Client,
    eve: Client,
    token: AccessToken,
}

impl Scene {
    async fn set() -> Result<Self> {
        let world = World::new()?;
        let (manifest, _) = world.publish_track(1, "Song")?;
        let tracker = world.start().await?;
        let content = manifest.renditions[1].content;
        let (ada, ..) = node(&tracker, "Ada").await?;
        holds(&ada, content, Extent::Full).await?;
        let bob = connect(&tracker).await?;
        let token = bob.register("Bob", PASSWORD).await?;
        bob.ask(&bob.attach_request_at(&token, "0.0.0.0:0")).await?;
        let mut eve = connect(&tracker).await?;
        eve.node = ada.node;
        let token = eve.register("Eve", PASSWORD).await?;
        Ok(Self {
            _world: world,
            tracker,
            track: manifest.track,
            content,
            ada,
            bob,
            eve,
            token,
        })
    }

    /// Bob hears of Ada where she is, and of nobody else.
    async fn only_ada_is_named(&self) -> Result<()> {
        let only_ada = [Holder {
            contact: PeerContact {
                node: self.ada.node,
                region: RegionClass::default(),
                addresses: vec!["127.0.0.1:7701".parse()?],
            },
            full: true,
        }];
        assert_eq!(self.bob.look_up(self.content).await?, only_ada);
        let rung = Rung::Standard;
        let track = self.track;
        let opened = self.bob.ask(&TrackerRequest::Open { track, rung }).await?;
        let TrackerReply::Opened(opened) = opened else {
            bail!("not opened: {opened:?}");
        };
        assert_eq!(opened.holders, only_ada);
        Ok(())
    }

    /// Ada is told that Bob wants to connect, and nobody else is.
    async fn ada_is_introduced(&self) -> Result<()> {
        let node = self.ada.node;
        let reply = self.bob.ask(&TrackerRequest::Introduce { node }).await?;
        assert_eq!(reply, TrackerReply::Introduced);
        let told = self.ada.notice().await?;
        let bob = self.bob.node;
        assert!(matches!(told, TrackerNotice::Introduction { node, .. } if node == bob));
        Ok(())
    }
}

async fn holds(client: &Client, content: ContentId, extent: Extent) -> Result<()> {
    let entries = vec![AnnounceEntry { content, extent }];
    let reply = client.ask(&TrackerRequest::Announce { entries }).await?;
    let TrackerReply::Announced { swarms, .. } = &reply else {
        bail!("not announced: {reply:?}");
    };
    assert!(matches!(swarms.as_slice(), [Some(_)]), "{reply:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_attaches_as_a_node_whose_key_he_does_not_have() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.only_ada_is_named().await?;
    let attach = scene.eve.attach_request(&scene.token);
    let refused = scene.eve.refusal(&attach).await?;
    assert_eq!(refused, ErrorCode::UNAUTHENTICATED);
    // Ada's own proof, overheard, is of her connection.
    let mut overheard = attach;
    let TrackerRequest::AttachNode { node_proof, .. } = &mut overheard else {
        bail!("no attach");
    };
    *node_proof = scene.ada.transport.prove(&scene.ada.channel());
    let refused = scene.eve.refusal(&overheard).await?;
    assert_eq!(refused, ErrorCode::UNAUTHENTICATED);
    let renewal = scene.eve.refusal(&TrackerRequest::Renew).await?;
    assert_eq!(renewal, ErrorCode::UNAUTHENTICATED, "she is nobody yet");
    scene.only_ada_is_named().await?;
    scene.ada_is_introduced().await?;
    // The same connection is good for what she is.
    scene.eve.node = scene.eve.transport.id();
    scene.eve.attach(&scene.token).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_proves_no_key_has_no_place_in_a_swarm() -> Result<()> {
    let scene = Scene::set().await?;
    scene.only_ada_is_named().await?;
    scene.eve.attach_formerly(&scene.token).await?;
    for extent in [Extent::Full, Extent::Gone] {
        holds(&scene.eve, scene.content, extent).await?;
        scene.only_ada_is_named().await?;
    }
    scene.ada_is_introduced().await?;
    let left = scene.eve.ask(&TrackerRequest::Leave).await?;
    assert_eq!(left, TrackerReply::Left);
    scene.only_ada_is_named().await?;
    scene.eve.link.close(0);
    scene.eve.link.closed().await;
    scene.only_ada_is_named().await?;
    scene.ada_is_introduced().await?;
    // The rightful node moves on as ever.
    holds(&scene.ada, scene.content, Extent::Gone).await?;
    assert_eq!(scene.bob.look_up(scene.content).await?, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_before_still_listens_looks_up_and_is_asked_for_nothing() -> Result<()> {
    let scene = Scene::set().await?;
    let former = connect_tcp(&scene.tracker).await?;
    let token = former.register("Former", PASSWORD).await?;
    let attached = former.attach_formerly(&token).await?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&attached.tracker_key)?;
    let ticket = attached.passes.ticket.open(&key)?;
    assert!(ticket.admits(former.node, attached.now));
    let (track, rung) = (scene.track, Rung::Standard);
    let opened = former.ask(&TrackerRequest::Open { track, rung }).await?;
    let TrackerReply::Opened(opened) = opened else {
        bail!("not opened: {opened:?}");
    };
    assert_eq!(opened.holders.len(), 1);
    assert_eq!(former.look_up(scene.content).await?, opened.holders);
    // It need not say again what nobody remembers.
    let entries = Vec::new();
    let renewed = former.ask(&TrackerRequest::Announce { entries }).await?;
    let TrackerReply::Renewed { everything, .. } = renewed else {
        bail!("not renewed: {renewed:?}");
    };
    assert!(!everything);
    let limit = 4;
    let placed = former.ask(&TrackerRequest::Placements { limit }).await?;
    let none = Vec::new();
    assert_eq!(placed, TrackerReply::Placements { placements: none });
    let node = scene.ada.node;
    let introduced = former.refusal(&TrackerRequest::Introduce { node }).await?;
    assert_eq!(introduced, ErrorCode::FORBIDDEN);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobodies_ask_for_is_not_placed() -> Result<()> {
    let scene = Scene::set().await?;
    // All at once, so that each counts as another if they count at all.
    let mut online = Vec::new();
    for name in ["Cleo", "Dan", "Fred"] {
        let former = connect(&scene.tracker).await?;
        let token = former.register(name, PASSWORD).await?;
        former.attach_formerly(&token).await?;
        assert_eq!(former.look_up(scene.content).await?.len(), 1);
        online.push(former);
    }
    let limit = 4;
    let placed = scene.bob.ask(&TrackerRequest::Placements { limit }).await?;
    let none = Vec::new();
    assert_eq!(placed, TrackerReply::Placements { placements: none });
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_proved_on_a_connection_stays_proved_there() -> Result<()> {
    let mut scene = Scene::set().await?;
    scene.eve.node = scene.eve.transport.id();
    scene.eve.attach_formerly(&scene.token).await?;
    holds(&scene.eve, scene.content, Extent::Full).await?;
    scene.only_ada_is_named().await?;
    scene.eve.attach(&scene.token).await?;
    holds(&scene.eve, scene.content, Extent::Full).await?;
    assert_eq!(scene.bob.look_up(scene.content).await?.len(), 2);
    scene.eve.attach_formerly(&scene.token).await?;
    assert_eq!(scene.bob.look_up(scene.content).await?.len(), 2);
    Ok(())
}
