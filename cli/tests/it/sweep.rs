//! Sweeps that are killed, shared between machines, or short of disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_antiphon");

/// Six cells of two seeds, each done in about a tenth of a second.
fn sweep(out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["sim", "sweep", "hello", "--seeds", "2"])
        .args([
            "--set",
            "duration=2m",
            "--set",
            "settle=1m",
            "--set",
            "catalog.tracks=200",
        ])
        .args([
            "--axis",
            "population.users=20,30,40",
            "--axis",
            "variant=antiphon,origin-only",
        ])
        .arg("--out")
        .arg(out)
        .args(more);
    command
}

fn finished(mut command: Command) -> Output {
    let output = command.output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect(name)
}

/// Name and content of every result of a run.
fn runs(folder: &Path) -> BTreeMap<String, (String, std::time::SystemTime)> {
    let cells = fs::read_dir(folder.join("cells")).expect("cells");
    let cells = cells.map(|entry| entry.expect("an entry"));
    let done = cells.filter(|entry| entry.path().extension().is_some_and(|e| e == "json"));
    let done = done.map(|entry| {
        let text = fs::read_to_string(entry.path()).expect("whole");
        let written = entry
            .metadata()
            .and_then(|data| data.modified())
            .expect("a time");
        (
            entry.file_name().to_string_lossy().into_owned(),
            (text, written),
        )
    });
    done.collect()
}

#[test]
fn a_sweep_that_is_killed_goes_on_and_loses_and_repeats_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    finished(sweep(&whole, &["--jobs", "2"]));

    let mut child = sweep(&cut, &["--jobs", "2"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("a child");
    let said = BufReader::new(child.stderr.take().expect("its talk"));
    // Killed (SIGKILL) as soon as it says that it has done three of twelve.
    let third = said
        .lines()
        .map_while(Result::ok)
        .filter(|line| line.starts_with("cell "))
        .nth(2);
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(third.is_some_and(|line| line.contains("left")));
    let before = runs(&cut);
    assert!(
        (3..12).contains(&before.len()),
        "{} were done",
        before.len()
    );
    assert!(!cut.join("sweep.csv").exists());

    let output = finished(sweep(&cut, &["--jobs", "2"]));
    let said = String::from_utf8_lossy(&output.stderr);
    let todo = format!("{} runs to do here", 12 - before.len());
    assert!(said.contains(&todo), "{said}");
    let after = runs(&cut);
    assert_eq!(after.len(), 12);
    for (name, run) in &before {
        assert_eq!(&after[name], run, "{name} was not run again");
    }
    for name in ["sweep.csv", "report.html"] {
        assert_eq!(read(&cut, name), read(&whole, name), "{name}");
    }
}

#[test]
fn shards_of_one_folder_make_the_same_table_as_one_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let (whole, shared) = (folder.path().join("whole"), folder.path().join("shared"));
    finished(sweep(&whole, &[]));
    finished(sweep(&shared, &["--shard", "0/2"]));
    let half = read(&shared, "sweep.csv");
    assert_eq!(runs(&shared).len(), 6);
    finished(sweep(&shared, &["--shard", "1/2"]));
    assert!(half.len() < read(&shared, "sweep.csv").len());
    assert_eq!(read(&shared, "sweep.csv"), read(&whole, "sweep.csv"));
}

#[test]
fn another_sweep_is_not_mixed_into_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    finished(sweep(folder.path(), &["--shard", "0/12"]));
    let mut other = sweep(folder.path(), &["--axis", "network.loss=1%,2%"]);
    let output = other.output().expect("the program runs");
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("holds another sweep"), "{said}");
}

/// Only root may mount a small disk; where that is not allowed, there is nothing to be seen.
#[test]
fn a_full_disk_stops_a_sweep_with_words_and_it_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let small = folder.path().join("small");
    fs::create_dir(&small).expect("made");
    let mount = |options: &str| {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "antiphon-test"])
            .arg(&small);
        mount.output().is_ok_and(|output| output.status.success())
    };
    // Room for the description of the sweep and a few results of 4 KiB.
    if !mount("size=40k") {
        eprintln!("a small disk cannot be mounted here; nothing is tested");
        return;
    }
    let out = small.join("sweep");
    let stopped = sweep(&out, &[]).output().expect("the program runs");
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    let kept = runs(&out);
    let bigger = mount("remount,size=4m");
    let output = sweep(&out, &[]).output().expect("the program runs");
    let after = runs(&out);
    let unmounted = Command::new("umount").arg(&small).status();
    assert!(unmounted.is_ok_and(|status| status.success()) && bigger);

    assert_eq!(stopped.status.code(), Some(1), "{said}");
    assert!(
        said.contains("is full: make room and give the same command again"),
        "{said}"
    );
    assert!(
        (1..12).contains(&kept.len()),
        "{} were kept: {said}",
        kept.len()
    );
    assert!(output.status.success());
    assert_eq!(after.len(), 12);
    for (name, run) in &kept {
        assert_eq!(&after[name], run, "{name} was not run again");
    }
}
