//! Taking releases in, and finding their tracks.

use antiphon_protocol::TrackId;
use antiphon_protocol::catalog::TrackSummary;
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::release::Release;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::tracker::{TrackerReply, TrackerRequest};
use anyhow::{Result, bail};
use ed25519_dalek::SigningKey;

use crate::client::Client;
use crate::world::{World, eventually, keys, manifest, node, write_whole};

async fn tracks(client: &Client, request: &TrackerRequest) -> Result<(Vec<TrackSummary>, bool)> {
    match client.ask(request).await? {
        TrackerReply::Tracks { tracks, more } => Ok((tracks, more)),
        other => bail!("no tracks: {other:?}"),
    }
}

fn page(after: Option<TrackId>, limit: u16) -> TrackerRequest {
    TrackerRequest::Catalog { after, limit }
}

fn query(text: &str) -> TrackerRequest {
    TrackerRequest::Search {
        query: text.into(),
        limit: 50,
    }
}

fn titles(tracks: &[TrackSummary]) -> Vec<&str> {
    tracks.iter().map(|track| track.title.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_join_up_in_a_stable_order() -> Result<()> {
    let world = World::new()?;
    for number in 1..=5 {
        world.publish_track(number, &format!("Song {number}"))?;
    }
    let tracker = world.start().await?;
    assert_eq!(tracker.tracks(), 5);
    let (client, ..) = node(&tracker, "Ada").await?;
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let (part, more) = tracks(&client, &page(after, 2)).await?;
        after = part.last().map(|track| track.track);
        all.extend(part);
        if !more {
            break;
        }
    }
    let expected = ["Song 1", "Song 2", "Song 3", "Song 4", "Song 5"];
    assert_eq!(titles(&all), expected);
    let (found, more) = tracks(&client, &query("artist song")).await?;
    assert_eq!((titles(&found), more), (expected.to_vec(), false));
    assert_eq!(found[0].content, manifest(1, 1, "").renditions[1].content);
    let unknown = page(Some(TrackId([99; 16])), 2);
    assert_eq!(client.refusal(&unknown).await?, ErrorCode::NOT_FOUND);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_untrusted_releases_are_skipped_and_the_rest_is_taken() -> Result<()> {
    let world = World::new()?;
    world.publish_track(1, "Good")?;
    let (second, _) = world.publish_track(2, "Damaged")?;
    let path = world.release_path(second.track);
    let good = std::fs::read(&path)?;
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    write_whole(&path, &bad)?;

    let forged = manifest(3, 1, "Forged");
    let release = Release {
        keys: keys(&forged),
        manifest: Signed::sign(&forged, &SigningKey::from_bytes(&[7; 32])),
    };
    world.publish(&release, forged.track)?;
    let keyless = manifest(4, 1, "Keyless");
    let release = Release {
        keys: keys(&keyless)[..2].to_vec(),
        manifest: Signed::sign(&keyless, &world.catalog_key),
    };
    world.publish(&release, keyless.track)?;
    let (misnamed, _) = world.publish_track(5, "Misnamed")?;
    let elsewhere = world.release_path(TrackId([6; 16]));
    std::fs::rename(world.release_path(misnamed.track), elsewhere)?;
    std::fs::write(world.releases().join("notes.release"), b"hello")?;

    let tracker = world.start().await?;
    let (client, ..) = node(&tracker, "Ada").await?;
    let (all, _) = tracks(&client, &page(None, 50)).await?;
    assert_eq!(titles(&all), ["Good"]);

    write_whole(&path, &good)?;
    eventually(async || {
        let (all, _) = tracks(&client, &page(None, 50)).await?;
        Ok(titles(&all) == ["Good", "Damaged"])
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_highest_version_wins_whenever_it_comes() -> Result<()> {
    let world = World::new()?;
    let (first, keys) = world.publish_track(1, "First")?;
    let tracker = world.start().await?;
    let (client, ..) = node(&tracker, "Ada").await?;
    let publish = |version, title: &str| {
        let release = Release {
            manifest: Signed::sign(&manifest(1, version, title), &world.catalog_key),
            keys: keys.clone(),
        };
        world.publish(&release, first.track)
    };
    publish(3, "Third")?;
    assert_eq!(tracker.rescan().await?.refused, 0);
    publish(2, "Second")?;
    assert_eq!(tracker.rescan().await?.taken, 0);
    let (all, _) = tracks(&client, &page(None, 50)).await?;
    assert_eq!(titles(&all), ["Third"]);
    assert_eq!(tracks(&client, &query("first")).await?.0, []);
    let open = TrackerRequest::Open {
        track: first.track,
        rung: antiphon_protocol::Rung::Standard,
    };
    for version in [3, 4] {
        let TrackerReply::Opened(opened) = client.ask(&open).await? else {
            bail!("not opened");
        };
        let key = world.catalog_key.verifying_key();
        assert_eq!(opened.manifest.open(&key)?.version, version);
        // What was opened before must not be served from memory for ever.
        publish(4, "Fourth")?;
        tracker.rescan().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_track_cannot_take_over_the_rendition_of_another() -> Result<()> {
    let world = World::new()?;
    let (first, _) = world.publish_track(1, "First")?;
    let tracker = world.start().await?;
    let mut second = manifest(2, 1, "Second");
    second.renditions = first.renditions.clone();
    let release = Release {
        keys: keys(&second),
        manifest: Signed::sign(&second, &world.catalog_key),
    };
    world.publish(&release, second.track)?;
    tracker.rescan().await?;
    assert_eq!(tracker.tracks(), 1);
    Ok(())
}
