//! A release: what ingest hands to the tracker for one track. A private file, never served.
//!
//! A *library* folder holds `objects/` (what the origin serves) and `releases/` (what only the
//! tracker reads): `releases/<track id>.release`, `releases/catalog.key` (the secret that signs
//! manifests) and `releases/catalog.pub`.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::id::ContentId;
use crate::license::TrackKeys;
use crate::limits::RENDITIONS_MAX;
use crate::manifest::TrackManifest;
use crate::seal::ContentKey;
use crate::signed::{Document, Signed};

/// First bytes of the file: kind and version.
const MAGIC: &[u8; 8] = b"antrel\x00\x01";
/// Largest release file: a manifest at its limit, keys and checksum.
const BYTES_MAX: usize = TrackManifest::BYTES_MAX + 1024;

/// A signed manifest and the keys of its renditions.
#[derive(Clone, Debug)]
pub struct Release {
    /// What the track is.
    pub manifest: Signed<TrackManifest>,
    /// The secret of each of its renditions.
    pub keys: TrackKeys,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    manifest: Signed<TrackManifest>,
    #[serde(deserialize_with = "crate::bounded::list::<_, _, RENDITIONS_MAX>")]
    keys: Vec<(ContentId, Zeroizing<[u8; 16]>)>,
}

impl Release {
    /// The file's bytes: magic, checksum, content. Secret.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let keys = self
            .keys
            .iter()
            .map(|(id, key)| (*id, Zeroizing::new(*key.expose())));
        let stored = Stored {
            manifest: self.manifest.clone(),
            keys: keys.collect(),
        };
        let body = Zeroizing::new(postcard::to_stdvec(&stored).expect("a release is plain data"));
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAGIC.len() + 32 + body.len()));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(blake3::hash(&body).as_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads a file's bytes. The manifest inside is still to be opened with the catalog's key.
    ///
    /// # Errors
    /// If the bytes are no whole release.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReleaseError> {
        if bytes.len() > BYTES_MAX {
            return Err(ReleaseError);
        }
        let rest = bytes.strip_prefix(MAGIC).ok_or(ReleaseError)?;
        let (checksum, body) = rest.split_at_checked(32).ok_or(ReleaseError)?;
        if blake3::hash(body).as_bytes() != checksum {
            return Err(ReleaseError);
        }
        let (stored, rest): (Stored, _) =
            postcard::take_from_bytes(body).map_err(|_| ReleaseError)?;
        if !rest.is_empty() {
            return Err(ReleaseError);
        }
        let keys = stored
            .keys
            .into_iter()
            .map(|(id, key)| (id, ContentKey::new(*key)))
            .collect();
        Ok(Self {
            manifest: stored.manifest,
            keys,
        })
    }
}

/// A file that is no whole release: cut short, damaged, or of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a whole release file; ingest the track again")]
pub struct ReleaseError;
