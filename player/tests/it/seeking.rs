use std::sync::atomic::Ordering;

use antiphon_player::{TrackDecoder, TrackSpec};

use crate::fixtures::{Counted, decoded, ogg, seek_table, whole};

const RATE: u32 = 44_100;
const FRAMES: u64 = 44_100 * 20 + 777;

fn spec(bytes: &[u8], table: bool, frames: bool) -> TrackSpec {
    TrackSpec {
        frames: frames.then_some(FRAMES),
        seek_table: if table {
            seek_table(bytes, RATE, FRAMES)
        } else {
            Vec::new()
        },
        ..TrackSpec::default()
    }
}

fn targets() -> Vec<u64> {
    let mut targets = vec![
        0, 1, 500, 44_099, 44_100, 44_101, 300_000, 88_200, 5, 700_001,
    ];
    targets.extend([FRAMES - 30_000, FRAMES - 1_000, FRAMES - 1, 123_456]);
    targets
}

#[test]
fn a_seek_lands_on_the_very_frame_and_the_rest_is_identical() {
    let bytes = ogg(3, RATE, 2, FRAMES as usize);
    let whole_track = decoded(&bytes).samples;
    for (table, frames) in [(true, true), (false, true), (false, false), (true, false)] {
        let mut decoder = TrackDecoder::open(whole(&bytes), &spec(&bytes, table, frames)).unwrap();
        for target in targets() {
            decoder.seek(target).unwrap();
            let mut samples = Vec::new();
            let first = decoder.next_block(&mut samples).unwrap();
            assert_eq!(first, Some(target), "table {table}, frames {frames}");
            for _ in 0..20 {
                decoder.next_block(&mut samples).unwrap();
            }
            let expected = &whole_track[target as usize * 2..][..samples.len()];
            assert!(
                samples == expected,
                "seek to {target}, table {table}, frames {frames}"
            );
        }
    }
}

#[test]
fn a_seek_behind_the_end_gives_nothing_and_one_back_gives_music_again() {
    let bytes = ogg(3, RATE, 1, 60_000);
    for frames in [Some(60_000), None] {
        let spec = TrackSpec {
            frames,
            ..TrackSpec::default()
        };
        let mut decoder = TrackDecoder::open(whole(&bytes), &spec).unwrap();
        decoder.seek(u64::MAX).unwrap();
        let mut samples = Vec::new();
        assert_eq!(decoder.next_block(&mut samples).unwrap(), None);
        decoder.seek(59_999).unwrap();
        assert_eq!(decoder.next_block(&mut samples).unwrap(), Some(59_999));
        assert_eq!(samples.len(), 1);
    }
}

#[test]
fn a_seek_with_a_table_reads_only_near_its_target() {
    let bytes = ogg(4, RATE, 2, FRAMES as usize);
    for table in [true, false] {
        let (source, log) = Counted::new(&bytes);
        let mut decoder = TrackDecoder::open(source, &spec(&bytes, table, true)).unwrap();
        let before = log.bytes.load(Ordering::Relaxed);
        decoder.seek(RATE as u64 * 15).unwrap();
        let mut samples = Vec::new();
        decoder.next_block(&mut samples).unwrap();
        let read = log.bytes.load(Ordering::Relaxed) - before;
        println!(
            "a seek with table {table} read {read} of {} bytes",
            bytes.len()
        );
        assert!(read < 96 * 1024, "read {read} of {} bytes", bytes.len());
    }
}

#[test]
fn a_seek_table_of_nonsense_costs_time_but_not_accuracy() {
    let bytes = ogg(5, RATE, 2, 200_000);
    let whole_track = decoded(&bytes).samples;
    let tables = [
        vec![7, 99, 1_000, 5_000],
        vec![u64::MAX; 5],
        vec![0; 5],
        vec![bytes.len() as u64 - 1; 5],
        seek_table(&bytes, RATE, 200_000)
            .into_iter()
            .rev()
            .collect(),
    ];
    for table in tables {
        let spec = TrackSpec {
            seek_table: table.clone(),
            ..TrackSpec::default()
        };
        let mut decoder = TrackDecoder::open(whole(&bytes), &spec).unwrap();
        for target in [150_000, 10, 60_000] {
            decoder.seek(target).unwrap();
            let mut samples = Vec::new();
            assert_eq!(
                decoder.next_block(&mut samples).unwrap(),
                Some(target),
                "{table:?}"
            );
            assert!(samples == whole_track[target as usize * 2..][..samples.len()]);
        }
    }
}
