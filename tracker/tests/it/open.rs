//! Opening tracks: manifest, license and swarm in one reply.

use std::collections::HashSet;

use antiphon_protocol::TrackId;
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::license::LicenseError;
use antiphon_protocol::manifest::Rung;
use antiphon_protocol::tracker::{OpenedTrack, TrackerReply, TrackerRequest};
use anyhow::{Result, bail};
use ed25519_dalek::VerifyingKey;

use crate::client::Client;
use crate::world::{World, node};

async fn open(client: &Client, track: TrackId, rung: Rung) -> Result<OpenedTrack> {
    match client.ask(&TrackerRequest::Open { track, rung }).await? {
        TrackerReply::Opened(opened) => Ok(*opened),
        other => bail!("not opened: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_license_opens_on_its_device_and_nowhere_else() -> Result<()> {
    let world = World::new()?;
    let (manifest, keys) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let (ada, _, attached) = node(&tracker, "Ada").await?;
    let (bob, ..) = node(&tracker, "Bob").await?;
    let opened = open(&ada, manifest.track, Rung::Standard).await?;

    let catalog_key = VerifyingKey::from_bytes(&attached.catalog_key)?;
    assert_eq!(opened.manifest.open(&catalog_key)?, manifest);
    assert_eq!(opened.content, manifest.renditions[1].content);
    let tracker_key = VerifyingKey::from_bytes(&attached.tracker_key)?;
    let license = opened.license.open(&tracker_key)?;
    assert_eq!(license.terms.track, manifest.track);
    assert_eq!(license.terms.lease_secs, 3_600);
    assert_eq!(license.terms.grace_secs, 21_600);
    assert_eq!(license.open(&ada.device)?, keys);
    assert_eq!(license.open(&bob.device), Err(LicenseError::OtherDevice));
    let mut stolen = license.clone();
    stolen.terms.device = bob.device.public().id();
    assert_eq!(stolen.open(&bob.device), Err(LicenseError::Altered));

    let low = open(&bob, manifest.track, Rung::Low).await?;
    assert_eq!(low.content, manifest.renditions[0].content);
    assert_ne!(low.swarm, opened.swarm);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_license_is_recorded_under_its_own_id() -> Result<()> {
    let world = World::new()?;
    let (manifest, _) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let (client, _, attached) = node(&tracker, "Ada").await?;
    let key = VerifyingKey::from_bytes(&attached.tracker_key)?;
    let mut ids = HashSet::new();
    for _ in 0..50 {
        let opened = open(&client, manifest.track, Rung::High).await?;
        assert!(ids.insert(opened.license.open(&key)?.terms.id));
    }
    tracker.shutdown().await;
    let database = format!("sqlite://{}", world.data().join("tracker.db").display());
    let pool = sqlx::SqlitePool::connect(&database).await?;
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT id FROM licenses")
        .fetch_all(&pool)
        .await?;
    let recorded: HashSet<_> = rows.into_iter().map(|(id,)| id).collect();
    let issued: HashSet<_> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    assert_eq!(recorded, issued);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_track_is_not_found() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let (client, ..) = node(&tracker, "Ada").await?;
    let request = TrackerRequest::Open {
        track: TrackId([9; 16]),
        rung: Rung::Standard,
    };
    assert_eq!(client.refusal(&request).await?, ErrorCode::NOT_FOUND);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rendition_keys_are_not_in_the_database_in_the_clear() -> Result<()> {
    let world = World::new()?;
    let (_, keys) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let (_client, token, _) = node(&tracker, "Ada").await?;
    tracker.shutdown().await;
    let bytes = std::fs::read(world.data().join("tracker.db"))?;
    let secrets = keys.iter().map(|(_, key)| key.expose().as_slice());
    for secret in secrets.chain([token.0.as_slice()]) {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
    Ok(())
}
