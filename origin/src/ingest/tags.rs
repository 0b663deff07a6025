//! Title, artist, album and cover from a file's tags, bounded and cleaned.
//!
//! Tags never refuse a track: what cannot be used is dropped, with a note that says so.

use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use antiphon_protocol::AlbumId;
use antiphon_protocol::limits::TEXT_BYTES_MAX;
use imagesize::ImageType;
use lofty::config::ParseOptions;
use lofty::file::{TaggedFile, TaggedFileExt};
use lofty::picture::PictureType;
use lofty::probe::Probe;
use lofty::tag::{Accessor, ItemKey, Tag};

/// Largest cover; the tag reader's own limit for one item is the same.
const COVER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest side of a cover in pixels: decoded it takes at most 64 MiB.
const COVER_SIDE_MAX: usize = 4096;

/// What the tags say.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    pub(crate) title: String,
    pub(crate) artist: String,
    pub(crate) album: String,
    pub(crate) album_id: Option<AlbumId>,
    pub(crate) track_number: Option<u16>,
    pub(crate) cover: Option<Vec<u8>>,
    /// What was dropped, and why.
    pub(crate) notes: Vec<String>,
}

/// Reads the tags of the file at `path`. The title falls back to the file's name.
pub(crate) fn read(path: &Path) -> Tags {
    let mut tags = Tags::default();
    match parse(path, true) {
        Ok(file) => tags.fill(&file),
        // A picture over the limit fails the whole parse.
        Err(reason) => match parse(path, false) {
            Ok(file) => {
                tags.notes.push(format!("cover dropped: {reason}"));
                tags.fill(&file);
            }
            Err(reason) => tags.notes.push(format!("tags dropped: {reason}")),
        },
    }
    if tags.title.is_empty() {
        let stem = path.file_stem().unwrap_or_default();
        tags.title = clean(&stem.to_string_lossy());
    }
    tags
}

fn parse(path: &Path, with_cover: bool) -> Result<TaggedFile, String> {
    let options = ParseOptions::new()
        .read_properties(false)
        .read_cover_art(with_cover);
    let read = || {
        let file = File::open(path).map_err(|error| error.to_string())?;
        Probe::new(BufReader::new(file))
            .options(options)
            .guess_file_type()
            .map_err(|error| error.to_string())?
            .read()
            .map_err(|error| error.to_string())
    };
    let read = catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err("the tag reader failed on them".to_owned()))
}

impl Tags {
    fn fill(&mut self, file: &TaggedFile) {
        let tags: Vec<&Tag> = file.primary_tag().into_iter().chain(file.tags()).collect();
        let text = |read: &dyn Fn(&Tag) -> Option<String>| {
            let mut texts = tags.iter().filter_map(|tag| read(tag));
            texts.find(|text| !text.is_empty()).unwrap_or_default()
        };
        self.title = text(&|tag| tag.title().map(|text| clean(&text)));
        self.artist = text(&|tag| tag.artist().map(|text| clean(&text)));
        self.album = text(&|tag| tag.album().map(|text| clean(&text)));
        let album_artist = text(&|tag| tag.get_string(ItemKey::AlbumArtist).map(clean));
        let numbers = tags.iter().find_map(|tag| tag.track());
        self.track_number = numbers.and_then(|number| u16::try_from(number).ok());
        if !self.album.is_empty() {
            let artist = match album_artist.as_str() {
                "" => &self.artist,
                artist => artist,
            };
            self.album_id = Some(album_id(artist, &self.album));
        }
        self.pick_cover(&tags);
    }

    fn pick_cover(&mut self, tags: &[&Tag]) {
        let pictures = || tags.iter().flat_map(|tag| tag.pictures());
        let front = pictures().find(|picture| picture.pic_type() == PictureType::CoverFront);
        let Some(picture) = front.or_else(|| pictures().next()) else {
            return;
        };
        match check_cover(picture.data()) {
            Ok(()) => self.cover = Some(picture.data().to_vec()),
            Err(reason) => self.notes.push(format!("cover dropped: {reason}")),
        }
    }
}

fn check_cover(data: &[u8]) -> Result<(), String> {
    if data.len() > COVER_BYTES_MAX {
        return Err(format!(
            "{} bytes; {COVER_BYTES_MAX} are allowed",
            data.len()
        ));
    }
    let kind = imagesize::image_type(data);
    if !matches!(kind, Ok(ImageType::Jpeg | ImageType::Png)) {
        return Err("neither JPEG nor PNG".to_owned());
    }
    let size = imagesize::blob_size(data).map_err(|error| error.to_string())?;
    let sides = 1..=COVER_SIDE_MAX;
    if !sides.contains(&size.width) || !sides.contains(&size.height) {
        let (width, height) = (size.width, size.height);
        return Err(format!(
            "{width} x {height} pixels; {COVER_SIDE_MAX} a side are allowed"
        ));
    }
    Ok(())
}

/// Names an album by its artist and title, whatever the letters' case.
fn album_id(artist: &str, album: &str) -> AlbumId {
    let mut hasher = blake3::Hasher::new_derive_key("antiphon album id v1");
    for text in [artist, album] {
        let text = text.to_lowercase();
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    AlbumId(id)
}

/// Without control characters and outer spaces, cut to the wire's limit between characters.
fn clean(text: &str) -> String {
    let mut out = String::new();
    for char in text.trim().chars() {
        // Line and paragraph separators and the overrides of writing direction are controls too,
        // though not of that class.
        let direction = matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let char = if char == '\n' || char == '\t' {
            ' '
        } else {
            char
        };
        if char.is_control() || direction {
            continue;
        }
        if out.len() + char.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(char);
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_freed_of_controls() {
        let long = "é".repeat(1000);
        assert_eq!(clean(&long).len(), TEXT_BYTES_MAX);
        assert_eq!(clean(" a\0b\u{202e}c\nd\u{7} "), "abc d");
    }

    #[test]
    fn an_album_is_named_by_artist_and_title_apart() {
        assert_eq!(album_id("A", "b"), album_id("a", "B"));
        assert_ne!(album_id("ab", "c"), album_id("a", "bc"));
    }
}
