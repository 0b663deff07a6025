use std::fs;
use std::path::{Path, PathBuf};

use antiphon_protocol::codec;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::samples;

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

/// Mutations of each corpus file. The long runs are libFuzzer's; this one keeps the targets alive
/// and catches what is near the surface.
const MUTATIONS_PER_INPUT: u32 = 400;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target)
}

/// The corpus of a target, in the order of the file names.
fn inputs(target: &str) -> Vec<Vec<u8>> {
    let folder = corpus(target);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; every target has a corpus", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect()
}

fn below(rng: &mut ChaCha8Rng, limit: usize) -> usize {
    rng.next_u64() as usize % limit.max(1)
}

/// One to four small changes, as fuzzers make them.
fn mutate(rng: &mut ChaCha8Rng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut data = input.to_vec();
    for _ in 0..=below(rng, 4) {
        let at = below(rng, data.len());
        match below(rng, 7) {
            0 => data.truncate(at),
            1 => data.extend((0..=below(rng, 40)).map(|_| 0xff)),
            2 => data.insert(at, rng.next_u64() as u8),
            3 => data.extend_from_slice(&other[below(rng, other.len())..]),
            4 if !data.is_empty() => drop(data.remove(at)),
            5 if !data.is_empty() => data[at] ^= 1 << below(rng, 8),
            _ if !data.is_empty() => data[at] = [0, 1, 0x7f, 0x80, 0xff][below(rng, 5)],
            _ => {}
        }
    }
    data
}

fn verifier(size: u32, first: u32, count: u8, encoded: &[u8]) -> Vec<u8> {
    let (size, first) = (size.to_le_bytes(), first.to_le_bytes());
    [&size[..], &first, &[count], encoded].concat()
}

/// Fills missing corpora from the samples, as for the golden bytes.
fn bless() {
    let mut seeds: Vec<(&str, &str, Vec<u8>)> = Vec::new();
    let mut add = |target, name, bytes| seeds.push((target, name, bytes));
    for (name, message) in samples::peer_messages() {
        add("peer_frame", name, codec::encode(&message));
    }
    for (name, message) in samples::data_requests() {
        add("data_request", name, codec::encode(&message));
    }
    for (name, message) in samples::data_replies() {
        add("data_reply", name, codec::encode(&message));
    }
    for (name, message) in samples::origin_requests() {
        add("origin_request", name, codec::encode(&message));
    }
    for (name, message) in samples::origin_replies() {
        add("origin_reply", name, codec::encode(&message));
    }
    for (name, message) in samples::tracker_requests() {
        add("tracker_request", name, codec::encode(&message));
    }
    for (name, message) in samples::tracker_replies() {
        add("tracker_reply", name, codec::encode(&message));
    }
    for (name, message) in samples::tracker_notices() {
        add("tracker_notice", name, codec::encode(&message));
    }
    add(
        "signed_manifest",
        "manifest",
        samples::signed_manifest().to_bytes(),
    );
    add("signed_license", "license", samples::license().to_bytes());
    add("signed_ticket", "ticket", samples::ticket().to_bytes());
    add(
        "signed_capability",
        "capability",
        samples::capability().to_bytes(),
    );
    add("release", "release", samples::release().to_bytes().to_vec());
    add("span_verifier", "one-chunk", verifier(100, 0, 1, &[7; 100]));
    add(
        "span_verifier",
        "two-chunks",
        verifier(16_400, 0, 2, &[7; 80]),
    );
    add(
        "span_verifier",
        "largest",
        verifier(603_979_776, 36_800, 64, &[0; 70]),
    );
    add(
        "id_text",
        "short",
        b"00112233445566778899aabbccddeeff".to_vec(),
    );
    add(
        "id_text",
        "long",
        b"00112233445566778899AABBCCDDEEFF".repeat(2),
    );
    for (target, name, bytes) in seeds {
        let path = corpus(target).join(name);
        if !path.exists() {
            fs::create_dir_all(corpus(target)).expect("the corpus is writable");
            fs::write(path, bytes).expect("the corpus is writable");
        }
    }
}

#[test]
fn every_target_survives_its_corpus_and_its_mutations() {
    if std::env::var_os("ANTIPHON_BLESS").is_some() {
        bless();
    }
    for (name, target) in targets::ALL {
        let mut rng = ChaCha8Rng::seed_from_u64(name.len() as u64);
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        target(&[]);
        for input in &inputs {
            target(input);
            for _ in 0..MUTATIONS_PER_INPUT {
                let other = &inputs[below(&mut rng, inputs.len())];
                target(&mutate(&mut rng, input, other));
            }
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_and_every_fuzzer_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut files: Vec<String> = fs::read_dir(folder)
        .expect("the fuzzers' folder")
        .map(|entry| entry.expect("readable").path())
        .filter_map(|path| {
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        })
        .collect();
    files.sort();
    let mut names: Vec<String> = targets::ALL
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    names.sort();
    assert_eq!(files, names);
}
