//! Rendition keys at rest: wrapped under the vault key, which is not in the database.
//!
//! Deterministic authenticated wrapping in the manner of SIV (RFC 5297) with keyed BLAKE3 as the
//! pseudorandom function: the tag is a hash of rendition and key, and the pad a hash of the tag.
//! Keys are random, so that equal wrappings tell nothing.

use antiphon_protocol::ContentId;
use antiphon_protocol::seal::ContentKey;
use zeroize::Zeroizing;

const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 16;

/// Wraps and unwraps rendition keys.
pub(crate) struct Vault {
    tag_key: Zeroizing<[u8; 32]>,
    pad_key: Zeroizing<[u8; 32]>,
}

impl Vault {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, key));
        Self {
            tag_key: derive("antiphon tracker vault v1 tag"),
            pad_key: derive("antiphon tracker vault v1 pad"),
        }
    }

    /// The key's form for the database, bound to its rendition.
    pub(crate) fn wrap(&self, content: ContentId, key: &ContentKey) -> Vec<u8> {
        let tag = self.tag(content, key);
        let mut wrapped = tag.to_vec();
        wrapped.extend(self.pad(&tag).iter().zip(key.expose()).map(|(a, b)| a ^ b));
        wrapped
    }

    /// The key again, or nothing if the bytes were not wrapped here for this rendition.
    pub(crate) fn unwrap(&self, content: ContentId, wrapped: &[u8]) -> Option<ContentKey> {
        let (tag, sealed) = wrapped.split_at_checked(TAG_BYTES)?;
        let tag: [u8; TAG_BYTES] = tag.try_into().ok()?;
        let mut key: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(sealed.try_into().ok()?);
        for (byte, pad) in key.iter_mut().zip(self.pad(&tag).iter()) {
            *byte ^= pad;
        }
        let key = ContentKey::new(*key);
        let same = subtle::ConstantTimeEq::ct_eq(&self.tag(content, &key)[..], &tag[..]);
        bool::from(same).then_some(key)
    }

    fn tag(&self, content: ContentId, key: &ContentKey) -> [u8; TAG_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.tag_key);
        hasher.update(content.as_bytes());
        hasher.update(key.expose());
        let mut tag = [0; TAG_BYTES];
        hasher.finalize_xof().fill(&mut tag);
        tag
    }

    fn pad(&self, tag: &[u8; TAG_BYTES]) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut hasher = blake3::Hasher::new_keyed(&self.pad_key);
        hasher.update(tag);
        let mut pad = Zeroizing::new([0; KEY_BYTES]);
        hasher.finalize_xof().fill(pad.as_mut_slice());
        pad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_only_here_and_for_its_rendition() {
        let vault = Vault::new(&[1; 32]);
        let (content, key) = (ContentId([2; 32]), ContentKey::new([3; 16]));
        let wrapped = vault.wrap(content, &key);
        assert_eq!(vault.unwrap(content, &wrapped), Some(key));
        assert_eq!(vault.unwrap(ContentId([9; 32]), &wrapped), None);
        assert_eq!(Vault::new(&[4; 32]).unwrap(content, &wrapped), None);
        for index in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[index] ^= 1;
            assert_eq!(vault.unwrap(content, &altered), None);
        }
        assert_eq!(vault.unwrap(content, &wrapped[..31]), None);
    }
}
