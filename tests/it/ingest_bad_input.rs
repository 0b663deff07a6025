//! Files that are no music, through the command line: named with a reason, the rest ingested.

use antiphon_tests::music;
use antiphon_tests::program::antiphon;
use antiphon_tests::scratch::{Scratch, text};

#[tokio::test]
async fn bad_files_are_named_with_a_reason_and_the_rest_is_ingested() {
    let folder = Scratch::new("bad-input").unwrap();
    let music = folder.join("music");
    std::fs::create_dir(&music).unwrap();
    music::write_piece(&music.join("good.wav"), 9, 3).unwrap();
    let good = std::fs::read(music.join("good.wav")).unwrap();
    let noise: Vec<u8> = good
        .iter()
        .map(|byte| byte.wrapping_mul(167) ^ 0x5a)
        .collect();
    std::fs::write(music.join("cut.wav"), &good[..good.len() / 2]).unwrap();
    std::fs::write(music.join("garbage.ogg"), &noise[..50_000]).unwrap();
    std::fs::write(music.join("garbage.flac"), &noise[..50_000]).unwrap();
    std::fs::write(music.join("nothing.mp3"), b"").unwrap();
    let words = "This is a shopping list and no music.\n".repeat(500);
    std::fs::write(music.join("list.mp3"), words).unwrap();

    let (music, library) = (text(&music), text(&folder.join("library")));
    let ingest = ["ingest", &music, "--library", &library, "--json"];
    let ended = antiphon(ingest).await.unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("5 files were refused"), "{ended:?}");
    let summary = ended.json().unwrap();
    let accepted = summary["accepted"].as_array().unwrap();
    assert_eq!(accepted.len(), 1, "{summary}");
    assert_eq!(accepted[0]["title"], "good");
    let refused = summary["refused"].as_array().unwrap();
    let mut names = Vec::new();
    for refusal in refused {
        let file = refusal["file"].as_str().unwrap();
        let reason = refusal["reason"].as_str().unwrap();
        assert!(!reason.is_empty(), "{file} is refused without a reason");
        assert!(
            ended.stderr.contains(reason),
            "{reason} is not told to people"
        );
        names.push(file.rsplit('/').next().unwrap());
    }
    names.sort_unstable();
    let expected = [
        "cut.wav",
        "garbage.flac",
        "garbage.ogg",
        "list.mp3",
        "nothing.mp3",
    ];
    assert_eq!(names, expected);

    // Again: the good one is there already, the bad ones are as bad as before.
    let again = antiphon(ingest).await.unwrap();
    assert_eq!(again.code, Some(1));
    let again = again.json().unwrap();
    assert_eq!(again["already_there"], 1, "{again}");
    assert_eq!(again["refused"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let folder = Scratch::new("missing-input").unwrap();
    let (missing, library) = (
        text(&folder.join("missing.flac")),
        text(&folder.join("lib")),
    );
    let ended = antiphon(["ingest", &missing, "--library", &library])
        .await
        .unwrap();
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("missing.flac"), "{ended:?}");
}
