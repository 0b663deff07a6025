//! Which files an ingest looks at: folders walked in name order, each file once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::ingest::refusal::Refusal;

/// Deepest folder below a given path; guess, deeper than any collection met.
const DEPTH_MAX: usize = 24;
/// Most files in one run; guess. The rest is named as not looked at.
const FILES_MAX: usize = 500_000;

/// A file to look at.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// All regular files under `paths`, and what could not be read.
pub(crate) fn discover(paths: &[PathBuf]) -> (Vec<Candidate>, Vec<(PathBuf, Refusal)>) {
    let mut walk = Walk::default();
    for path in paths {
        walk.visit(path, 0);
    }
    (walk.files, walk.refused)
}

#[derive(Default)]
struct Walk {
    files: Vec<Candidate>,
    refused: Vec<(PathBuf, Refusal)>,
    /// Real paths seen, so that links neither loop nor give a file twice.
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn visit(&mut self, path: &Path, depth: usize) {
        if let Err(reason) = self.try_visit(path, depth) {
            self.refused.push((path.to_owned(), reason));
        }
    }

    fn try_visit(&mut self, path: &Path, depth: usize) -> Result<(), Refusal> {
        let metadata = fs::metadata(path)?;
        if !self.seen.insert(fs::canonicalize(path)?) {
            return Ok(());
        }
        if metadata.is_file() {
            if self.files.len() >= FILES_MAX {
                let reason = format!("not looked at: more than {FILES_MAX} files in one run");
                return Err(Refusal::whole(reason));
            }
            self.files.push(Candidate {
                path: path.to_owned(),
                bytes: metadata.len(),
            });
        } else if metadata.is_dir() {
            if depth > DEPTH_MAX {
                let reason = format!("not looked at: more than {DEPTH_MAX} folders deep");
                return Err(Refusal::whole(reason));
            }
            let entries: Result<Vec<_>, _> = fs::read_dir(path)?.collect();
            let mut names: Vec<_> = entries?.iter().map(fs::DirEntry::path).collect();
            names.sort_unstable();
            for name in names {
                self.visit(&name, depth + 1);
            }
        }
        Ok(())
    }
}
