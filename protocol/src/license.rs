//! Licenses: the rendition keys of one track, sealed to one device, signed by the tracker.
//!
//! HPKE base mode (RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305) carries the keys; everything
//! else in the license is its associated data, so nothing can be swapped around the keys. A lease
//! runs on the monotonic clock of the receiver from receipt; times of the wall are for people
//! and for the tracker.

use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::id::{ContentId, DeviceId, LicenseId, TrackId};
use crate::identity::{DevicePublic, DeviceSecret};
use crate::limits::RENDITIONS_MAX;
use crate::seal::ContentKey;
use crate::signed::Document;
use crate::units::UnixSeconds;

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;

const HPKE_INFO: &[u8] = b"antiphon license v1";

/// What a license lets its device do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// Play while the lease runs.
    pub stream: bool,
    /// Keep playing without the tracker up to the lease's end.
    pub offline: bool,
}

/// Everything in a license but the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// This license.
    pub id: LicenseId,
    /// The only device that can open it.
    pub device: DeviceId,
    /// The track whose renditions it unlocks.
    pub track: TrackId,
    /// What it allows.
    pub rights: Rights,
    /// When the tracker wrote it.
    pub issued: UnixSeconds,
    /// How long a play may start, from receipt.
    pub lease_secs: u32,
    /// How long beyond the lease a renewal may still be under way.
    pub grace_secs: u32,
}

/// A license as it travels: `Signed<License>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct License {
    /// The terms in the clear, authenticated with the keys.
    pub terms: Terms,
    encapsulated: [u8; 32],
    #[serde(deserialize_with = "crate::bounded::list::<_, _, SEALED_BYTES_MAX>")]
    sealed: Vec<u8>,
}

/// The keys of a track, by rendition. Wiped when dropped.
pub type TrackKeys = Vec<(ContentId, ContentKey)>;

/// Bytes of one key and its rendition inside the sealed part.
const ENTRY_BYTES: usize = 32 + 16;
/// Bytes of the Poly1305 tag.
const TAG_BYTES: usize = 16;
/// Bytes of the sealed part at most.
const SEALED_BYTES_MAX: usize = RENDITIONS_MAX * ENTRY_BYTES + TAG_BYTES;

impl License {
    /// Seals `keys` to `device` under `terms`.
    ///
    /// # Errors
    /// If the device's public key is none, or does not belong to the device in the terms.
    pub fn seal(
        terms: Terms,
        device: &DevicePublic,
        keys: &[(ContentId, ContentKey)],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, LicenseError> {
        assert!(keys.len() <= RENDITIONS_MAX, "a track has few renditions");
        if device.id() != terms.device {
            return Err(LicenseError::OtherDevice);
        }
        let public = <Kem as hpke::Kem>::PublicKey::from_bytes(&device.sealing)
            .map_err(|_| LicenseError::DeviceKey)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(keys.len() * ENTRY_BYTES));
        for (content, key) in keys {
            plain.extend_from_slice(content.as_bytes());
            plain.extend_from_slice(key.expose());
        }
        let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
            &OpModeS::Base,
            &public,
            HPKE_INFO,
            &plain,
            &associated_data(&terms),
            rng,
        )
        .map_err(|_| LicenseError::DeviceKey)?;
        let encapsulated = <[u8; 32]>::try_from(encapsulated.to_bytes().as_slice())
            .expect("an encapsulated X25519 key has 32 bytes");
        Ok(Self {
            terms,
            encapsulated,
            sealed,
        })
    }

    /// Opens the keys with the device's secret.
    ///
    /// # Errors
    /// If the license is another device's, or was altered.
    pub fn open(&self, device: &DeviceSecret) -> Result<TrackKeys, LicenseError> {
        if device.public().id() != self.terms.device {
            return Err(LicenseError::OtherDevice);
        }
        let secret = <Kem as hpke::Kem>::PrivateKey::from_bytes(device.sealing())
            .map_err(|_| LicenseError::DeviceKey)?;
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(&self.encapsulated)
            .map_err(|_| LicenseError::Altered)?;
        let plain = hpke::single_shot_open::<Aead, Kdf, Kem>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            HPKE_INFO,
            &self.sealed,
            &associated_data(&self.terms),
        )
        .map_err(|_| LicenseError::Altered)?;
        let plain = Zeroizing::new(plain);
        let mut keys = Vec::with_capacity(RENDITIONS_MAX);
        for entry in plain.chunks(ENTRY_BYTES) {
            let (content, key) = entry.split_at_checked(32).ok_or(LicenseError::Altered)?;
            let content = content.try_into().map_err(|_| LicenseError::Altered)?;
            let key = key.try_into().map_err(|_| LicenseError::Altered)?;
            keys.push((ContentId(content), ContentKey::new(key)));
        }
        Ok(keys)
    }
}

impl Document for License {
    const CONTEXT: &'static [u8] = b"antiphon license v1";
    const BYTES_MAX: usize = 1024;

    fn check(&self) -> Result<(), &'static str> {
        if self.sealed.len() > SEALED_BYTES_MAX {
            return Err("sealed keys");
        }
        Ok(())
    }
}

fn associated_data(terms: &Terms) -> Vec<u8> {
    postcard::to_stdvec(terms).expect("terms are plain data")
}

/// Why a license could not be made or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LicenseError {
    /// The license names another device.
    #[error("the license is for another device")]
    OtherDevice,
    /// The device's key is no X25519 key.
    #[error("the device key is not usable")]
    DeviceKey,
    /// The license was altered, or sealed to another key.
    #[error("the license was altered or is for another key")]
    Altered,
}
