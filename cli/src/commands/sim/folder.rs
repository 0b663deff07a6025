//! Folders of results: files written whole, and words for a disk that is full.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use antiphon_sim::report::Outcome;
use anyhow::Context as _;

use crate::exit::Misconfigured;

/// Makes a folder for a run, or takes one that an interrupted run left behind.
pub(super) fn prepare(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let ours = Outcome::files();
    for entry in entries {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        let name = name.strip_suffix(".part").unwrap_or(&name);
        // The manifest is written last: a folder with one is somebody's complete run.
        if name == "manifest.json" || !ours.iter().any(|known| known == name) {
            return Err(Misconfigured::error(format!(
                "{} is not empty; name another folder",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Every file of a run, the manifest last.
pub(super) fn write_run(folder: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    for name in Outcome::files() {
        write_whole(&folder.join(&name), |to| outcome.write(&name, to))?;
    }
    Ok(())
}

/// A file of this text.
pub(super) fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    write_whole(path, |to| to.write_all(text.as_bytes()))
}

/// Whole or not at all: what is half-written has another name, and is taken away again.
pub(super) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(part)?);
        fill(&mut file)?;
        file.into_inner()?.sync_data()?;
        fs::rename(part, path)
    };
    write().map_err(|error| {
        // It may be the very thing there is no room for.
        let _ = fs::remove_file(part);
        failed(error, path)
    })
}

fn failed(error: io::Error, path: &Path) -> anyhow::Error {
    let folder = path.parent().unwrap_or(path).display().to_string();
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let said = if full {
        format!(
            "the disk of {folder} is full: make room and give the same command again; cannot write {}",
            path.display()
        )
    } else {
        format!("cannot write {}", path.display())
    };
    anyhow::Error::new(error).context(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_whole_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        let full = write_whole(&path, |to| {
            to.write_all(b"half of it")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        let said = format!("{:#}", full.expect_err("full"));
        assert!(said.contains("is full: make room"), "{said}");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
        write_text(&path, "all of it").expect("room");
        assert_eq!(fs::read_to_string(&path).expect("there"), "all of it");
    }

    #[test]
    fn a_folder_of_an_interrupted_run_is_taken_and_that_of_a_complete_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| fs::write(folder.path().join(name), "").expect("written");
        write("summary.json");
        write("plays.csv.part");
        prepare(folder.path()).expect("only leftovers");
        write("manifest.json");
        assert!(prepare(folder.path()).is_err());
        let other = tempfile::tempdir().expect("a folder");
        fs::write(other.path().join("thesis.tex"), "").expect("written");
        assert!(prepare(other.path()).is_err());
    }
}
