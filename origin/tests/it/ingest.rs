//! Ingest from files to objects: what it accepts, refuses, makes, and leaves behind.

mod albums;
mod bad_files;
mod crash;
mod renditions;
mod sounds;
mod tags;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use antiphon_origin::ingest::{Accepted, IngestOptions, IngestSummary, ingest};
use antiphon_origin::library::{Library, content_path, outboard_path};
use antiphon_protocol::{Rendition, TrackId, TrackManifest};
use tempfile::TempDir;

/// A library and a folder of sources, gone when dropped.
struct Bench {
    dir: TempDir,
    library: Library,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        let library = Library::open(dir.path().join("library")).unwrap();
        Self { dir, library }
    }

    fn source(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("in").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn fixture(&self, name: &str) -> PathBuf {
        self.source(name, &fixture(name))
    }

    fn ingest(&self) -> IngestSummary {
        self.ingest_with(&IngestOptions::default())
    }

    fn ingest_with(&self, options: &IngestOptions) -> IngestSummary {
        let paths = [self.dir.path().join("in")];
        ingest(&self.library, &paths, options, |_| {}).unwrap()
    }

    /// Ingests one file that must be accepted.
    fn accept(&self, name: &str, bytes: &[u8]) -> TrackManifest {
        let path = self.source(name, bytes);
        let summary = ingest(&self.library, &[path], &IngestOptions::default(), |_| {}).unwrap();
        assert_eq!(summary.refused, [], "{name}");
        self.manifest(summary.accepted[0].1.track)
    }

    fn manifest(&self, track: TrackId) -> TrackManifest {
        self.library.release(track).unwrap().unwrap().1
    }

    fn objects(&self) -> BTreeSet<String> {
        files_below(&self.library.root().join("objects"))
    }

    fn private_files(&self) -> BTreeSet<String> {
        files_below(&self.library.releases_dir())
    }

    fn object(&self, name: &object_store::path::Path) -> Vec<u8> {
        std::fs::read(self.library.root().join("objects").join(name.as_ref())).unwrap()
    }

    /// The rendition as a licensed device gets it: checked against its name and decrypted.
    fn decrypted(&self, track: TrackId, rendition: &Rendition) -> Vec<u8> {
        let (release, _) = self.library.release(track).unwrap().unwrap();
        let (_, key) = release
            .keys
            .iter()
            .find(|(content, _)| *content == rendition.content)
            .unwrap();
        let mut bytes = self.object(&content_path(rendition.content));
        let geometry = rendition.geometry().unwrap();
        let (name, outboard) =
            antiphon_protocol::verified::hash_content(geometry, bytes.as_slice()).unwrap();
        assert_eq!(name, rendition.content);
        assert_eq!(outboard, self.object(&outboard_path(rendition.content)));
        key.apply(0, &mut bytes);
        bytes
    }
}

fn fixture(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    std::fs::read(dir.join(name)).unwrap()
}

fn only(summary: &IngestSummary) -> &Accepted {
    assert_eq!((summary.accepted.len(), summary.refused.len()), (1, 0));
    &summary.accepted[0].1
}

fn files_below(dir: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap();
                files.insert(name.to_str().unwrap().to_owned());
            }
        }
    }
    files
}
