//! One file from its first byte to its release.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use antiphon_protocol::{Rung, TrackId, TrackManifest};

use crate::ingest::decode::{Progress, Source};
use crate::ingest::encode::Studio;
use crate::ingest::ladder::{self, Make};
use crate::ingest::publish::{Finished, Rendered, Step, publish};
use crate::ingest::refusal::Refusal;
use crate::ingest::sniff::Container;
use crate::ingest::survey::survey;
use crate::ingest::tags;
use crate::library::Library;

/// The name of the music in the file at `path`.
pub(crate) fn identify(path: &Path) -> Result<TrackId, Refusal> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    Ok(TrackId(id))
}

/// A published track, and what of its file was dropped.
pub(crate) struct Made {
    pub(crate) manifest: TrackManifest,
    pub(crate) notes: Vec<String>,
}

/// Makes and publishes the track; nothing of it is visible if this fails.
pub(crate) fn make(
    library: &Library,
    path: &Path,
    container: Container,
    track: TrackId,
    rungs: &[Rung],
    progress: &dyn Fn(Progress, u32),
    step: Step<'_>,
) -> Result<Made, Refusal> {
    let stamp = stamp(path)?;
    let source = Source::survey(path, container)?;
    let mut staging = Staging::new(library, track);
    let mut rendered = Vec::new();
    let mut to_encode = Vec::new();
    for (rung, make) in ladder::plan(&source, rungs) {
        let file = staging.file(rung);
        match make {
            Make::Encode(quality) => to_encode.push((rung, quality, file)),
            Make::Keep => match keep(&source, path, &file) {
                Ok(survey) => rendered.push(Rendered { rung, file, survey }),
                // Playable, but not as exact as a rendition must be.
                Err(_) => to_encode.push((rung, ladder::nominal_quality(rung), file)),
            },
        }
    }
    let encoded: Vec<_> = to_encode
        .iter()
        .map(|(rung, _, file)| (*rung, file.clone()))
        .collect();
    let [a, b, c, d, ..] = track.0;
    let serial = i32::from_le_bytes([a, b, c, d]);
    let channels = source.channels.min(2);
    let mut studio = Studio::new(channels, source.sample_rate, serial, to_encode)?;
    source.decode(path, |planes, at| {
        progress(at, source.sample_rate);
        studio.take(planes)
    })?;
    let recorded = studio.finish()?;
    for (rung, file) in encoded {
        let survey = survey(&file)?;
        if survey.frames != recorded.frames {
            return Err(Refusal::whole("its rendition lost samples"));
        }
        rendered.push(Rendered { rung, file, survey });
    }
    rendered.sort_by_key(|rendered| rendered.rung);
    let mut tags = tags::read(path);
    if stamp != self::stamp(path)? {
        return Err(Refusal::whole("changed while it was read; ingest it again"));
    }
    let notes = std::mem::take(&mut tags.notes);
    let finished = Finished {
        track,
        tags,
        histogram: recorded.histogram,
        true_peak: recorded.true_peak,
        rendered,
    };
    let manifest = publish(library, finished, step)?;
    Ok(Made { manifest, notes })
}

/// What tells whether a file was written to.
fn stamp(path: &Path) -> io::Result<(u64, SystemTime)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.len(), metadata.modified()?))
}

fn keep(
    source: &Source,
    path: &Path,
    file: &Path,
) -> Result<crate::ingest::survey::Survey, Refusal> {
    let mut music = File::open(path)?.take(source.end);
    io::copy(&mut music, &mut File::create(file)?)?;
    survey(file)
}

/// Files of unfinished work, removed when it ends. A crash leaves them to the next run.
struct Staging {
    base: PathBuf,
    files: Vec<PathBuf>,
}

impl Staging {
    fn new(library: &Library, track: TrackId) -> Self {
        let base = library
            .releases_dir()
            .join("staging")
            .join(track.to_string());
        let files = Vec::new();
        Self { base, files }
    }

    fn file(&mut self, rung: Rung) -> PathBuf {
        let file = self.base.with_extension(match rung {
            Rung::Low => "low",
            Rung::Standard => "standard",
            Rung::High => "high",
        });
        self.files.push(file.clone());
        file
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        for file in &self.files {
            // If it cannot be removed now, the next run tries again.
            drop(fs::remove_file(file));
        }
    }
}
