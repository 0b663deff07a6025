//! Licenses in memory: which tracks this device may play now, with their keys.
//!
//! A lease runs on the monotonic clock from receipt, so that a wrong wall clock neither ends nor
//! stretches it. Only across a restart, where no monotonic clock survives, the wall clock decides,
//! together with the highest wall time ever seen. A play in progress is never cut: whoever holds
//! a [`Playable`] keeps its key. Not here: asking for licenses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_protocol::identity::DeviceSecret;
use antiphon_protocol::license::{License, LicenseError};
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::signed::{OpenError, Signed};
use antiphon_protocol::{ContentId, Rendition, TrackId, TrackManifest, UnixSeconds};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};

/// Tracks whose licenses are kept in memory; the one that ends first goes when full. Covers a long
/// listening day; guess.
const LICENSES_MAX: usize = 2_048;

/// A track this device can play: its manifest, and the key of the rendition chosen.
#[derive(Clone, Debug)]
pub struct Playable {
    /// What the track is.
    pub manifest: Arc<TrackManifest>,
    /// The rendition to play.
    pub content: ContentId,
    /// Its key.
    pub key: ContentKey,
}

impl Playable {
    /// The rendition to play, as the manifest describes it.
    #[must_use]
    pub fn rendition(&self) -> &Rendition {
        let found = self
            .manifest
            .renditions
            .iter()
            .find(|r| r.content == self.content);
        found.expect("checked when the license was accepted")
    }
}

/// What a device keeps on disk to play a track after a restart without the tracker. The keys in
/// it are still sealed to the device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptLicense {
    manifest: Signed<TrackManifest>,
    license: Signed<License>,
    content: ContentId,
    received: UnixSeconds,
}

/// The keys that sign what the tracker hands out.
#[derive(Clone, Copy, Debug)]
pub struct TrustedKeys {
    /// Signs licenses and passes.
    pub tracker: VerifyingKey,
    /// Signs manifests.
    pub catalog: VerifyingKey,
}

struct Held {
    playable: Playable,
    version: u32,
    start_until: Instant,
}

/// The licenses of this device.
#[derive(Default)]
pub struct Licenses {
    held: BTreeMap<TrackId, Held>,
}

impl Licenses {
    /// Checks and keeps what the tracker sent for `track`, received at `now`.
    ///
    /// # Errors
    /// If anything in it is forged, altered, another track's or another device's. No key comes
    /// out then.
    pub fn accept(
        &mut self,
        track: TrackId,
        received: (&Signed<TrackManifest>, &Signed<License>, ContentId),
        trusted: &TrustedKeys,
        device: &DeviceSecret,
        now: Instant,
    ) -> Result<(Playable, Duration), AcceptError> {
        let (manifest, license, content) = received;
        let manifest = manifest
            .open(&trusted.catalog)
            .map_err(AcceptError::Manifest)?;
        let license = license
            .open(&trusted.tracker)
            .map_err(AcceptError::License)?;
        if manifest.track != track || license.terms.track != track {
            return Err(AcceptError::OtherTrack);
        }
        if !license.terms.rights.stream {
            return Err(AcceptError::NoRight);
        }
        if self
            .held
            .get(&track)
            .is_some_and(|held| held.version > manifest.version)
        {
            return Err(AcceptError::Rollback);
        }
        if !manifest
            .renditions
            .iter()
            .any(|rendition| rendition.content == content)
        {
            return Err(AcceptError::OtherTrack);
        }
        let keys = license.open(device).map_err(AcceptError::Keys)?;
        let key = keys
            .into_iter()
            .find(|(id, _)| *id == content)
            .ok_or(AcceptError::NoRight)?
            .1;
        let lease = Duration::from_secs(u64::from(license.terms.lease_secs));
        let version = manifest.version;
        let playable = Playable {
            manifest: Arc::new(manifest),
            content,
            key,
        };
        self.keep(
            track,
            Held {
                playable: playable.clone(),
                version,
                start_until: now + lease,
            },
        );
        Ok((playable, lease))
    }

    /// Takes back what an earlier run kept, if its lease still runs by the wall clock.
    ///
    /// # Errors
    /// As [`Licenses::accept`], and if the lease is over.
    pub fn restore(
        &mut self,
        track: TrackId,
        kept: &KeptLicense,
        trusted: &TrustedKeys,
        device: &DeviceSecret,
        (now, wall): (Instant, UnixSeconds),
    ) -> Result<Playable, AcceptError> {
        let terms = kept
            .license
            .open(&trusted.tracker)
            .map_err(AcceptError::License)?
            .terms;
        let age = wall
            .0
            .checked_sub(kept.received.0)
            .ok_or(AcceptError::Expired)?;
        let left = u64::from(terms.lease_secs)
            .checked_sub(age)
            .ok_or(AcceptError::Expired)?;
        let received = (&kept.manifest, &kept.license, kept.content);
        let (playable, _) = self.accept(track, received, trusted, device, now)?;
        if let Some(held) = self.held.get_mut(&track) {
            held.start_until = now + Duration::from_secs(left);
        }
        Ok(playable)
    }

    /// What may be played of `track` now, if its lease runs.
    #[must_use]
    pub fn playable(&self, track: TrackId, now: Instant) -> Option<Playable> {
        let held = self.held.get(&track)?;
        (now < held.start_until).then(|| held.playable.clone())
    }

    /// Forgets everything, as on logout.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    fn keep(&mut self, track: TrackId, held: Held) {
        self.held.insert(track, held);
        if self.held.len() > LICENSES_MAX {
            let first = self.held.iter().min_by_key(|(_, held)| held.start_until);
            if let Some(first) = first.map(|(track, _)| *track) {
                self.held.remove(&first);
            }
        }
    }
}

impl KeptLicense {
    /// What to keep of an accepted license.
    #[must_use]
    pub fn new(
        manifest: Signed<TrackManifest>,
        license: Signed<License>,
        content: ContentId,
        received: UnixSeconds,
    ) -> Self {
        Self {
            manifest,
            license,
            content,
            received,
        }
    }

    /// The music it is for; a claim until the license is restored.
    #[must_use]
    pub const fn content(&self) -> ContentId {
        self.content
    }
}

/// Why a license was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The manifest is not the catalog's.
    #[error("the track's manifest is not genuine: {0}")]
    Manifest(OpenError),
    /// The license is not the tracker's.
    #[error("the license is not genuine: {0}")]
    License(OpenError),
    /// Manifest or license of something else.
    #[error("the license is for another track")]
    OtherTrack,
    /// The license does not allow to play.
    #[error("the license does not allow playing this")]
    NoRight,
    /// An older manifest than one seen before.
    #[error("the track's manifest is older than one seen before")]
    Rollback,
    /// The keys do not open here.
    #[error(transparent)]
    Keys(LicenseError),
    /// The lease is over.
    #[error("the license has expired; connect to the tracker to renew it")]
    Expired,
}
