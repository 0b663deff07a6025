//! Names of things. Each is its own type, so that one cannot be passed for another.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not the hexadecimal form of the id asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} wants {digits} hexadecimal digits, got {got:?}")]
pub struct ParseIdError {
    kind: &'static str,
    digits: usize,
    got: String,
}

fn parse_hex<const N: usize>(kind: &'static str, text: &str) -> Result<[u8; N], ParseIdError> {
    let refuse = || ParseIdError {
        kind,
        digits: 2 * N,
        got: text.chars().take(80).collect(),
    };
    // The alphabet is checked first because the number parser below also takes a plus sign.
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refuse());
    }
    let mut out = [0_u8; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let pair = core::str::from_utf8(pair).map_err(|_| refuse())?;
        *byte = u8::from_str_radix(pair, 16).map_err(|_| refuse())?;
    }
    Ok(out)
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "("))?;
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, ")")
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(stringify!($name), text).map(Self)
            }
        }
    };
}

byte_id!(
    /// One piece of music, whatever its renditions: the truncated BLAKE3 of the source file's
    /// bytes, so that ingesting a file twice gives the same track.
    TrackId,
    16
);
byte_id!(
    /// One encoded, encrypted file: the BLAKE3 root of its ciphertext.
    ContentId,
    32
);
byte_id!(
    /// What peers call a rendition's swarm today: a keyed hash of the [`ContentId`] under the
    /// tracker's epoch key, so that peers see no titles and names do not outlive the day.
    SwarmId,
    16
);
byte_id!(
    /// A node's transport identity: its Ed25519 public key. The libp2p peer id is made from it.
    NodeId,
    32
);
byte_id!(
    /// An installed device: the truncated BLAKE3 of its public keys.
    DeviceId,
    16
);
byte_id!(
    /// One issued license.
    LicenseId,
    16
);
byte_id!(
    /// A cover picture: the BLAKE3 of its bytes.
    ArtId,
    32
);
byte_id!(
    /// An album: the truncated BLAKE3 of album artist and title.
    AlbumId,
    16
);

/// A person's account. Given by the tracker, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub u64);

/// One overlay search, so that answers find their question and repeats are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_form() {
        let id = TrackId([0xab; 16]);
        assert_eq!(id.to_string().parse::<TrackId>(), Ok(id));
    }

    #[test]
    fn text_of_the_wrong_length_or_alphabet_is_refused() {
        assert!("ab".parse::<TrackId>().is_err());
        assert!("zz".repeat(16).parse::<TrackId>().is_err());
        assert!("é".repeat(16).parse::<TrackId>().is_err());
        assert!("+a".repeat(16).parse::<TrackId>().is_err());
    }
}
