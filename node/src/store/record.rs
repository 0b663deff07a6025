//! How one entry of the index is written: what is claimed of one rendition, with a checksum.
//!
//! ```text
//! version u8 | flags u8 | size u64 | last used u64 | bitmap | BLAKE3, first 16 bytes
//! ```
//! Numbers are little-endian; bit `n % 8` of byte `n / 8` of the bitmap is chunk `n`. The checksum
//! covers the rendition's name too, so that an entry cannot pass for another's.

use antiphon_protocol::{ByteCount, ChunkIndex, ChunkSet, ContentId, Geometry, UnixSeconds};
use antiphon_swarm::node::input::Keep;

/// The only layout so far. A new one gets the next number; the old one is then read as well.
const VERSION: u8 = 1;
const FLAG_PINNED: u8 = 1;
const FLAG_PLACED: u8 = 2;
const HEADER_BYTES: usize = 18;
/// Half a BLAKE3 hash: against accidents, not against people, who could write any entry anyway.
const CHECKSUM_BYTES: usize = 16;

/// What the index claims of one rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) geometry: Geometry,
    pub(crate) held: ChunkSet,
    pub(crate) last_used: UnixSeconds,
    pub(crate) keep: Keep,
}

impl Record {
    pub(crate) fn encode(&self, content: ContentId) -> Vec<u8> {
        let bitmap_bytes = self.geometry.chunk_count().div_ceil(8) as usize;
        let mut out = Vec::with_capacity(HEADER_BYTES + bitmap_bytes + CHECKSUM_BYTES);
        out.push(VERSION);
        out.push(match self.keep {
            Keep::Cached => 0,
            Keep::Placed => FLAG_PLACED,
            Keep::Pinned => FLAG_PINNED,
        });
        out.extend_from_slice(&self.geometry.size().0.to_le_bytes());
        out.extend_from_slice(&self.last_used.0.to_le_bytes());
        out.resize(HEADER_BYTES + bitmap_bytes, 0);
        for chunk in self.held.iter() {
            if let Some(byte) = out.get_mut(HEADER_BYTES + chunk.0 as usize / 8) {
                *byte |= 1 << (chunk.0 % 8);
            }
        }
        let checksum = checksum(content, &out);
        out.extend_from_slice(&checksum);
        out
    }

    /// The record in `bytes`, or nothing if they are damaged or of a version unknown here.
    pub(crate) fn decode(content: ContentId, bytes: &[u8]) -> Option<Self> {
        let body_bytes = bytes.len().checked_sub(CHECKSUM_BYTES)?;
        let (body, claimed) = bytes.split_at_checked(body_bytes)?;
        if checksum(content, body) != claimed {
            return None;
        }
        let (&version, body) = body.split_first()?;
        let (&flags, body) = body.split_first()?;
        let (size, body) = body.split_first_chunk::<8>()?;
        let (last_used, bitmap) = body.split_first_chunk::<8>()?;
        let geometry = Geometry::new(ByteCount(u64::from_le_bytes(*size)))?;
        if version != VERSION || bitmap.len() != geometry.chunk_count().div_ceil(8) as usize {
            return None;
        }
        let mut held = ChunkSet::empty(geometry);
        for chunk in (0..geometry.chunk_count()).map(ChunkIndex) {
            let byte = bitmap.get(chunk.0 as usize / 8)?;
            if byte >> (chunk.0 % 8) & 1 == 1 {
                held.insert(chunk);
            }
        }
        Some(Self {
            geometry,
            held,
            last_used: UnixSeconds(u64::from_le_bytes(*last_used)),
            keep: match flags {
                flags if flags & FLAG_PINNED != 0 => Keep::Pinned,
                flags if flags & FLAG_PLACED != 0 => Keep::Placed,
                _ => Keep::Cached,
            },
        })
    }
}

fn checksum(content: ContentId, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::Hasher::new()
        .update(content.as_bytes())
        .update(body)
        .finalize();
    let mut out = [0; CHECKSUM_BYTES];
    out.copy_from_slice(&hash.as_bytes()[..CHECKSUM_BYTES]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(size: u64, chunks: &[u32], keep: Keep) -> Record {
        let geometry = Geometry::new(ByteCount(size)).expect("a legal size");
        let mut held = ChunkSet::empty(geometry);
        for chunk in chunks {
            held.insert(ChunkIndex(*chunk));
        }
        Record {
            geometry,
            held,
            last_used: UnixSeconds(1_790_000_000),
            keep,
        }
    }

    proptest! {
        #[test]
        fn records_come_back_as_written(
            size in 1_u64..5_000_000,
            chunks in proptest::collection::vec(0_u32..400, 0..50),
            keep in proptest::sample::select(vec![Keep::Cached, Keep::Placed, Keep::Pinned]),
        ) {
            let record = record(size, &chunks, keep);
            let content = ContentId([3; 32]);
            prop_assert_eq!(Record::decode(content, &record.encode(content)), Some(record));
        }

        #[test]
        fn any_flipped_bit_or_other_name_is_noticed(at in 0_usize..70, bit in 0_u8..8) {
            let content = ContentId([3; 32]);
            let mut bytes = record(4_000_000, &[0, 5, 200], Keep::Pinned).encode(content);
            prop_assert_eq!(Record::decode(ContentId([4; 32]), &bytes), None);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(Record::decode(content, &bytes), None);
        }

        #[test]
        fn decoding_anything_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Record::decode(ContentId([3; 32]), &bytes), None);
        }
    }
}
