//! A document with an Ed25519 signature over its exact bytes.
//!
//! The signature covers a context string per kind of document, so that one kind can never be
//! passed for another. Not here: which key is to be trusted.

use core::marker::PhantomData;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bounded::Bytes;

/// A kind of document that is only believed with a signature.
pub trait Document: Serialize + DeserializeOwned {
    /// Separates this kind from all others under the same key.
    const CONTEXT: &'static [u8];
    /// Longest encoding accepted.
    const BYTES_MAX: usize;

    /// What must hold beyond the shape: limits and consistency. Called after the signature.
    ///
    /// # Errors
    /// A short name of what is wrong.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

/// The encoded document and its signature. Nothing inside is believed before [`Signed::open`].
#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Document")]
pub struct Signed<T> {
    payload: Payload<T>,
    signature: ([u8; 32], [u8; 32]),
}

/// Encoded bytes of a document; never more than its kind may have.
struct Payload<T> {
    bytes: Vec<u8>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Serialize for Payload<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de, T: Document> Deserialize<'de> for Payload<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_bytes(Bytes { max: T::BYTES_MAX })?;
        Ok(Self {
            bytes,
            kind: PhantomData,
        })
    }
}

impl<T: Document> Signed<T> {
    /// Encodes and signs.
    ///
    /// # Panics
    /// If the document is larger than its own limit or fails its own check: whoever made it is
    /// at fault.
    #[must_use]
    pub fn sign(document: &T, key: &SigningKey) -> Self {
        let payload = postcard::to_stdvec(document).expect("documents are plain data");
        assert!(
            payload.len() <= T::BYTES_MAX,
            "a document exceeds its own limit"
        );
        assert!(document.check().is_ok(), "a document fails its own check");
        let signature = key.sign(&message::<T>(&payload)).to_bytes();
        let (r, s) = signature.split_at(32);
        let half = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).expect("a signature is 64 bytes");
        Self {
            payload: Payload {
                bytes: payload,
                kind: PhantomData,
            },
            signature: (half(r), half(s)),
        }
    }

    /// Checks the signature, decodes, and checks the limits.
    ///
    /// # Errors
    /// Which of these three failed.
    pub fn open(&self, key: &VerifyingKey) -> Result<T, OpenError> {
        let payload = self.payload.bytes.as_slice();
        let signature = Signature::from_components(self.signature.0, self.signature.1);
        key.verify_strict(&message::<T>(payload), &signature)
            .map_err(|_| OpenError::Signature)?;
        let (document, rest): (T, _) =
            postcard::take_from_bytes(payload).map_err(|_| OpenError::Malformed)?;
        if !rest.is_empty() {
            return Err(OpenError::Malformed);
        }
        document.check().map_err(OpenError::Refused)?;
        Ok(document)
    }

    /// The whole as bytes, for a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("bytes and a signature are plain data")
    }

    /// Reads what [`Signed::to_bytes`] wrote. Still not believed.
    ///
    /// # Errors
    /// If the bytes have another shape or are too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpenError> {
        let limit = T::BYTES_MAX.saturating_add(SIGNATURE_OVERHEAD);
        if bytes.len() > limit {
            return Err(OpenError::TooLarge {
                bytes: bytes.len(),
                limit,
            });
        }
        let (signed, rest) = postcard::take_from_bytes(bytes).map_err(|_| OpenError::Malformed)?;
        if rest.is_empty() {
            Ok(signed)
        } else {
            Err(OpenError::Malformed)
        }
    }
}

/// Signature and length prefix around a payload.
const SIGNATURE_OVERHEAD: usize = 64 + 10;

fn message<T: Document>(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(T::CONTEXT.len() + 1 + payload.len());
    message.extend_from_slice(T::CONTEXT);
    message.push(0);
    message.extend_from_slice(payload);
    message
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            payload: Payload {
                bytes: self.payload.bytes.clone(),
                kind: PhantomData,
            },
            signature: self.signature,
        }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.payload.bytes == other.payload.bytes && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

impl<T> core::fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Signed<{}>({} bytes)",
            core::any::type_name::<T>(),
            self.payload.bytes.len()
        )
    }
}

/// Why a signed document was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// More bytes than this kind of document may have.
    #[error("document of {bytes} bytes is over its limit of {limit}")]
    TooLarge {
        /// Bytes seen.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Forged, altered, or signed by another key.
    #[error("signature does not match the document and the trusted key")]
    Signature,
    /// Signed, but not of this shape.
    #[error("document is malformed")]
    Malformed,
    /// Signed and well formed, but against the rules.
    #[error("document is refused: {0}")]
    Refused(&'static str),
}
