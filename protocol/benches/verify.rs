//! Verification and decryption against the bare primitives they are made of.
//!
//! `verify` against `blake3`, and `decrypt` against `aes-ctr`, show what the walk, the nodes and
//! the calls per chunk cost. Throughput counts the rendition's bytes.

use std::hint::black_box;

use aes::cipher::{KeyIvInit, StreamCipher};
use antiphon_protocol::chunk::{CHUNK_BYTES, ChunkIndex, Geometry, Span};
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::verified::{SpanVerifier, encode_span, encoded_bytes, hash_content};
use antiphon_protocol::{ByteCount, ContentId};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Four minutes at 160 kbit/s.
const RENDITION_BYTES: u64 = 4_800_000;

struct Sample {
    content: ContentId,
    geometry: Geometry,
    span: Span,
    data: Vec<u8>,
    encoded: Vec<u8>,
}

fn sample() -> Sample {
    let geometry = Geometry::new(ByteCount(RENDITION_BYTES)).expect("a legal size");
    let all: Vec<u8> = (0..RENDITION_BYTES)
        .map(|i| ((i * 31) >> 3) as u8)
        .collect();
    let (content, outboard) = hash_content(geometry, all.as_slice()).expect("memory reads");
    let span = Span::new(ChunkIndex(64), 64).expect("a legal span");
    let range = geometry.byte_range(span);
    let data = all[range.start as usize..range.end as usize].to_vec();
    let mut encoded = Vec::new();
    encode_span(geometry, span, &outboard, &data, &mut encoded).expect("its own bytes");
    Sample {
        content,
        geometry,
        span,
        data,
        encoded,
    }
}

fn verify(sample: &Sample) {
    let mut verifier = SpanVerifier::new(sample.content, sample.geometry, sample.span);
    let mut rest = sample.encoded.as_slice();
    while let Some(item) = verifier.wanted() {
        let (bytes, after) = rest.split_at(item.bytes());
        verifier.accept(bytes).expect("genuine");
        rest = after;
    }
}

fn spans(criterion: &mut Criterion) {
    let sample = sample();
    let mut group = criterion.benchmark_group("span of 64 chunks");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(sample.data.len() as u64));
    group.bench_function("blake3", |bencher| {
        bencher.iter(|| blake3::hash(black_box(&sample.data)));
    });
    group.bench_function("blake3, chunk by chunk", |bencher| {
        bencher.iter(|| {
            for chunk in black_box(&sample.data).chunks(CHUNK_BYTES as usize) {
                black_box(blake3::hash(chunk));
            }
        });
    });
    group.bench_function("verify", |bencher| {
        bencher.iter(|| verify(black_box(&sample)));
    });
    group.bench_function("encoded_bytes", |bencher| {
        bencher.iter(|| encoded_bytes(black_box(sample.geometry), black_box(sample.span)));
    });
    let mut buffer = sample.data.clone();
    group.bench_function("aes-ctr", |bencher| {
        bencher.iter(|| {
            let (key, nonce) = ([7_u8; 16].into(), [0_u8; 16].into());
            ctr::Ctr64BE::<aes::Aes128>::new(&key, &nonce).apply_keystream(black_box(&mut buffer));
        });
    });
    let key = ContentKey::new([7; 16]);
    group.bench_function("decrypt, chunk by chunk", |bencher| {
        bencher.iter(|| {
            for (chunk, bytes) in sample
                .span
                .chunks()
                .zip(buffer.chunks_mut(CHUNK_BYTES as usize))
            {
                key.apply(chunk.byte_offset(), black_box(bytes));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, spans);
criterion_main!(benches);
