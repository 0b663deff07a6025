//! A bounded reader of Ogg pages (RFC 3533).
//!
//! Checks every checksum and sequence number, says where each packet starts, and finds where a
//! single stream ends. Not for multiplexed or chained files: those are refused.

use std::io::{self, Read};

/// Longest setup accepted: three Vorbis headers, of which the comments may carry a cover. Guess.
const HEADER_PACKETS_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Most packets in one file: four hours of the shortest common Vorbis blocks (128 samples a
/// packet at 48 kHz) would be 5.4 million.
const PACKETS_MAX: usize = 8_000_000;
/// Packets of a Vorbis stream that carry no audio.
const VORBIS_HEADER_PACKETS: usize = 3;

/// What is known of a file with one Ogg stream after reading all its pages.
#[derive(Debug)]
pub(crate) struct OggMap {
    /// The offset after the stream's last page. Bytes behind it are not music.
    pub(crate) end: u64,
    /// The offset after the page in which the last Vorbis header ends.
    pub(crate) setup_bytes: u64,
    /// The position at the stream's end, in samples.
    pub(crate) last_granule: i64,
    /// The offset of the stream's last page.
    pub(crate) last_page: u64,
    /// For every packet behind the Vorbis headers, the offset of the page it starts on.
    pub(crate) packet_pages: Vec<u64>,
}

/// Reads all pages of the stream that `reader` starts with.
pub(crate) fn map(reader: impl Read) -> Result<OggMap, OggError> {
    let mut pages = Pages::new(reader);
    let first = pages.next()?.ok_or(OggError::Cut { offset: 0 })?;
    let mut map = OggMap {
        end: 0,
        setup_bytes: 0,
        last_granule: -1,
        last_page: 0,
        packet_pages: Vec::new(),
    };
    let mut packets = PacketCount::default();
    let mut page = first;
    let mut sequence = page.sequence;
    loop {
        if page.serial != first.serial || (page.is_first && page.offset != first.offset) {
            let offset = page.offset;
            return Err(OggError::SeveralStreams { offset });
        }
        if page.sequence != sequence {
            let offset = page.offset;
            return Err(OggError::Gap { offset });
        }
        sequence = sequence.wrapping_add(1);
        packets.take(&page, &pages.lacing, &mut map)?;
        if page.granule >= 0 {
            map.last_granule = page.granule;
        }
        map.last_page = page.offset;
        map.end = pages.offset;
        if page.is_last {
            return Ok(map);
        }
        let end = map.end;
        page = pages.next()?.ok_or(OggError::Cut { offset: end })?;
    }
}

#[derive(Default)]
struct PacketCount {
    complete: usize,
    open_since: Option<u64>,
}

impl PacketCount {
    fn take(&mut self, page: &Page, lacing: &[u8], map: &mut OggMap) -> Result<(), OggError> {
        let offset = page.offset;
        if page.is_continued != self.open_since.is_some() {
            return Err(OggError::Gap { offset });
        }
        for segment in lacing {
            let start = *self.open_since.get_or_insert(offset);
            if *segment == u8::MAX {
                continue;
            }
            self.open_since = None;
            self.complete += 1;
            if self.complete == VORBIS_HEADER_PACKETS {
                map.setup_bytes = offset + page.bytes;
            } else if self.complete > VORBIS_HEADER_PACKETS {
                map.packet_pages.push(start);
            }
        }
        let too_long = self.complete < VORBIS_HEADER_PACKETS && offset > HEADER_PACKETS_BYTES_MAX;
        if too_long || map.packet_pages.len() > PACKETS_MAX {
            return Err(OggError::Limit { offset });
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Page {
    offset: u64,
    bytes: u64,
    is_continued: bool,
    is_first: bool,
    is_last: bool,
    granule: i64,
    serial: u32,
    sequence: u32,
}

/// The pages of a file; the lacing and body of the latest are at hand.
struct Pages<R> {
    reader: R,
    offset: u64,
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl<R: Read> Pages<R> {
    const fn new(reader: R) -> Self {
        Self {
            reader,
            offset: 0,
            lacing: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The next page, or nothing at the exact end of the file.
    fn next(&mut self) -> Result<Option<Page>, OggError> {
        let offset = self.offset;
        let mut header = Vec::with_capacity(27);
        read_up_to(&mut self.reader, 27, &mut header)?;
        if header.is_empty() {
            return Ok(None);
        }
        let Ok(fixed) = <[u8; 27]>::try_from(header.as_slice()) else {
            return Err(OggError::Cut { offset });
        };
        let [b'O', b'g', b'g', b'S', 0, flags, rest @ ..] = fixed else {
            return Err(OggError::NoPage { offset });
        };
        let [granule, serial, sequence] = [0, 8, 12].map(|at| field(&rest, at));
        let stored = field(&rest, 16) as u32;
        let segments = usize::from(*rest.last().expect("the header has 27 bytes"));
        self.lacing.clear();
        read_up_to(&mut self.reader, segments, &mut self.lacing)?;
        let bytes: usize = self
            .lacing
            .iter()
            .map(|segment| usize::from(*segment))
            .sum();
        self.body.clear();
        read_up_to(&mut self.reader, bytes, &mut self.body)?;
        if self.lacing.len() != segments || self.body.len() != bytes {
            return Err(OggError::Cut { offset });
        }
        let checked = header.iter().enumerate().map(|(at, byte)| {
            // The checksum is taken with its own field as zero.
            if (22..26).contains(&at) { 0 } else { *byte }
        });
        let crc = checked.fold(0, crc_step);
        let crc = self.lacing.iter().copied().fold(crc, crc_step);
        let crc = self.body.iter().copied().fold(crc, crc_step);
        if crc != stored {
            return Err(OggError::Checksum { offset });
        }
        let length = (27 + segments + bytes) as u64;
        self.offset += length;
        Ok(Some(Page {
            offset,
            bytes: length,
            is_continued: flags & 1 != 0,
            is_first: flags & 2 != 0,
            is_last: flags & 4 != 0,
            granule: granule as i64,
            serial: serial as u32,
            sequence: sequence as u32,
        }))
    }
}

/// Eight little-endian bytes at `at`; what lies beyond the header is zero.
fn field(rest: &[u8; 21], at: usize) -> u64 {
    let bytes = rest.iter().skip(at).take(8).rev();
    bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn read_up_to(reader: &mut impl Read, bytes: usize, into: &mut Vec<u8>) -> io::Result<()> {
    reader.by_ref().take(bytes as u64).read_to_end(into)?;
    Ok(())
}

/// One byte of the checksum: polynomial 0x04c11db7, not reflected, from zero (RFC 3533).
fn crc_step(crc: u32, byte: u8) -> u32 {
    let index = ((crc >> 24) as u8 ^ byte) as usize;
    crc << 8 ^ CRC_TABLE.get(index).copied().expect("a byte is below 256")
}

static CRC_TABLE: [u32; 256] = crc_table();

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let high = crc >> 31;
            crc = (crc << 1) ^ (high * 0x04c1_1db7);
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// What is wrong with an Ogg file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OggError {
    #[error("could not be read: {0}")]
    Io(#[from] io::Error),
    #[error("the Ogg stream is cut off before its last page")]
    Cut { offset: u64 },
    #[error("no Ogg page where one must start")]
    NoPage { offset: u64 },
    #[error("an Ogg page is damaged (checksum)")]
    Checksum { offset: u64 },
    #[error("Ogg pages are missing (gap in the numbering)")]
    Gap { offset: u64 },
    #[error("several Ogg streams in one file; split it into single tracks")]
    SeveralStreams { offset: u64 },
    #[error("more Ogg headers or packets than any real track has")]
    Limit { offset: u64 },
}

impl OggError {
    /// Where it broke.
    pub(crate) const fn offset(&self) -> Option<u64> {
        match self {
            Self::Io(_) => None,
            Self::Cut { offset }
            | Self::NoPage { offset }
            | Self::Checksum { offset }
            | Self::Gap { offset }
            | Self::SeveralStreams { offset }
            | Self::Limit { offset } => Some(*offset),
        }
    }
}
