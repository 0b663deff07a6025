//! One gain for all tracks of an album, so that quiet songs stay quieter than loud ones.
//!
//! Each track leaves its loudness histogram under its album. At the end of a run, every album
//! that a file of the run belongs to is settled: its gain is that of all its tracks in the
//! library together, and a track whose manifest says otherwise gets the next version. A run that
//! was cut off before this is caught up by the next.

use std::fs;
use std::path::PathBuf;

use antiphon_protocol::{AlbumId, TrackId};

use crate::ingest::loudness::Histogram;
use crate::ingest::publish::{Step, next_version, replace};
use crate::library::{Library, LibraryError, read_bounded};

/// Largest histogram file: every bin used is 30 kB.
const HISTOGRAM_BYTES_MAX: u64 = 64 * 1024;
/// Most tracks that share a gain; guess, ten times the longest box set. Beyond, the first count.
const TRACKS_MAX: usize = 5_000;

/// Keeps a track's loudness for its album.
pub(crate) fn remember(
    library: &Library,
    album: AlbumId,
    track: TrackId,
    histogram: &Histogram,
) -> Result<(), LibraryError> {
    let body = postcard::to_stdvec(histogram).expect("a histogram is plain data");
    let mut bytes = blake3::hash(&body).as_bytes().to_vec();
    bytes.extend_from_slice(&body);
    library.write_private(
        &folder(library, album).join(format!("{track}.loudness")),
        &bytes,
    )
}

/// Gives all tracks of an album the album's gain; names those whose manifest was replaced.
pub(crate) fn settle(
    library: &Library,
    album: AlbumId,
    step: Step<'_>,
) -> Result<Vec<TrackId>, LibraryError> {
    let mut whole = Histogram::default();
    let mut members = Vec::new();
    for track in candidates(library, album)? {
        let Ok(Some((_, manifest))) = library.release(track) else {
            continue;
        };
        if let Some(histogram) = recall(library, album, track)
            && manifest.album_id == Some(album)
        {
            whole.merge(&histogram);
            members.push(track);
        }
    }
    let gain = whole.gain();
    let mut replaced = Vec::new();
    for track in members {
        let Some((release, mut manifest)) = library.release(track)? else {
            continue;
        };
        if manifest.album_gain != gain {
            manifest.album_gain = gain;
            manifest.version = next_version(library, track)?;
            replace(library, &manifest, release.keys, step)?;
            replaced.push(track);
        }
    }
    Ok(replaced)
}

fn folder(library: &Library, album: AlbumId) -> PathBuf {
    library
        .releases_dir()
        .join("albums")
        .join(album.to_string())
}

fn candidates(library: &Library, album: AlbumId) -> Result<Vec<TrackId>, LibraryError> {
    let dir = folder(library, album);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let wrap = |source| LibraryError::io(&dir, source);
    let mut tracks = Vec::new();
    for entry in fs::read_dir(&dir).map_err(wrap)? {
        let name = entry.map_err(wrap)?.file_name();
        let id = name
            .to_str()
            .and_then(|name| name.strip_suffix(".loudness"));
        tracks.extend(id.and_then(|id| id.parse::<TrackId>().ok()));
    }
    tracks.sort_unstable();
    tracks.truncate(TRACKS_MAX);
    Ok(tracks)
}

/// A damaged file counts as none: the track then has no part in the album's gain.
fn recall(library: &Library, album: AlbumId, track: TrackId) -> Option<Histogram> {
    let path = folder(library, album).join(format!("{track}.loudness"));
    let bytes = read_bounded(&path, HISTOGRAM_BYTES_MAX).ok()?;
    let (hash, body) = bytes.split_at_checked(32)?;
    if blake3::hash(body).as_bytes() != hash {
        return None;
    }
    postcard::from_bytes(body).ok()
}
