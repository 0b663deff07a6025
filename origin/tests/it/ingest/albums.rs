//! Album gain: the same for all tracks of an album, kept up over several runs.

use antiphon_protocol::TrackManifest;

use super::Bench;
use super::sounds::{tone, vorbis};

fn song(amplitude: f32, frames: usize, artist: &str) -> Vec<u8> {
    let comments = [
        ("ALBUM", "One"),
        ("ARTIST", artist),
        ("ALBUMARTIST", "Both"),
    ];
    vorbis(&tone(frames, 2, 44_100, amplitude), 0.2, &comments)
}

fn manifests(bench: &Bench) -> Vec<TrackManifest> {
    let tracks = bench.library.tracks().unwrap();
    tracks
        .into_iter()
        .map(|track| bench.manifest(track))
        .collect()
}

#[test]
fn tracks_of_an_album_share_its_gain_and_only_a_change_makes_a_version() {
    let bench = Bench::new();
    bench.source("1.ogg", &song(0.5, 90_000, "She"));
    bench.source("2.ogg", &song(0.25, 90_000, "He"));
    bench.ingest();
    let two = manifests(&bench);
    assert_eq!(two[0].album_id, two[1].album_id);
    assert_eq!(two[0].album_gain, two[1].album_gain);
    assert_ne!(two[0].track_gain, two[1].track_gain);
    // Half the blocks at full and half at a quarter of the power: 10 lg (1.25 / 2) below the loud.
    let loud = two.iter().map(|it| it.track_gain.0).min().unwrap();
    assert!((two[0].album_gain.0 - loud - 204).abs() < 15, "{two:?}");

    let before = bench.objects();
    let again = bench.ingest();
    assert_eq!((again.regained.len(), bench.objects()), (0, before));

    bench.source("3.ogg", &song(0.05, 200_000, "It"));
    let third = bench.ingest();
    let three = manifests(&bench);
    let gain = three[0].album_gain;
    assert!(three.iter().all(|it| it.album_gain == gain));
    assert_eq!((third.accepted.len(), third.skipped.len()), (1, 2));
    for before in &two {
        let after = bench.manifest(before.track);
        assert_eq!(after.renditions, before.renditions);
        let changed = before.album_gain != gain;
        assert_eq!(after.version, before.version + u32::from(changed));
        assert_eq!(third.regained.contains(&before.track), changed);
    }
}
