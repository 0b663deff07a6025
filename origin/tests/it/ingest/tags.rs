//! Tags and covers: what is taken over, what is dropped, and that neither refuses a track.

use antiphon_origin::library::art_path;
use antiphon_protocol::limits::TEXT_BYTES_MAX;
use antiphon_protocol::{AlbumId, TrackManifest};

use super::sounds::{noise, tone, vorbis, wav};
use super::{Bench, only};

const RATE: u32 = 44_100;

/// An ID3v2.3 tag in front of the MP3 fixture.
fn tagged_mp3(frames: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (id, content) in frames {
        body.extend_from_slice(*id);
        body.extend_from_slice(&(content.len() as u32).to_be_bytes());
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(content);
    }
    let mut out = b"ID3\x03\0\0".to_vec();
    let size = body.len() as u32;
    out.extend([21, 14, 7, 0].map(|shift| (size >> shift & 0x7f) as u8));
    out.extend_from_slice(&body);
    // The fixture has a tag of its own, which a reader takes for the end of this one.
    let music = super::fixture("tone-plain.mp3");
    let start = music
        .windows(2)
        .position(|two| two[0] == 0xff && two[1] & 0xe0 == 0xe0);
    out.extend_from_slice(&music[start.unwrap()..]);
    out
}

fn picture(image: &[u8]) -> Vec<u8> {
    [b"\0image/png\0\x03\0".as_slice(), image].concat()
}

/// The head of a PNG of this size; nothing looks further before the size is checked.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    out.extend_from_slice(&width.to_be_bytes());
    out.extend_from_slice(&height.to_be_bytes());
    out.extend_from_slice(b"\x08\x02\0\0\0\0\0\0\0");
    out
}

fn accept(bytes: &[u8]) -> (Bench, TrackManifest, Vec<String>) {
    let bench = Bench::new();
    bench.source("file name.mp3", bytes);
    let summary = bench.ingest();
    let accepted = only(&summary).clone();
    let manifest = bench.manifest(accepted.track);
    (bench, manifest, accepted.notes)
}

#[test]
fn comments_become_the_manifest() {
    let comments = [
        ("TITLE", "Über allen"),
        ("ARTIST", "Gipfeln"),
        ("ALBUM", "Ist Ruh"),
        ("TRACKNUMBER", "7"),
    ];
    let bench = Bench::new();
    let manifest = bench.accept("x.ogg", &vorbis(&noise(30_000, 2), 0.2, &comments));
    assert_eq!(manifest.title, "Über allen");
    assert_eq!(manifest.artist, "Gipfeln");
    assert_eq!(manifest.album, "Ist Ruh");
    assert_eq!(manifest.track_number, Some(7));
    assert_ne!(manifest.album_id, None::<AlbumId>);
}

#[test]
fn a_file_without_tags_is_titled_by_its_name() {
    let bench = Bench::new();
    let manifest = bench.accept("Some Song.wav", &wav(&tone(30_000, 1, RATE, 0.5), RATE));
    assert_eq!(
        (manifest.title.as_str(), manifest.album_id),
        ("Some Song", None)
    );
}

#[test]
fn a_cover_is_stored_under_its_hash() {
    let image = png(600, 600);
    let (bench, manifest, notes) = accept(&tagged_mp3(&[(b"APIC", picture(&image))]));
    assert!(notes.is_empty(), "{notes:?}");
    let art = manifest.art.unwrap();
    assert_eq!(art.0, *blake3::hash(&image).as_bytes());
    assert_eq!(bench.object(&art_path(art)), image);
}

#[test]
fn a_cover_of_a_hundred_megapixels_or_of_another_kind_is_dropped() {
    let gif = b"GIF89a\x10\0\x10\0\0\0\0".to_vec();
    for (image, word) in [
        (png(10_000, 10_000), "10000 x 10000 pixels"),
        (png(0, 5), "0 x 5 pixels"),
        (gif, "neither JPEG nor PNG"),
        (b"garbage".to_vec(), "neither JPEG nor PNG"),
    ] {
        let (_, manifest, notes) = accept(&tagged_mp3(&[(b"APIC", picture(&image))]));
        assert_eq!(manifest.art, None);
        assert!(notes.iter().any(|note| note.contains(word)), "{notes:?}");
    }
}

#[test]
fn a_cover_beyond_the_limit_costs_the_cover_but_not_the_title() {
    let mut image = png(600, 600);
    image.resize(17 * 1024 * 1024, 0);
    let title = (b"TIT2", b"\0Kept".to_vec());
    let (_, manifest, notes) = accept(&tagged_mp3(&[title, (b"APIC", picture(&image))]));
    assert_eq!((manifest.art, manifest.title.as_str()), (None, "Kept"));
    assert!(
        notes.iter().any(|note| note.contains("cover dropped")),
        "{notes:?}"
    );
}

#[test]
fn huge_and_invalid_texts_are_cut_and_cleaned() {
    let title = [b"\0".as_slice(), &b"A\x01\x02B\x1b[31m".repeat(50_000)].concat();
    let broken = [b"\x01\xff\xfe".as_slice(), &[0x00, 0xd8].repeat(500)].concat();
    let (_, manifest, _) = accept(&tagged_mp3(&[(b"TIT2", title), (b"TPE1", broken)]));
    assert!(manifest.title.len() <= TEXT_BYTES_MAX && !manifest.title.is_empty());
    assert!(!manifest.title.chars().any(char::is_control));
    assert!(manifest.artist.len() <= TEXT_BYTES_MAX);
}
