//! The library all tests share: made pieces, ingested once by `antiphon ingest`, then only read.
//!
//! It stays in `target/tmp` for the next run, until the program is built anew.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use antiphon_origin::library;
use antiphon_player::{TrackSpec, WholeSource, decode_all, millibel_to_linear, track_factor};
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::{ContentId, Geometry, Rendition, Rung, TrackId, TrackManifest};
use anyhow::{Context as _, ensure};
use tokio::sync::OnceCell;

use crate::music;
use crate::program;
use crate::scratch::text;

/// The pieces and their length in seconds. Titles are single words, so that each can be searched.
const PIECES: [(&str, u32); 5] = [
    ("aurora", 12),
    ("birch", 12),
    ("cinder", 12),
    ("dune", 20),
    // Longer than the origin is asked ahead, so that there is a middle to lose a source in.
    ("estuary", 60),
];

/// An ingested library.
#[derive(Debug)]
pub struct Library {
    folder: PathBuf,
    library: library::Library,
}

/// A track with everything that is known about it, keys included.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its id.
    pub track: TrackId,
    /// Its manifest.
    pub manifest: TrackManifest,
    /// The rendition everybody plays by default.
    pub rendition: Rendition,
    /// Its key.
    pub key: ContentKey,
    /// What the origin serves.
    pub sealed: Arc<Vec<u8>>,
    /// Its hash tree.
    pub outboard: Arc<Vec<u8>>,
}

impl Library {
    /// The shared one; the first to ask makes it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn shared() -> anyhow::Result<Arc<Self>> {
        static SHARED: OnceCell<Arc<Library>> = OnceCell::const_new();
        let shared = SHARED.get_or_try_init(async || make().await.map(Arc::new));
        shared.await.cloned()
    }

    /// A copy in `folder` that gives a key for `title` that does not open it, so that what it hands out is genuine
    /// and makes no music.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn with_wrong_key(&self, title: &str, folder: &Path) -> anyhow::Result<Self> {
        let releases = folder.join("releases");
        copy_folder(&self.library.releases_dir(), &releases)?;
        copy_folder(&self.folder.join("objects"), &folder.join("objects"))?;
        let library = library::Library::open(folder)?;
        let piece = self.piece(title)?;
        let found = library.release(piece.track)?;
        let (mut release, _) = found.context("a copied track has a release")?;
        for (_, key) in &mut release.keys {
            *key = ContentKey::new([7; 16]);
        }
        std::fs::write(library.release_path(piece.track), release.to_bytes())?;
        let folder = folder.to_owned();
        Ok(Self { folder, library })
    }

    /// Its folder, for `--library`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The piece of this title.
    ///
    /// # Errors
    /// If it is not in the library.
    pub fn piece(&self, title: &str) -> anyhow::Result<Known> {
        for track in self.library.tracks()? {
            let found = self.library.release(track)?;
            let (release, manifest) = found.context("a listed track has a release")?;
            if manifest.title != title {
                continue;
            }
            let rendition = manifest.rendition(Rung::Standard).context("a rendition")?;
            let rendition = rendition.clone();
            let mut keys = release.keys.into_iter();
            let key = keys.find(|(content, _)| *content == rendition.content);
            let objects = self.folder.join("objects");
            let read = |name: &str| std::fs::read(objects.join(name));
            return Ok(Known {
                track,
                key: key.context("the rendition's key")?.1,
                sealed: Arc::new(read(library::content_path(rendition.content).as_ref())?),
                outboard: Arc::new(read(library::outboard_path(rendition.content).as_ref())?),
                manifest,
                rendition,
            });
        }
        anyhow::bail!("no piece is called {title}")
    }
}

impl Known {
    /// Its id as the local API writes it.
    #[must_use]
    pub fn id(&self) -> String {
        self.track.to_string()
    }

    /// The rendition's name.
    #[must_use]
    pub const fn content(&self) -> ContentId {
        self.rendition.content
    }

    /// The rendition's size.
    ///
    /// # Errors
    /// If it is not a legal one.
    pub fn geometry(&self) -> anyhow::Result<Geometry> {
        self.rendition.geometry().context("a legal size")
    }

    /// The samples of the rendition, decoded straight from what ingest left, with the track's gain
    /// as the player applies it.
    ///
    /// # Errors
    /// If it does not decode.
    pub fn samples(&self) -> anyhow::Result<Vec<f32>> {
        let mut plain = self.sealed.to_vec();
        self.key.apply(0, &mut plain);
        let spec = TrackSpec {
            frames: Some(self.rendition.frames),
            ..TrackSpec::default()
        };
        let source = WholeSource::new(Cursor::new(plain))?;
        let decoded = decode_all(Box::new(source), &spec)?;
        ensure!(
            decoded.frames() == self.rendition.frames,
            "the manifest counts right"
        );
        let peak = millibel_to_linear(i32::from(self.manifest.true_peak.0));
        let factor = track_factor(i32::from(self.manifest.track_gain.0), Some(peak));
        let samples = decoded.samples.into_iter();
        Ok(samples.map(|sample| sample * factor).collect())
    }
}

async fn make() -> anyhow::Result<Library> {
    let tmp = program::target_tmp()?;
    let built = std::fs::metadata(program::path()?)?.modified()?;
    let built = built.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    let lock = std::fs::File::create(tmp.join("library.lock"))?;
    lock.lock().context("cannot lock target/tmp")?;
    let folder = tmp.join(format!("library-{built}"));
    for entry in std::fs::read_dir(&tmp)? {
        let path = entry?.path();
        let is_old = path.is_dir() && text(&path).contains("/library-") && path != folder;
        if is_old {
            std::fs::remove_dir_all(path)?;
        }
    }
    let music = folder.join("music");
    std::fs::create_dir_all(&music)?;
    for (number, (title, seconds)) in PIECES.into_iter().enumerate() {
        let path = music.join(format!("{title}.wav"));
        if !path.exists() {
            music::write_piece(&path, number as u64 + 1, seconds)?;
        }
    }
    let arguments = ["ingest", &text(&music), "--library", &text(&folder)];
    let rungs = ["--rungs", "standard", "--quiet"];
    program::antiphon(arguments.into_iter().chain(rungs))
        .await?
        .success()?;
    let library = library::Library::open(&folder)?;
    Ok(Library { folder, library })
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
