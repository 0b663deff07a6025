//! How much of a rendition a node says it can serve, in few bytes.
//!
//! A claim about other people's disks: it says whom to ask, and proves nothing.

use serde::{Deserialize, Serialize};

use crate::chunk::{ChunkIndex, Geometry, Span};
use crate::chunk_set::ChunkSet;

/// Chunks that one bit of [`Extent::Partial`] stands for: 16, which are 256 KiB.
pub const EXTENT_UNIT_CHUNKS: u32 = 16;

/// Bytes of an extent bitmap at most: 512 units of 256 KiB (`docs/protocol.md`, "Limits"). What
/// lies behind the first 128 MiB of a rendition can only be told as [`Extent::Full`].
pub const EXTENT_BYTES_MAX: usize = 64;

/// How much of a rendition a node can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// All of it.
    Full,
    /// The units of [`EXTENT_UNIT_CHUNKS`] chunks whose bit is set, least significant bit of
    /// the first byte first. A unit counts only when every chunk in it is there.
    Partial(#[serde(deserialize_with = "crate::bounded::list::<_, _, EXTENT_BYTES_MAX>")] Vec<u8>),
    /// Nothing any more.
    Gone,
}

impl Extent {
    /// What to tell of a node that has the chunks of `set`: whole units only, so a set without
    /// one is [`Extent::Gone`].
    #[must_use]
    pub fn of(set: &ChunkSet) -> Self {
        if set.is_full() {
            return Self::Full;
        }
        let mut bits = Vec::new();
        for (unit, first) in (0..set.chunk_count())
            .step_by(EXTENT_UNIT_CHUNKS as usize)
            .take(EXTENT_BYTES_MAX * 8)
            .enumerate()
        {
            let chunks = EXTENT_UNIT_CHUNKS.min(set.chunk_count() - first);
            let whole =
                Span::new(ChunkIndex(first), chunks).is_some_and(|span| set.contains_span(span));
            if whole {
                bits.resize(unit / 8 + 1, 0);
                if let Some(byte) = bits.last_mut() {
                    *byte |= 1 << (unit % 8);
                }
            }
        }
        if bits.is_empty() {
            Self::Gone
        } else {
            Self::Partial(bits)
        }
    }

    /// Whether the extent claims `chunk` of a rendition of this geometry.
    #[must_use]
    pub fn covers(&self, chunk: ChunkIndex, geometry: Geometry) -> bool {
        if chunk.0 >= geometry.chunk_count() {
            return false;
        }
        match self {
            Self::Full => true,
            Self::Partial(bits) => {
                let unit = chunk.0 / EXTENT_UNIT_CHUNKS;
                bits.get((unit / 8) as usize)
                    .is_some_and(|byte| byte >> (unit % 8) & 1 == 1)
            }
            Self::Gone => false,
        }
    }

    /// Whether the extent claims every chunk of `span`.
    #[must_use]
    pub fn covers_span(&self, span: Span, geometry: Geometry) -> bool {
        geometry.contains(span) && span.chunks().all(|chunk| self.covers(chunk, geometry))
    }

    /// The chunks claimed. Bits beyond the rendition's end are ignored.
    #[must_use]
    pub fn to_set(&self, geometry: Geometry) -> ChunkSet {
        match self {
            Self::Full => ChunkSet::full(geometry),
            Self::Gone => ChunkSet::empty(geometry),
            Self::Partial(_) => {
                let mut set = ChunkSet::empty(geometry);
                for first in (0..geometry.chunk_count()).step_by(EXTENT_UNIT_CHUNKS as usize) {
                    if self.covers(ChunkIndex(first), geometry)
                        && let Some(unit) = Span::new(ChunkIndex(first), EXTENT_UNIT_CHUNKS)
                    {
                        set.insert_span(unit);
                    }
                }
                set
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::CHUNK_BYTES;
    use crate::units::ByteCount;

    fn geometry(chunks: u32) -> Geometry {
        Geometry::new(ByteCount(u64::from(chunks) * CHUNK_BYTES)).expect("a legal size")
    }

    fn set_of(geometry: Geometry, chunks: impl IntoIterator<Item = u32>) -> ChunkSet {
        let mut set = ChunkSet::empty(geometry);
        for chunk in chunks {
            set.insert(ChunkIndex(chunk));
        }
        set
    }

    #[test]
    fn only_whole_units_are_told() {
        let geometry = geometry(40);
        assert_eq!(Extent::of(&set_of(geometry, 0..15)), Extent::Gone);
        assert_eq!(
            Extent::of(&set_of(geometry, 0..17)),
            Extent::Partial(vec![0b001])
        );
        assert_eq!(
            Extent::of(&set_of(geometry, 16..40)),
            Extent::Partial(vec![0b110])
        );
        assert_eq!(Extent::of(&set_of(geometry, 0..40)), Extent::Full);
    }

    #[test]
    fn a_short_last_unit_counts_when_all_that_exists_is_there() {
        let geometry = geometry(17);
        let extent = Extent::of(&set_of(geometry, [16]));
        assert_eq!(extent, Extent::Partial(vec![0b10]));
        assert_eq!(extent.to_set(geometry), set_of(geometry, [16]));
    }

    #[test]
    fn the_largest_rendition_still_fits_the_bitmap() {
        let geometry = Geometry::new(crate::limits::RENDITION_BYTES_MAX).expect("legal");
        let mut set = ChunkSet::full(geometry);
        set.remove(ChunkIndex(geometry.chunk_count() - 1));
        assert_eq!(
            Extent::of(&set),
            Extent::Partial(vec![0xff; EXTENT_BYTES_MAX])
        );
    }

    proptest! {
        #[test]
        fn an_extent_claims_nothing_that_is_not_there(
            chunks in 1_u32..400,
            holes in prop::collection::vec(0_u32..400, 0..6),
        ) {
            let geometry = geometry(chunks);
            let mut set = ChunkSet::full(geometry);
            for hole in holes {
                set.remove(ChunkIndex(hole));
            }
            let extent = Extent::of(&set);
            let told = extent.to_set(geometry);
            prop_assert!(told.iter().all(|chunk| set.contains(chunk)));
            for chunk in (0..chunks + 20).map(ChunkIndex) {
                prop_assert_eq!(extent.covers(chunk, geometry), told.contains(chunk));
            }
            prop_assert_eq!(Extent::of(&told), extent);
        }

        #[test]
        fn any_bitmap_is_harmless(
            chunks in 1_u32..400,
            bits in prop::collection::vec(any::<u8>(), 0..=EXTENT_BYTES_MAX),
            first in 0_u32..400,
            count in 1_u32..=64,
        ) {
            let geometry = geometry(chunks);
            let extent = Extent::Partial(bits);
            let set = extent.to_set(geometry);
            let span = Span::new(ChunkIndex(first), count).expect("legal");
            prop_assert_eq!(extent.covers_span(span, geometry), set.contains_span(span));
        }
    }
}
