//! Files that are broken, hostile, or no music: each is named with a reason and leaves nothing.

use antiphon_origin::ingest::{IngestSummary, Place};

use super::sounds::{noise, tone, vorbis, wav};
use super::{Bench, fixture};

const RATE: u32 = 44_100;

fn reason_of(summary: &IngestSummary, name: &str) -> String {
    let found = summary
        .refused
        .iter()
        .find(|(path, _)| path.ends_with(name));
    let (_, refusal) = found.unwrap_or_else(|| panic!("{name} was not refused"));
    refusal.to_string()
}

fn tone_mp3_music() -> usize {
    let bytes = fixture("tone.mp3");
    bytes.windows(3).rposition(|three| three == b"TAG").unwrap()
}

#[test]
fn every_kind_of_file_cut_short_is_refused_and_leaves_nothing() {
    let ogg = vorbis(&noise(3 * RATE as usize, 2), 0.3, &[]);
    let wav = wav(&tone(60_000, 2, RATE, 0.5), RATE);
    let sources = [
        ("a.ogg", ogg),
        ("b.wav", wav),
        ("c.flac", fixture("tone.flac")),
        // Without the tag at its end, of which a byte is no loss.
        ("d.mp3", fixture("tone.mp3")[..tone_mp3_music()].to_vec()),
        ("e.m4a", fixture("tone.m4a")),
    ];
    let bench = Bench::new();
    let mut cuts = 0;
    for (name, bytes) in &sources {
        for percent in [1, 10, 50, 90, 99] {
            bench.source(
                &format!("{percent}-{name}"),
                &bytes[..bytes.len() * percent / 100],
            );
            cuts += 1;
        }
        bench.source(&format!("last-{name}"), &bytes[..bytes.len() - 1]);
        cuts += 1;
    }
    let summary = bench.ingest();
    let accepted: Vec<_> = summary.accepted.iter().map(|(path, _)| path).collect();
    assert!(accepted.is_empty(), "{accepted:?}");
    assert_eq!(summary.refused.len(), cuts);
    assert!(bench.objects().is_empty());
    assert_eq!(bench.library.tracks().unwrap(), []);
    assert_eq!(bench.private_files().len(), 3, "key, public key, lock");
}

#[test]
fn a_refusal_says_where_it_broke() {
    let bench = Bench::new();
    let mut ogg = vorbis(&noise(3 * RATE as usize, 2), 0.3, &[]);
    let at = ogg.len() / 2;
    ogg[at] ^= 0x55;
    bench.source("flipped.ogg", &ogg);
    let wav = wav(&tone(60_000, 2, RATE, 0.5), RATE);
    bench.source("half.wav", &wav[..wav.len() / 2]);
    let summary = bench.ingest();
    let reason = reason_of(&summary, "flipped.ogg");
    assert!(reason.contains("damaged (checksum) at byte "), "{reason}");
    let reason = reason_of(&summary, "half.wav");
    assert!(
        reason.starts_with("cut off") && reason.ends_with(" at 0.68 s"),
        "{reason}"
    );
    let places: Vec<_> = summary
        .refused
        .iter()
        .map(|(_, refusal)| refusal.place)
        .collect();
    assert!(matches!(places[..], [Place::Byte(_), Place::Time(_)]));
}

#[test]
fn what_is_no_audio_is_refused_only_if_it_claims_to_be() {
    let bench = Bench::new();
    bench.source("notes.txt", b"buy milk");
    bench.source("cover.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF");
    bench.source("album.cue", b"FILE \"a.wav\" WAVE");
    bench.source("empty.log", b"");
    bench.source(
        "text.mp3",
        b"I am a text, whatever my name says. "
            .repeat(100)
            .as_slice(),
    );
    bench.source("empty.flac", b"");
    bench.source("zeros.ogg", &[0; 100_000]);
    bench.source("header-only.ogg", b"OggS");
    bench.source("ff.mp3", &[0xff; 50_000]);
    bench.source(
        "good-without-extension",
        &wav(&tone(30_000, 1, RATE, 0.5), RATE),
    );
    let summary = bench.ingest();
    assert_eq!((summary.accepted.len(), summary.ignored), (1, 4));
    assert_eq!(summary.refused.len(), 5);
    assert!(reason_of(&summary, "text.mp3").contains("named like audio"));
    assert_eq!(reason_of(&summary, "empty.flac"), "is empty");
    assert!(reason_of(&summary, "header-only.ogg").contains("cut off"));
}

#[test]
fn unsupported_music_is_refused_with_its_reason() {
    let bench = Bench::new();
    let ogg = vorbis(&noise(RATE as usize, 2), 0.3, &[]);
    let other = vorbis(&noise(RATE as usize + 1, 2), 0.3, &[]);
    bench.source("chained.ogg", &[ogg.as_slice(), &other].concat());
    bench.source("slow.wav", &wav(&tone(8_000, 1, 4_000, 0.5), 4_000));
    bench.source("wide.wav", &wav(&tone(8_000, 9, RATE, 0.05), RATE));
    let mut floats = wav(&tone(8_000, 1, RATE, 0.5), RATE);
    floats[20] = 3; // IEEE float
    floats[34] = 32;
    floats[32] = 4;
    let at = floats.len() - 400;
    floats[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    bench.source("nan.wav", &floats);
    let summary = bench.ingest();
    // The first of two chained streams is complete; what is behind its last page is not music.
    assert_eq!(summary.accepted.len(), 1);
    assert!(reason_of(&summary, "slow.wav").contains("4000 samples a second"));
    assert_eq!(summary.refused.len(), 3, "{:?}", summary.refused);
    assert!(reason_of(&summary, "nan.wav").contains("not a number"));
}

#[test]
fn a_loop_of_links_is_walked_once() {
    let bench = Bench::new();
    let file = bench.source("deep/er/a.wav", &wav(&tone(30_000, 1, RATE, 0.5), RATE));
    let folder = file.parent().unwrap();
    std::os::unix::fs::symlink(folder.parent().unwrap(), folder.join("loop")).unwrap();
    std::os::unix::fs::symlink(&file, folder.join("link.wav")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("dangling.wav")).unwrap();
    let summary = bench.ingest();
    assert_eq!((summary.accepted.len(), summary.skipped.len()), (1, 0));
    assert!(reason_of(&summary, "dangling.wav").contains("could not be read"));
}

#[test]
fn no_damage_escapes_as_a_panic_or_as_half_a_track() {
    let mut sources = vec![vorbis(&noise(20_000, 1), 0.1, &[("ARTIST", "x")])];
    sources.push(wav(&tone(5_000, 1, RATE, 0.5), RATE));
    sources.extend(["tone.flac", "tone.mp3", "tone.m4a", "tone.aac"].map(fixture));
    let bench = Bench::new();
    let mut state = 0x9e37_79b9_u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let mut made = 0;
    for (index, source) in sources.iter().enumerate() {
        for round in 0..24 {
            let mut bytes = source.clone();
            // Half of the damage goes where the structure is.
            let reach = if round % 2 == 0 {
                bytes.len()
            } else {
                bytes.len().min(200)
            };
            for _ in 0..=round / 4 {
                let at = next(reach);
                bytes[at] = next(256) as u8;
            }
            bench.source(&format!("{index}-{round}.mp3"), &bytes);
            made += 1;
        }
    }
    let summary = bench.ingest();
    let (accepted, skipped) = (summary.accepted.len(), summary.skipped.len());
    assert_eq!(accepted + skipped + summary.refused.len(), made);
    assert_eq!(bench.library.tracks().unwrap().len(), accepted);
    for (_, accepted) in &summary.accepted {
        let manifest = bench.manifest(accepted.track);
        for rendition in &manifest.renditions {
            assert!(!bench.decrypted(accepted.track, rendition).is_empty());
        }
    }
    assert!(
        !bench
            .private_files()
            .iter()
            .any(|name| name.contains("pending"))
    );
}
