//! Just enough of the Ogg page layout (RFC 3533) to seek: where the setup pages end, and whether
//! a page starts at an offset. Not a demuxer; checksums and packets are the demuxer's business.

use std::io;

use crate::media::SharedSource;

/// Length of a page header without its segment table (RFC 3533, section 6).
const HEADER_BYTES: usize = 27;
/// Identification, comment and setup (Vorbis I specification, section 4.2).
const SETUP_PACKETS: usize = 3;
/// Setup pages larger than this are not kept, and a seek then decodes from the start. A megabyte
/// holds a cover picture in the comments; guess.
const SETUP_BYTES_MAX: usize = 1024 * 1024;
/// The longest stretch searched for a page: one page of the largest size (RFC 3533).
const SYNC_BYTES_MAX: u64 = 65_307;

/// The fields of a page header that seeking needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageStart {
    pub(crate) is_last: bool,
    pub(crate) serial: u32,
    segments: u8,
}

impl PageStart {
    fn parse(header: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = header.get(..HEADER_BYTES)?.try_into().ok()?;
        let [b'O', b'g', b'g', b'S', 0, flags, ..] = *header else {
            return None;
        };
        let serial = u32::from_le_bytes([header[14], header[15], header[16], header[17]]);
        let segments = header[26];
        Some(Self {
            is_last: flags & 4 != 0,
            serial,
            segments,
        })
    }
}

/// The page that starts exactly at `offset`, if one does.
pub(crate) fn page_at(source: &SharedSource, offset: u64) -> io::Result<Option<PageStart>> {
    let mut header = [0; HEADER_BYTES];
    let count = source.read_full_at(offset, &mut header)?;
    Ok(header.get(..count).and_then(PageStart::parse))
}

/// The offset of the first page of stream `serial` at or after `offset`, within one page's reach.
pub(crate) fn next_page(
    source: &SharedSource,
    offset: u64,
    serial: u32,
) -> io::Result<Option<(u64, PageStart)>> {
    let mut window = Vec::new();
    let mut block = [0; 1024];
    let mut searched = 0;
    while (window.len() as u64) < SYNC_BYTES_MAX {
        let count = source.read_at(offset.saturating_add(window.len() as u64), &mut block)?;
        if count == 0 {
            break;
        }
        window.extend_from_slice(block.get(..count).unwrap_or_default());
        while let Some(candidate) = window.get(searched..).filter(|w| w.len() >= HEADER_BYTES) {
            if let Some(page) = PageStart::parse(candidate).filter(|p| p.serial == serial) {
                return Ok(Some((offset.saturating_add(searched as u64), page)));
            }
            searched += 1;
        }
    }
    Ok(None)
}

/// The setup pages, from the start of the file up to the first audio page; nothing if the file
/// does not start with sound setup pages of a size worth keeping.
pub(crate) fn read_setup(source: &SharedSource) -> io::Result<Option<Vec<u8>>> {
    let mut setup = Vec::new();
    let mut packets = 0;
    while packets < SETUP_PACKETS {
        let start = setup.len();
        if !append(source, &mut setup, HEADER_BYTES)? {
            return Ok(None);
        }
        let Some(page) = setup.get(start..).and_then(PageStart::parse) else {
            return Ok(None);
        };
        let table_start = setup.len();
        if !append(source, &mut setup, usize::from(page.segments))? {
            return Ok(None);
        }
        let table = setup.get(table_start..).unwrap_or_default();
        packets += table.iter().filter(|lacing| **lacing < 255).count();
        let body = table.iter().map(|lacing| usize::from(*lacing)).sum();
        if !append(source, &mut setup, body)? {
            return Ok(None);
        }
    }
    Ok(Some(setup))
}

fn append(source: &SharedSource, to: &mut Vec<u8>, count: usize) -> io::Result<bool> {
    let start = to.len();
    if start + count > SETUP_BYTES_MAX {
        return Ok(false);
    }
    to.resize(start + count, 0);
    let rest = to.get_mut(start..).unwrap_or_default();
    Ok(source.read_full_at(start as u64, rest)? == count)
}
