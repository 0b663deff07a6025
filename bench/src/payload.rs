//! Bytes to move: as incompressible as ciphertext, the same in every run.

use bytes::Bytes;

/// `len` bytes of the hash's endless output.
#[must_use]
pub fn random(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_derive_key("antiphon bench payload 1")
        .finalize_xof()
        .fill(&mut bytes);
    bytes.into()
}
