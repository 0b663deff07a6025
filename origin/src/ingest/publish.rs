//! Finished files become objects, a signed manifest and, last of all, a release.
//!
//! Before anything is written, a journal beside the releases names the objects to come; it goes
//! when the release is there. Whatever moment a crash picks, the next run finds either a whole
//! track or a journal that says what to remove.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use antiphon_protocol::license::TrackKeys;
use antiphon_protocol::release::Release;
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::verified::{hash_content, outboard_bytes};
use antiphon_protocol::{
    ArtId, BitRate, ByteCount, ContentId, Gain, Geometry, Rendition, Rung, TrackId, TrackManifest,
};
use futures::executor::block_on;
use object_store::path::Path as ObjectPath;
use object_store::{Error as StoreError, ObjectStoreExt};

use crate::ingest::album;
use crate::ingest::loudness::Histogram;
use crate::ingest::refusal::Refusal;
use crate::ingest::survey::Survey;
use crate::ingest::tags::Tags;
use crate::library::{
    Library, LibraryError, art_path, content_path, manifest_path, outboard_path, read_bounded,
};

/// Bytes of ciphertext in memory at once.
const PART_BYTES: usize = 1024 * 1024;
/// Longest journal: a few names.
const JOURNAL_BYTES_MAX: u64 = 16 * 1024;

/// One rung, encoded and read back.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) rung: Rung,
    pub(crate) file: PathBuf,
    pub(crate) survey: Survey,
}

/// A track ready to be published.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) track: TrackId,
    pub(crate) tags: Tags,
    pub(crate) histogram: Histogram,
    pub(crate) true_peak: Gain,
    pub(crate) rendered: Vec<Rendered>,
}

/// Told the name of every file just before it is written or removed.
pub(crate) type Step<'a> = &'a dyn Fn(&str);

/// Publishes a track under the next free version.
pub(crate) fn publish(
    library: &Library,
    finished: Finished,
    step: Step<'_>,
) -> Result<TrackManifest, Refusal> {
    let Finished {
        track,
        tags,
        histogram,
        true_peak,
        rendered,
    } = finished;
    let mut sealed = Vec::new();
    for rendered in &rendered {
        sealed.push(Sealed::new(rendered)?);
    }
    let art = tags
        .cover
        .as_deref()
        .map(|cover| ArtId(blake3::hash(cover).into()));
    let gain = histogram.gain();
    let manifest = TrackManifest {
        track,
        version: next_version(library, track)?,
        title: tags.title,
        artist: tags.artist,
        album: tags.album,
        album_id: tags.album_id,
        track_number: tags.track_number,
        art,
        track_gain: gain,
        // Until the album is settled, the track is all that is known of it.
        album_gain: gain,
        true_peak,
        renditions: sealed
            .iter()
            .map(|sealed| sealed.rendition.clone())
            .collect(),
    };
    let journal = Journal::begin(library, &manifest, step)?;
    for sealed in &sealed {
        sealed.store(library, step)?;
    }
    if let (Some(art), Some(cover)) = (art, tags.cover) {
        put(library, &art_path(art), cover, step)?;
    }
    if let Some(album) = manifest.album_id {
        step("loudness");
        album::remember(library, album, track, &histogram)?;
    }
    let keys = sealed
        .iter()
        .map(|sealed| (sealed.rendition.content, sealed.key.clone()));
    store_signed(library, &manifest, keys.collect(), step)?;
    journal.end(step)?;
    Ok(manifest)
}

/// Publishes `manifest` in place of the track's present one; its renditions are the same.
pub(crate) fn replace(
    library: &Library,
    manifest: &TrackManifest,
    keys: TrackKeys,
    step: Step<'_>,
) -> Result<(), LibraryError> {
    let journal = Journal::begin(library, manifest, step)?;
    store_signed(library, manifest, keys, step)?;
    journal.end(step)
}

/// The version after every one that was ever written.
pub(crate) fn next_version(library: &Library, track: TrackId) -> Result<u32, LibraryError> {
    // A damaged release says nothing; the stored manifests do.
    let present = library.release(track).ok().flatten();
    let mut version = present.map_or(0, |(_, manifest)| manifest.version);
    loop {
        version = version.saturating_add(1);
        if size_of(library, &manifest_path(track, version))?.is_none() {
            return Ok(version);
        }
    }
}

/// Whether the track has a release and everything it names is in the store.
pub(crate) fn complete(
    library: &Library,
    track: TrackId,
) -> Result<Option<TrackManifest>, LibraryError> {
    // A damaged release is no reason to fail: ingest writes a new one.
    let Some((_, manifest)) = library.release(track).ok().flatten() else {
        return Ok(None);
    };
    let mut due = Vec::new();
    for rendition in &manifest.renditions {
        let outboard = rendition.geometry().map_or(0, outboard_bytes);
        due.push((content_path(rendition.content), Some(rendition.size.0)));
        due.push((outboard_path(rendition.content), Some(outboard)));
    }
    due.push((manifest_path(track, manifest.version), None));
    due.extend(manifest.art.map(|art| (art_path(art), None)));
    for (object, bytes) in due {
        match size_of(library, &object)? {
            Some(size) if bytes.is_none_or(|bytes| bytes == size) => {}
            _ => return Ok(None),
        }
    }
    Ok(Some(manifest))
}

/// Removes what runs before this one left half done. Call it with the library locked.
pub(crate) fn recover(library: &Library) -> Result<(), LibraryError> {
    let dir = library.releases_dir();
    let staging = dir.join("staging");
    for folder in [&staging, &dir] {
        let wrap = |source| LibraryError::io(folder, source);
        for entry in fs::read_dir(folder).map_err(wrap)? {
            let path = entry.map_err(wrap)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if *folder == staging || extension == Some("new") {
                fs::remove_file(&path).map_err(|source| LibraryError::io(&path, source))?;
            } else if extension == Some("pending") {
                undo(library, &path)?;
            }
        }
    }
    Ok(())
}

fn undo(library: &Library, journal: &Path) -> Result<(), LibraryError> {
    let wrap = |source| LibraryError::io(journal, source);
    let text = read_bounded(journal, JOURNAL_BYTES_MAX).map_err(wrap)?;
    let text = String::from_utf8_lossy(&text);
    let stem = journal.file_stem().and_then(|stem| stem.to_str());
    let track: Option<TrackId> = stem.and_then(|stem| stem.parse().ok());
    let release = track.and_then(|track| library.release(track).ok().flatten());
    let live = release.map_or_else(Vec::new, |(_, manifest)| objects_of(&manifest));
    for name in text.lines() {
        let object = ObjectPath::from(name);
        if live.contains(&object) {
            continue;
        }
        match block_on(library.objects().delete(&object)) {
            Ok(()) | Err(StoreError::NotFound { .. }) => {}
            Err(source) => return Err(LibraryError::object(&object, source)),
        }
        // Where the store was writing when it was cut off.
        let unfinished = library.root().join("objects").join(format!("{name}#1"));
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LibraryError::io(&unfinished, error));
            }
            _ => {}
        }
    }
    fs::remove_file(journal).map_err(wrap)
}

/// The objects that belong to this track alone.
fn objects_of(manifest: &TrackManifest) -> Vec<ObjectPath> {
    let contents = manifest
        .renditions
        .iter()
        .map(|rendition| rendition.content);
    let files = contents.flat_map(|content| [content_path(content), outboard_path(content)]);
    let manifest = manifest_path(manifest.track, manifest.version);
    files.chain([manifest]).collect()
}

/// The note of what is about to be written.
struct Journal(PathBuf);

impl Journal {
    fn begin(
        library: &Library,
        manifest: &TrackManifest,
        step: Step<'_>,
    ) -> Result<Self, LibraryError> {
        let path = library
            .release_path(manifest.track)
            .with_extension("pending");
        step("journal");
        let names = objects_of(manifest)
            .into_iter()
            .map(|name| format!("{name}\n"));
        library.write_private(&path, names.collect::<String>().as_bytes())?;
        Ok(Self(path))
    }

    fn end(self, step: Step<'_>) -> Result<(), LibraryError> {
        step("end of journal");
        fs::remove_file(&self.0).map_err(|source| LibraryError::io(&self.0, source))
    }
}

/// A rendition with its key and hashes, its ciphertext made anew each time it is read.
struct Sealed<'a> {
    rendered: &'a Rendered,
    key: ContentKey,
    rendition: Rendition,
    outboard: Vec<u8>,
}

impl<'a> Sealed<'a> {
    fn new(rendered: &'a Rendered) -> Result<Self, Refusal> {
        let survey = &rendered.survey;
        let size = ByteCount(survey.size);
        let geometry = Geometry::new(size)
            .ok_or_else(|| Refusal::whole(format!("its rendition is too large ({size})")))?;
        let mut secret = [0; 16];
        rand::Rng::fill_bytes(&mut rand::rng(), &mut secret);
        let key = ContentKey::new(secret);
        let cipher = Cipher::open(&rendered.file, survey.size, &key)?;
        let (content, outboard) = hash_content(geometry, cipher)?;
        Ok(Self {
            rendered,
            rendition: rendition(rendered, content),
            key,
            outboard,
        })
    }

    fn store(&self, library: &Library, step: Step<'_>) -> Result<(), Refusal> {
        let path = content_path(self.rendition.content);
        step(path.as_ref());
        let wrap = |source| LibraryError::object(&path, source);
        let store = library.objects();
        let mut upload = block_on(store.put_multipart(&path)).map_err(wrap)?;
        let mut cipher = Cipher::open(&self.rendered.file, self.rendition.size.0, &self.key)?;
        loop {
            let mut part = Vec::with_capacity(PART_BYTES);
            cipher
                .by_ref()
                .take(PART_BYTES as u64)
                .read_to_end(&mut part)?;
            if part.is_empty() {
                break;
            }
            block_on(upload.put_part(part.into())).map_err(wrap)?;
        }
        block_on(upload.complete()).map_err(wrap)?;
        let outboard = outboard_path(self.rendition.content);
        Ok(put(library, &outboard, self.outboard.clone(), step)?)
    }
}

fn rendition(rendered: &Rendered, content: ContentId) -> Rendition {
    let survey = &rendered.survey;
    let bits = u128::from(survey.size) * 8 * u128::from(survey.sample_rate);
    let bit_rate = bits / u128::from(survey.frames.max(1));
    Rendition {
        rung: rendered.rung,
        content,
        size: ByteCount(survey.size),
        bit_rate: BitRate(u32::try_from(bit_rate).unwrap_or(u32::MAX)),
        sample_rate: survey.sample_rate,
        channels: survey.channels,
        frames: survey.frames,
        setup_bytes: survey.setup_bytes,
        seek_table: survey.seek_table.clone(),
    }
}

/// Reads a file encrypted.
struct Cipher<'a> {
    file: io::Take<File>,
    key: &'a ContentKey,
    offset: u64,
}

impl<'a> Cipher<'a> {
    fn open(path: &Path, size: u64, key: &'a ContentKey) -> io::Result<Self> {
        let file = File::open(path)?.take(size);
        let offset = 0;
        Ok(Self { file, key, offset })
    }
}

impl Read for Cipher<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        let (fresh, _) = buffer.split_at_mut(count);
        self.key.apply(self.offset, fresh);
        self.offset += count as u64;
        Ok(count)
    }
}

fn store_signed(
    library: &Library,
    manifest: &TrackManifest,
    keys: TrackKeys,
    step: Step<'_>,
) -> Result<(), LibraryError> {
    let signed = Signed::sign(manifest, library.catalog_secret());
    let object = manifest_path(manifest.track, manifest.version);
    put(library, &object, signed.to_bytes(), step)?;
    let release = Release {
        manifest: signed,
        keys,
    };
    step("release");
    library.write_private(&library.release_path(manifest.track), &release.to_bytes())
}

fn put(
    library: &Library,
    object: &ObjectPath,
    bytes: Vec<u8>,
    step: Step<'_>,
) -> Result<(), LibraryError> {
    step(object.as_ref());
    block_on(library.objects().put(object, bytes.into()))
        .map(|_| ())
        .map_err(|source| LibraryError::object(object, source))
}

fn size_of(library: &Library, object: &ObjectPath) -> Result<Option<u64>, LibraryError> {
    match block_on(library.objects().head(object)) {
        Ok(meta) => Ok(Some(meta.size)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(source) => Err(LibraryError::object(object, source)),
    }
}
