//! Content encryption: AES-128-CTR, one random key for exactly one rendition, counter from zero.
//!
//! Counter mode makes every byte seekable. It gives no integrity: that comes from the BLAKE3 tree
//! over the ciphertext. Nothing else in the project knows the cipher.

use aes::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The key of one rendition. Wiped when dropped; never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ContentKey([u8; 16]);

impl ContentKey {
    /// A key from its bytes, which must be random and used for one rendition only.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for sealing into a license and for the key vault.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// Encrypts or decrypts `bytes` in place, which lie at `offset` of the rendition.
    ///
    /// # Panics
    /// If `offset` is beyond 2^60, which no rendition's limit allows.
    pub fn apply(&self, offset: u64, bytes: &mut [u8]) {
        assert!(offset < 1 << 60, "offset is inside a rendition");
        let mut cipher = ctr::Ctr64BE::<aes::Aes128>::new(&self.0.into(), &[0_u8; 16].into());
        cipher.seek(offset);
        cipher.apply_keystream(bytes);
    }
}

impl core::fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ContentKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_decrypts_alone() {
        let key = ContentKey::new([7; 16]);
        let plain: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let mut sealed = plain.clone();
        key.apply(0, &mut sealed);
        assert_ne!(sealed, plain);
        let mut part = sealed[33_333..44_444].to_vec();
        key.apply(33_333, &mut part);
        assert_eq!(part, plain[33_333..44_444]);
    }

    #[test]
    fn the_keystream_is_plain_aes_128_ctr_from_zero() {
        // AES-128 of the zero block under the zero key, from FIPS 197 implementations at large.
        let mut block = [0_u8; 16];
        ContentKey::new([0; 16]).apply(0, &mut block);
        assert_eq!(block[..4], [0x66, 0xe9, 0x4b, 0xd4]);
    }
}
