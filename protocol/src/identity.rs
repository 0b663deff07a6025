//! The keys a device is known by, one to sign with and one to seal to, and the one that a node is
//! known by among peers; and how both prove to the tracker that they opened a connection.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::{DeviceId, NodeId};

/// The public keys of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicePublic {
    /// Ed25519 key that proves possession of an access token's device.
    pub signing: [u8; 32],
    /// X25519 key that licenses are sealed to.
    pub sealing: [u8; 32],
}

impl DevicePublic {
    /// The name that follows from the keys.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        let mut hasher = blake3::Hasher::new_derive_key("antiphon device id v1");
        hasher.update(&self.signing);
        hasher.update(&self.sealing);
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        DeviceId(id)
    }

    /// Whether `proof` is this device's signature that it opened the connection whose TLS
    /// exporter gave `channel`.
    #[must_use]
    pub fn proves(&self, channel: &[u8; 32], proof: &([u8; 32], [u8; 32])) -> bool {
        verifies(&self.signing, DEVICE_CONTEXT, channel, proof)
    }
}

impl NodeId {
    /// Whether `proof` is a signature with this transport key, that whoever has it opened the
    /// connection whose TLS exporter gave `channel`.
    #[must_use]
    pub fn proves(&self, channel: &[u8; 32], proof: &([u8; 32], [u8; 32])) -> bool {
        verifies(&self.0, NODE_CONTEXT, channel, proof)
    }
}

/// The secret keys of a device. Wiped when dropped; never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DeviceSecret {
    signing: [u8; 32],
    sealing: [u8; 32],
}

impl DeviceSecret {
    /// New keys.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let (mut signing, mut sealing) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut signing);
        rng.fill_bytes(&mut sealing);
        Self { signing, sealing }
    }

    /// Keys from the bytes that [`DeviceSecret::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (mut signing, mut sealing) = ([0; 32], [0; 32]);
        let (first, second) = bytes.split_at(32);
        signing.copy_from_slice(first);
        sealing.copy_from_slice(second);
        Self { signing, sealing }
    }

    /// The bytes to keep in a file only the owner can read.
    #[must_use]
    pub fn to_bytes(&self) -> zeroize::Zeroizing<[u8; 64]> {
        let mut bytes = zeroize::Zeroizing::new([0; 64]);
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(&self.signing);
        second.copy_from_slice(&self.sealing);
        bytes
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> DevicePublic {
        let sealing = x25519_dalek::StaticSecret::from(self.sealing);
        DevicePublic {
            signing: SigningKey::from_bytes(&self.signing)
                .verifying_key()
                .to_bytes(),
            sealing: x25519_dalek::PublicKey::from(&sealing).to_bytes(),
        }
    }

    /// Proves possession on the connection whose TLS exporter gave `channel`.
    #[must_use]
    pub fn prove(&self, channel: &[u8; 32]) -> ([u8; 32], [u8; 32]) {
        sign(&self.signing, DEVICE_CONTEXT, channel)
    }

    /// The X25519 secret, for opening licenses.
    pub(crate) const fn sealing(&self) -> &[u8; 32] {
        &self.sealing
    }
}

/// The secret transport key of a node. Wiped when dropped; never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct NodeSecret([u8; 32]);

impl NodeSecret {
    /// A new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        Self(secret)
    }

    /// The key with these bytes, which libp2p takes too.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId(SigningKey::from_bytes(&self.0).verifying_key().to_bytes())
    }

    /// Proves possession on the connection whose TLS exporter gave `channel`.
    #[must_use]
    pub fn prove(&self, channel: &[u8; 32]) -> ([u8; 32], [u8; 32]) {
        sign(&self.0, NODE_CONTEXT, channel)
    }
}

/// Label of the TLS exporter whose 32 bytes bind an access token to one connection.
pub const CHANNEL_LABEL: &[u8] = b"antiphon token binding v1";

/// Each key has its own, so that one's proof never passes for the other's, even if they are the
/// same key. What libp2p has the transport key sign begins with other words.
const DEVICE_CONTEXT: &[u8] = b"antiphon attach v1\0";
const NODE_CONTEXT: &[u8] = b"antiphon attach node v1\0";

fn sign(secret: &[u8; 32], context: &[u8], channel: &[u8; 32]) -> ([u8; 32], [u8; 32]) {
    let signature = SigningKey::from_bytes(secret).sign(&[context, channel].concat());
    (*signature.r_bytes(), *signature.s_bytes())
}

fn verifies(
    public: &[u8; 32],
    context: &[u8],
    channel: &[u8; 32],
    proof: &([u8; 32], [u8; 32]),
) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(public) else {
        return false;
    };
    let signature = Signature::from_components(proof.0, proof.1);
    key.verify_strict(&[context, channel].concat(), &signature)
        .is_ok()
}
