//! A disk that takes nothing more: the music goes on from memory, and people are told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use antiphon_tests::listener::ListenerOptions;
use antiphon_tests::network::Network;
use antiphon_tests::wav_file::Wav;

/// A file system of its own in memory, of a size of one's choice.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Only root may mount one; nothing otherwise.
    fn mount(at: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let size = format!("size={mib}m");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &size, "antiphon-test"])
            .arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have files open.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

#[tokio::test]
async fn music_goes_on_from_memory_while_the_disk_is_full_and_people_are_told() {
    let network = Network::start("full-disk").await.unwrap();
    let piece = network.library().piece("dune").unwrap();
    let at = network.folder().join("small");
    // Less than the store keeps back for its own state, so it is full from the start.
    let Some(disk) = SmallDisk::mount(&at, 2) else {
        eprintln!("a small disk cannot be mounted here (needs root); trying an unwritable one");
        return unwritable_from_the_start(&network).await;
    };
    let wav = network.folder().join("heard.wav");
    let options = ListenerOptions {
        cache: Some(at.join("cache")),
        ..ListenerOptions::exact(&wav)
    };
    let mut listener = network.listener_with("listener", options).await.unwrap();
    listener.play(&piece).await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert_eq!((play.stalls, play.failure.as_str()), (0, ""));
    let told = |status: &antiphon_node::status::Status| {
        let mut notices = status.notices.iter();
        notices.any(|notice| notice.contains("disk is full"))
    };
    let status = listener.status_when("the notice", told).await.unwrap();
    assert_eq!(status.corrupt_played, 0);
    // The next play works as well.
    let another = network.library().piece("aurora").unwrap();
    listener.play(&another).await.unwrap();
    let play = listener.has_played().await.unwrap();
    assert_eq!(play.failure, "");
    listener.end().await.unwrap();
    let heard = Wav::read(&wav).unwrap();
    let expected = [piece.samples().unwrap(), another.samples().unwrap()].concat();
    assert_eq!(heard.first_difference(&expected), None);
    drop(disk);
}

#[tokio::test]
async fn a_disk_that_fills_up_mid_play_does_not_stop_it_and_is_used_again_when_it_has_room() {
    let network = Network::start("filling-disk").await.unwrap();
    let piece = network.library().piece("estuary").unwrap();
    let at = network.folder().join("small");
    let Some(disk) = SmallDisk::mount(&at, 16) else {
        eprintln!("a small disk cannot be mounted here (needs root); trying an unwritable one");
        return unwritable_from_the_start(&network).await;
    };
    let options = ListenerOptions {
        cache: Some(at.join("cache")),
        ..ListenerOptions::default()
    };
    let listener = network.listener_with("listener", options).await.unwrap();
    listener.play(&piece).await.unwrap();
    listener.has_heard(Duration::from_secs(1)).await.unwrap();
    let filler = at.join("filler");
    let full = std::fs::write(&filler, vec![1; 16 << 20]);
    assert!(full.is_err(), "the disk is full now");
    let said = |words: &'static str| {
        move |status: &antiphon_node::status::Status| {
            status.notices.iter().any(|notice| notice.contains(words))
        }
    };
    listener
        .status_when("full", said("disk is full"))
        .await
        .unwrap();
    std::fs::remove_file(&filler).unwrap();
    let room = listener.status_when("room", said("takes music again"));
    let status = room.await.unwrap();
    let position = status.playing.unwrap().position_ms;
    let later = Duration::from_millis(position) + Duration::from_secs(2);
    let status = listener.has_heard(later).await.unwrap();
    assert_eq!((status.stalls, status.corrupt_played), (0, 0), "{status:?}");
    drop(listener);
    drop(disk);
}

/// Where no disk can be made small: a cache that cannot be opened is an error that says so.
async fn unwritable_from_the_start(network: &Network) {
    let blocked = network.folder().join("a-file");
    std::fs::write(&blocked, b"not a folder").unwrap();
    let options = ListenerOptions {
        cache: Some(blocked.join("cache")),
        ..ListenerOptions::default()
    };
    let error = network.listener_with("listener", options).await;
    let error = format!("{:#}", error.expect_err("there is no folder to cache in"));
    assert!(error.contains("a-file"), "{error}");
}
