use antiphon_protocol::chunk::{CHUNK_BYTES, ChunkIndex, Geometry, Span};
use antiphon_protocol::limits::{RENDITION_BYTES_MAX, SPAN_CHUNKS_MAX};
use antiphon_protocol::verified::{
    ENCODED_SPAN_BYTES_MAX, Item, PART_BYTES_MAX, SpanVerifier, VerifyError, chunk_is_genuine,
    encode_span, encoded_bytes, hash_content, items, outboard_bytes,
};
use antiphon_protocol::{ByteCount, ContentId};
use bao_tree::io::outboard::{EmptyOutboard, PreOrderMemOutboard};
use bao_tree::io::sync::{decode_ranges, encode_ranges_validated};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use proptest::prelude::*;

use crate::content::Content;

/// Sizes where something begins or ends: bytes, BLAKE3 chunks, chunks, powers of two of chunks.
fn boundary_sizes() -> Vec<u64> {
    let mut sizes = vec![
        1, 2, 63, 64, 1_023, 1_024, 1_025, 2_048, 5_000, 16_383, 16_384, 16_385,
    ];
    for chunks in [2_u64, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65] {
        let bytes = chunks * CHUNK_BYTES;
        sizes.extend([
            bytes - 1,
            bytes,
            bytes + 1,
            bytes - 15 * 1_024,
            bytes + 7_000,
        ]);
    }
    sizes
}

/// Feeds `encoded` item by item: the bytes believed and the error that stopped it, if any.
fn receive(
    content: ContentId,
    geometry: Geometry,
    span: Span,
    encoded: &[u8],
) -> (Vec<u8>, usize, Option<VerifyError>) {
    let mut verifier = SpanVerifier::new(content, geometry, span);
    let (mut believed, mut read) = (Vec::new(), 0);
    while let Some(item) = verifier.wanted() {
        let Some(bytes) = encoded.get(read..read + item.bytes()) else {
            break;
        };
        if let Err(error) = verifier.accept(bytes) {
            return (believed, read, Some(error));
        }
        read += bytes.len();
        if matches!(item, Item::Chunk { .. }) {
            believed.extend_from_slice(bytes);
        }
    }
    (believed, read, None)
}

/// What `bao-tree` itself sends for the span.
fn encoded_by_bao_tree(content: &Content, span: Span) -> (Vec<u8>, ChunkRanges) {
    let tree = BaoTree::new(content.data.len() as u64, BlockSize::from_chunk_log(4));
    let outboard = PreOrderMemOutboard {
        root: blake3::Hash::from(content.id.0),
        tree,
        data: content.outboard.clone(),
    };
    let blake3_chunks = (content.data.len() as u64).div_ceil(1_024);
    let end = u64::from(span.end().0) * 16;
    let start = ChunkNum(u64::from(span.first().0) * 16);
    // An open end where the span reaches the end: that is how bao-tree writes "to the end".
    let ranges = if end >= blake3_chunks {
        ChunkRanges::from(start..)
    } else {
        ChunkRanges::from(start..ChunkNum(end))
    };
    let mut encoded = Vec::new();
    encode_ranges_validated(content.data.as_slice(), outboard, &ranges, &mut encoded)
        .expect("genuine data");
    (encoded, ranges)
}

fn spans(chunks: u32) -> Vec<(u32, u32)> {
    let count = chunks.min(SPAN_CHUNKS_MAX);
    let mut spans = vec![(0, count), (0, 1), (chunks - 1, 1), (chunks - count, count)];
    if chunks > 2 {
        spans.extend([(1, (chunks - 2).min(SPAN_CHUNKS_MAX)), (chunks / 2, 1)]);
    }
    spans
}

#[test]
fn the_name_is_the_plain_blake3_hash_of_the_bytes() {
    for size in boundary_sizes() {
        let content = Content::of_size(size);
        assert_eq!(
            content.id.0,
            *blake3::hash(&content.data).as_bytes(),
            "{size}"
        );
        assert_eq!(
            content.outboard.len() as u64,
            outboard_bytes(content.geometry)
        );
    }
}

#[test]
fn encodings_equal_those_of_bao_tree_and_its_decoder_reads_them() {
    for size in boundary_sizes() {
        let content = Content::of_size(size);
        for (first, count) in spans(content.geometry.chunk_count()) {
            let span = content.span(first, count);
            let (expected, ranges) = encoded_by_bao_tree(&content, span);
            let encoded = content.encoded(span);
            assert_eq!(encoded, expected, "{size} {span:?}");
            let tree = BaoTree::new(size, BlockSize::from_chunk_log(4));
            let root = blake3::Hash::from(content.id.0);
            let mut target = vec![0; size as usize];
            let outboard = EmptyOutboard { tree, root };
            decode_ranges(encoded.as_slice(), &ranges, &mut target, outboard)
                .expect("bao-tree reads what we write");
            let range = content.geometry.byte_range(span);
            let range = range.start as usize..range.end as usize;
            assert_eq!(target[range.clone()], content.data[range]);
        }
    }
}

#[test]
fn spans_of_boundary_sizes_arrive_whole() {
    for size in boundary_sizes() {
        let content = Content::of_size(size);
        for (first, count) in spans(content.geometry.chunk_count()) {
            let span = content.span(first, count);
            let encoded = content.encoded(span);
            assert_eq!(
                encoded.len() as u64,
                encoded_bytes(content.geometry, span).0
            );
            let (believed, read, error) = receive(content.id, content.geometry, span, &encoded);
            let range = content.geometry.byte_range(span);
            assert_eq!(error, None);
            assert_eq!(read, encoded.len());
            assert_eq!(
                believed,
                content.data[range.start as usize..range.end as usize]
            );
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed_in_the_item_it_lies_in() {
    for size in [1, 1_025, 16_385, 3 * CHUNK_BYTES + 100] {
        let content = Content::of_size(size);
        let span = content.span(0, content.geometry.chunk_count());
        let encoded = content.encoded(span);
        let items: Vec<Item> = items(content.geometry, span).collect();
        let mut start = 0;
        for item in items {
            let verifier = {
                let mut verifier = SpanVerifier::new(content.id, content.geometry, span);
                let mut read = 0;
                while read < start {
                    let bytes = verifier.wanted().expect("more to come").bytes();
                    verifier
                        .accept(&encoded[read..read + bytes])
                        .expect("genuine");
                    read += bytes;
                }
                verifier
            };
            let genuine = &encoded[start..start + item.bytes()];
            // Every byte of a node; of a chunk every 61st, and the last.
            let step = if item.bytes() == 64 { 1 } else { 61 };
            for at in (0..item.bytes()).step_by(step).chain([item.bytes() - 1]) {
                let mut altered = genuine.to_vec();
                altered[at] ^= 1 << (at % 8);
                let mut verifier = verifier.clone();
                assert_eq!(verifier.accept(&altered), Err(VerifyError::Corrupt(item)));
                assert_eq!(verifier.wanted(), Some(item), "it stays where it was");
            }
            start += item.bytes();
        }
    }
}

#[test]
fn parts_are_one_chunk_each_with_the_nodes_before_it() {
    let content = Content::of_size(37 * CHUNK_BYTES + 9);
    let span = content.span(3, 35);
    let encoded = content.encoded(span);
    let mut verifier = SpanVerifier::new(content.id, content.geometry, span);
    let mut read = 0;
    for chunk in span.chunks() {
        let bytes = verifier.wanted_part().expect("a part for each chunk");
        assert!(bytes <= PART_BYTES_MAX);
        let part = &encoded[read..read + bytes];
        let mut short = verifier.clone();
        assert!(matches!(
            short.accept_part(&part[1..]),
            Err(VerifyError::Length { .. })
        ));
        let mut altered = part.to_vec();
        altered[bytes / 2] ^= 1;
        assert!(matches!(
            verifier.clone().accept_part(&altered),
            Err(VerifyError::Corrupt(_))
        ));
        let verified = verifier.accept_part(part).expect("genuine");
        assert_eq!(verified.chunk, chunk);
        let start = chunk.byte_offset() as usize;
        assert_eq!(
            verified.bytes,
            &content.data[start..start + verified.bytes.len()]
        );
        read += bytes;
    }
    assert_eq!(read, encoded.len());
    assert_eq!(verifier.wanted_part(), None);
    assert_eq!(verifier.accept_part(&[]), Err(VerifyError::Complete));
    assert_eq!(verifier.accept(&[]), Err(VerifyError::Complete));
}

#[test]
fn another_contents_span_is_refused_at_the_first_item() {
    let content = Content::of_size(5 * CHUNK_BYTES);
    let span = content.span(1, 3);
    let other = ContentId([0; 32]);
    let (believed, read, error) = receive(other, content.geometry, span, &content.encoded(span));
    assert!(believed.is_empty() && read == 0);
    assert!(matches!(error, Some(VerifyError::Corrupt(_))));
}

#[test]
fn a_chunk_in_another_chunks_place_is_refused() {
    let content = Content::of_size(4 * CHUNK_BYTES);
    let first = content.encoded(content.span(0, 1));
    let (believed, _, error) = receive(content.id, content.geometry, content.span(1, 1), &first);
    assert!(believed.is_empty() && matches!(error, Some(VerifyError::Corrupt(_))));
}

#[test]
fn a_span_outside_wants_and_encodes_nothing() {
    let content = Content::of_size(4 * CHUNK_BYTES);
    let outside = Span::new(ChunkIndex(3), 2).expect("legal in itself");
    assert_eq!(items(content.geometry, outside).count(), 0);
    assert_eq!(
        SpanVerifier::new(content.id, content.geometry, outside).wanted(),
        None
    );
    let mut out = Vec::new();
    let data = &content.data[3 * CHUNK_BYTES as usize..];
    assert!(encode_span(content.geometry, outside, &content.outboard, data, &mut out).is_err());
}

#[test]
fn encoding_refuses_bytes_that_are_not_the_spans() {
    let content = Content::of_size(4 * CHUNK_BYTES);
    let span = content.span(0, 2);
    let mut out = Vec::new();
    let data = &content.data[..2 * CHUNK_BYTES as usize];
    let mut refuse = |outboard: &[u8], data: &[u8]| {
        encode_span(content.geometry, span, outboard, data, &mut out).is_err()
    };
    assert!(refuse(&content.outboard[1..], data));
    assert!(refuse(&content.outboard, &data[1..]));
    assert!(refuse(&content.outboard, &content.data));
}

#[test]
fn hashing_stops_when_the_bytes_end_early() {
    let geometry = Geometry::new(ByteCount(20_000)).expect("legal");
    assert!(hash_content(geometry, [0_u8; 19_999].as_slice()).is_err());
}

#[test]
fn a_chunk_read_from_disk_is_genuine_or_not() {
    let content = Content::of_size(9 * CHUNK_BYTES + 5);
    for chunk in (0..content.geometry.chunk_count()).map(ChunkIndex) {
        let start = chunk.byte_offset() as usize;
        let end = start + content.geometry.chunk_bytes(chunk);
        let genuine = |outboard: &[u8], data: &[u8]| {
            chunk_is_genuine(content.id, content.geometry, outboard, chunk, data)
        };
        let data = &content.data[start..end];
        assert!(genuine(&content.outboard, data));
        assert!(!genuine(&content.outboard, &data[1..]));
        assert!(!genuine(&content.outboard[..32], data));
        let mut rotten = data.to_vec();
        rotten[data.len() / 2] ^= 4;
        assert!(!genuine(&content.outboard, &rotten));
        let mut outboard = content.outboard.clone();
        outboard[0] ^= 1;
        assert!(!genuine(&outboard, data));
    }
    let beyond = ChunkIndex(content.geometry.chunk_count());
    assert!(!chunk_is_genuine(
        content.id,
        content.geometry,
        &content.outboard,
        beyond,
        &[]
    ));
}

#[test]
fn the_largest_spans_and_parts_stay_under_their_limits() {
    for bytes in [
        RENDITION_BYTES_MAX.0,
        RENDITION_BYTES_MAX.0 - CHUNK_BYTES * 4_095,
    ] {
        let geometry = Geometry::new(ByteCount(bytes)).expect("legal");
        let last = geometry.chunk_count() - SPAN_CHUNKS_MAX;
        for first in (0..last)
            .step_by(97)
            .chain([last, (1 << 15) - 32, (1 << 14) - 1])
        {
            let span = Span::new(ChunkIndex(first.min(last)), SPAN_CHUNKS_MAX).expect("legal");
            assert!(encoded_bytes(geometry, span).0 <= ENCODED_SPAN_BYTES_MAX);
            let verifier = SpanVerifier::new(ContentId([0; 32]), geometry, span);
            assert!(
                verifier
                    .wanted_part()
                    .is_some_and(|part| part <= PART_BYTES_MAX)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_span_arrives_whole_and_equals_bao_trees(
        size in 1_u64..80 * CHUNK_BYTES, first in any::<u32>(), count in any::<u32>(),
    ) {
        let content = Content::of_size(size);
        let chunks = content.geometry.chunk_count();
        let first = first % chunks;
        let span = content.span(first, 1 + count % (chunks - first).min(SPAN_CHUNKS_MAX));
        let encoded = content.encoded(span);
        prop_assert_eq!(&encoded, &encoded_by_bao_tree(&content, span).0);
        let (believed, _, error) = receive(content.id, content.geometry, span, &encoded);
        let range = content.geometry.byte_range(span);
        prop_assert_eq!(error, None);
        prop_assert_eq!(&believed[..], &content.data[range.start as usize..range.end as usize]);
    }

    #[test]
    fn no_altered_byte_is_ever_believed(
        size in 1_u64..20 * CHUNK_BYTES, at in any::<usize>(), bit in 0_u8..8,
    ) {
        let content = Content::of_size(size);
        let span = content.span(0, content.geometry.chunk_count());
        let mut encoded = content.encoded(span);
        let at = at % encoded.len();
        encoded[at] ^= 1 << bit;
        let (believed, read, error) = receive(content.id, content.geometry, span, &encoded);
        prop_assert!(matches!(error, Some(VerifyError::Corrupt(_))));
        prop_assert!(read <= at, "stopped at or before the item that lies");
        prop_assert_eq!(&believed[..], &content.data[..believed.len()]);
    }
}
