//! Whether a file is audio, by its first bytes; and whether it claims to be, by its name.

use std::path::Path;

/// Bytes looked at: an ADTS or MPEG frame and the header of the next (at most 2,881 bytes).
pub(crate) const SNIFF_BYTES: usize = 8 * 1024;

/// A container that ingest reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Ogg,
    Flac,
    Wav,
    /// MPEG audio, perhaps behind an ID3 tag, where any other format may hide as well.
    Mpeg,
    Mp4,
    Adts,
}

/// The container that `head`, the start of a file, belongs to.
pub(crate) fn container(head: &[u8]) -> Option<Container> {
    let brand = head.get(4..12);
    match head {
        [b'O', b'g', b'g', b'S', ..] => Some(Container::Ogg),
        [b'f', b'L', b'a', b'C', ..] => Some(Container::Flac),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            ..,
        ] => Some(Container::Wav),
        [b'I', b'D', b'3', 2..=4, ..] => Some(Container::Mpeg),
        _ if brand.is_some_and(|brand| brand.starts_with(b"ftyp")) => Some(Container::Mp4),
        // Layer bits are zero in ADTS and never in MPEG audio; protected by the second header,
        // because two bytes alone are in too many files.
        [0xff, second, ..] if second & 0xf6 == 0xf0 && followed(head, adts_frame) => {
            Some(Container::Adts)
        }
        [0xff, second, ..] if second & 0xe0 == 0xe0 && followed(head, mpeg_frame) => {
            Some(Container::Mpeg)
        }
        _ => None,
    }
}

/// Whether the file's name says audio, so that being none deserves a word.
pub(crate) fn claims_audio(path: &Path) -> bool {
    const EXTENSIONS: [&str; 18] = [
        "mp3", "ogg", "oga", "flac", "wav", "wave", "m4a", "m4b", "aac", "opus", "wma", "aif",
        "aiff", "ape", "wv", "mpc", "alac", "mp2",
    ];
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|is| {
        EXTENSIONS
            .iter()
            .any(|known| known.eq_ignore_ascii_case(is))
    })
}

fn followed(head: &[u8], frame: fn(&[u8]) -> Option<usize>) -> bool {
    let next = frame(head).and_then(|bytes| head.get(bytes..));
    next.is_some_and(|next| frame(next).is_some())
}

fn adts_frame(head: &[u8]) -> Option<usize> {
    let [0xff, second, third, fourth, fifth, sixth, ..] = *head else {
        return None;
    };
    let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
    (second & 0xf6 == 0xf0 && third >> 2 & 15 < 13 && length > 7).then_some(length)
}

/// Bytes of the MPEG audio layer 3 frame that `head` starts with.
pub(crate) fn mpeg_frame(head: &[u8]) -> Option<usize> {
    const RATES_1: [usize; 16] = [
        0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0,
    ];
    const RATES_2: [usize; 16] = [
        0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0,
    ];
    let [0xff, second, third, _, ..] = *head else {
        return None;
    };
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    if second & 0xe0 != 0xe0 || version == 1 || layer != 1 {
        return None;
    }
    let (rates, samples) = if version == 3 {
        (RATES_1, 144)
    } else {
        (RATES_2, 72)
    };
    let rate = *rates.get(usize::from(third >> 4))?;
    let base = *[44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3))?;
    let sample_rate = match version {
        3 => base,
        2 => base / 2,
        _ => base / 4,
    };
    let padding = usize::from(third >> 1 & 1);
    (rate != 0).then(|| samples * rate * 1000 / sample_rate + padding)
}
