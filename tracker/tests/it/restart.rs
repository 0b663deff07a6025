//! What survives: accounts, tokens, the certificate, the catalog. And what stops a start.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::identity::DeviceSecret;
use antiphon_protocol::manifest::Rung;
use antiphon_protocol::tracker::{Password, TrackerReply, TrackerRequest};
use antiphon_tracker::{Admin, LockError, StartError};
use anyhow::Result;

use crate::client::Client;
use crate::world::{PASSWORD, World, connect, node};

#[tokio::test(flavor = "multi_thread")]
async fn accounts_tokens_catalog_and_certificate_survive_a_restart() -> Result<()> {
    let world = World::new()?;
    let (manifest, keys) = world.publish_track(1, "Song")?;
    let tracker = world.start().await?;
    let (client, token, before) = node(&tracker, "Ada").await?;
    let fingerprint = tracker.certificate_fingerprint();
    let device = client.device.to_bytes();
    tracker.shutdown().await;
    std::fs::remove_file(world.release_path(manifest.track))?;

    let tracker = world.start().await?;
    assert_eq!(tracker.certificate_fingerprint(), fingerprint);
    let device = DeviceSecret::from_bytes(&device);
    let client = Client::connect_as(tracker.quic_address(), fingerprint, device).await?;
    let after = client.attach(&token).await?;
    assert_eq!(after.account, before.account);
    assert_eq!(after.tracker_key, before.tracker_key);
    client.login("Ada", PASSWORD).await?;
    let open = TrackerRequest::Open {
        track: manifest.track,
        rung: Rung::Standard,
    };
    let TrackerReply::Opened(opened) = client.ask(&open).await? else {
        anyhow::bail!("not opened");
    };
    let key = ed25519_dalek::VerifyingKey::from_bytes(&after.tracker_key)?;
    assert_eq!(opened.license.open(&key)?.open(&client.device)?, keys);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_account_survives_a_tracker_that_just_ends() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    let token = client.register("Ada", PASSWORD).await?;
    // What is on the disk at this very moment is all that a killed tracker leaves.
    let copy = World::new()?;
    copy_folder(&world.data(), &copy.data())?;
    drop(tracker);

    let tracker = copy.start().await?;
    let device = DeviceSecret::from_bytes(&client.device.to_bytes());
    let fingerprint = tracker.certificate_fingerprint();
    let client = Client::connect_as(tracker.quic_address(), fingerprint, device).await?;
    client.attach(&token).await?;
    client.login("Ada", PASSWORD).await?;
    Ok(())
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_tracker_finishes_what_it_began_and_says_goodbye() -> Result<()> {
    let world = World::new()?;
    let tracker = world.start().await?;
    let client = connect(&tracker).await?;
    let register = client.register_request("Ada", PASSWORD);
    let asking = client.ask(&register);
    let sent = client.quic().stats().frame_tx.stream;
    let stopping = async {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        while client.quic().stats().frame_tx.stream == sent {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "nothing was sent");
            tokio::task::yield_now().await;
        }
        tracker.shutdown().await;
        anyhow::Ok(())
    };
    let (reply, stopped) = tokio::join!(asking, stopping);
    stopped?;
    if let Ok(reply) = reply {
        crate::client::token(reply)?;
        let admin = Admin::open(&world.data()).await?;
        assert_eq!(admin.list_accounts(None, 10).await?.len(), 1);
    }
    let closed = client.quic().closed().await;
    let quinn::ConnectionError::ApplicationClosed(close) = closed else {
        anyhow::bail!("closed otherwise: {closed}");
    };
    assert_eq!(close.error_code, u32::from(ErrorCode::GOING_AWAY.0).into());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_trackers_never_share_a_folder() -> Result<()> {
    let world = World::new()?;
    let _running = world.start().await?;
    let second = antiphon_tracker::Tracker::start(world.config()).await;
    assert!(matches!(
        second,
        Err(StartError::Lock(LockError::InUse { .. }))
    ));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_stops_the_start_and_is_named() -> Result<()> {
    let world = World::new()?;
    let admin = Admin::open(&world.data()).await?;
    admin.add_account("Ada", &Password(PASSWORD.into())).await?;
    // A journal left behind would heal the database.
    admin.close().await;
    for file in ["keys/vault.key", "keys/tracker.key", "tracker.db"] {
        let path = world.data().join(file);
        let good = std::fs::read(&path)?;
        // In place, so that the file's permissions stay.
        std::fs::write(&path, b"not what it was, but long enough to be looked at")?;
        let Err(error) = antiphon_tracker::Tracker::start(world.config()).await else {
            anyhow::bail!("started with a damaged {file}");
        };
        let name = path.file_name().expect("it has one").to_string_lossy();
        assert!(error.to_string().contains(&*name), "{error}");
        std::fs::write(&path, good)?;
    }
    std::fs::remove_file(world.data().join("keys/vault.key"))?;
    let without = antiphon_tracker::Tracker::start(world.config()).await;
    assert!(matches!(without, Err(StartError::Keys(_))));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_catalog_key_stops_the_start() -> Result<()> {
    let world = World::new()?;
    std::fs::write(world.releases().join("catalog.pub"), b"rubbish")?;
    let started = antiphon_tracker::Tracker::start(world.config()).await;
    assert!(matches!(started, Err(StartError::CatalogKey(_))));
    Ok(())
}
