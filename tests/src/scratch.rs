//! A folder for one test, gone after it; kept for a look if the test fails.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program;

/// A test's folder.
#[derive(Debug)]
pub struct Scratch(Option<TempDir>);

impl Scratch {
    /// A new one.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(program::target_tmp()?)?;
        Ok(Self(Some(folder)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.0.take()
        {
            eprintln!("--- kept: {}", folder.keep().display());
        }
    }
}

/// A path as an argument.
#[must_use]
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
