//! A tracker in a folder of its own, with releases made on the spot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon_protocol::license::TrackKeys;
use antiphon_protocol::manifest::{Rendition, Rung, TrackManifest};
use antiphon_protocol::release::Release;
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::tracker::{AccessToken, Attached};
use antiphon_protocol::{ByteCount, ContentId, Gain, TrackId};
use antiphon_tracker::{LimitsConfig, RunningTracker, Tracker, TrackerConfig};
use anyhow::Result;
use ed25519_dalek::SigningKey;

use crate::client::Client;

pub const PASSWORD: &str = "correct horse";

/// A tracker's folder. The tracker may be started and stopped in it.
pub struct World {
    folder: tempfile::TempDir,
    pub catalog_key: SigningKey,
    pub limits: LimitsConfig,
}

impl World {
    /// With an empty catalog.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let world = Self {
            folder,
            catalog_key: SigningKey::from_bytes(&rand::random()),
            // Tests share one address and check many passwords.
            limits: LimitsConfig {
                address_logins_per_minute: 10_000,
                account_logins_per_minute: 10_000,
                ..LimitsConfig::default()
            },
        };
        std::fs::create_dir(world.releases())?;
        let public = world.catalog_key.verifying_key().to_bytes();
        std::fs::write(world.releases().join("catalog.pub"), public)?;
        Ok(world)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn releases(&self) -> PathBuf {
        self.folder.path().join("releases")
    }

    pub fn config(&self) -> TrackerConfig {
        TrackerConfig {
            data: self.data(),
            releases: self.releases(),
            quic_listen: "127.0.0.1:0".parse().expect("an address"),
            http_listen: "127.0.0.1:0".parse().expect("an address"),
            open_registration: true,
            rescan_millis: 100,
            limits: self.limits.clone(),
            ..TrackerConfig::default()
        }
    }

    pub async fn start(&self) -> Result<RunningTracker> {
        Ok(Tracker::start(self.config()).await?)
    }

    pub fn release_path(&self, track: TrackId) -> PathBuf {
        self.releases().join(format!("{track}.release"))
    }

    /// Writes a release as ingest does: aside first, then in place.
    pub fn publish(&self, release: &Release, track: TrackId) -> Result<()> {
        write_whole(&self.release_path(track), &release.to_bytes())
    }

    /// Publishes a track with three rungs and returns what it is.
    pub fn publish_track(&self, number: u8, title: &str) -> Result<(TrackManifest, TrackKeys)> {
        let manifest = manifest(number, 1, title);
        let keys = keys(&manifest);
        let release = Release {
            manifest: Signed::sign(&manifest, &self.catalog_key),
            keys: keys.clone(),
        };
        self.publish(&release, manifest.track)?;
        Ok((manifest, keys))
    }
}

/// A registered and attached node.
pub async fn node(tracker: &RunningTracker, name: &str) -> Result<(Client, AccessToken, Attached)> {
    let client = connect(tracker).await?;
    let token = client.register(name, PASSWORD).await?;
    let attached = client.attach(&token).await?;
    Ok((client, token, attached))
}

pub async fn connect(tracker: &RunningTracker) -> Result<Client> {
    Client::connect(tracker.quic_address(), tracker.certificate_fingerprint()).await
}

/// Connected over TCP.
pub async fn connect_tcp(tracker: &RunningTracker) -> Result<Client> {
    Client::connect_tcp(tracker.quic_address(), tracker.certificate_fingerprint()).await
}

pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, bytes)?;
    Ok(std::fs::rename(aside, path)?)
}

pub fn manifest(number: u8, version: u32, title: &str) -> TrackManifest {
    let rendition = |rung: Rung, mark: u8| {
        let mut content = [number; 32];
        content[31] = mark;
        Rendition {
            rung,
            content: ContentId(content),
            size: ByteCount(4_000_000),
            bit_rate: rung.nominal(),
            sample_rate: 44_100,
            channels: 2,
            frames: 44_100 * 200,
            setup_bytes: 4_000,
            seek_table: (0..200).map(|second| second * 20_000).collect(),
        }
    };
    TrackManifest {
        track: TrackId([number; 16]),
        version,
        title: title.to_owned(),
        artist: "Artist".to_owned(),
        album: "Album".to_owned(),
        album_id: None,
        track_number: Some(u16::from(number)),
        art: None,
        track_gain: Gain(0),
        album_gain: Gain(0),
        true_peak: Gain(-100),
        renditions: vec![
            rendition(Rung::Low, 1),
            rendition(Rung::Standard, 2),
            rendition(Rung::High, 3),
        ],
    }
}

pub fn keys(manifest: &TrackManifest) -> TrackKeys {
    let renditions = manifest.renditions.iter();
    renditions
        .map(|rendition| (rendition.content, ContentKey::new(rand::random())))
        .collect()
}

/// Asks again and again until something is so, slower than any rate limit.
pub async fn eventually<F: AsyncFnMut() -> Result<bool>>(mut so: F) -> Result<()> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    let mut turns = tokio::time::interval(Duration::from_millis(25));
    while !so().await? {
        anyhow::ensure!(tokio::time::Instant::now() < deadline, "it never was so");
        turns.tick().await;
    }
    Ok(())
}
