use antiphon_protocol::chunk::{ChunkIndex, Geometry, Span};
use antiphon_protocol::verified::{encode_span, hash_content};
use antiphon_protocol::{ByteCount, ContentId};

/// A content of a given size, hashed.
pub struct Content {
    pub id: ContentId,
    pub geometry: Geometry,
    pub outboard: Vec<u8>,
    pub data: Vec<u8>,
}

impl Content {
    /// Bytes that differ from chunk to chunk, so that swapped chunks are noticed.
    pub fn of_size(size: u64) -> Self {
        let geometry = Geometry::new(ByteCount(size)).expect("a legal size");
        let data: Vec<u8> = (0..size)
            .map(|i| (i.wrapping_mul(31) ^ (i >> 14).wrapping_mul(97) ^ (i >> 8)) as u8)
            .collect();
        let (id, outboard) = hash_content(geometry, data.as_slice()).expect("memory reads");
        Self {
            id,
            geometry,
            outboard,
            data,
        }
    }

    pub fn span(&self, first: u32, count: u32) -> Span {
        let span = Span::new(ChunkIndex(first), count).expect("legal");
        assert!(self.geometry.contains(span));
        span
    }

    pub fn encoded(&self, span: Span) -> Vec<u8> {
        let range = self.geometry.byte_range(span);
        let mut out = Vec::new();
        encode_span(
            self.geometry,
            span,
            &self.outboard,
            &self.data[range.start as usize..range.end as usize],
            &mut out,
        )
        .expect("its own bytes");
        out
    }
}
