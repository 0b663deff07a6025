//! A finished Ogg Vorbis file read as a node will read it: where its setup ends, how many samples
//! it really has, and from which page each second can be reached.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::ingest::decode::Input;
use crate::ingest::ogg;
use crate::ingest::refusal::Refusal;
use crate::ingest::sniff::Container;

/// What a rendition's manifest entry says of the file.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) size: u64,
    pub(crate) setup_bytes: u32,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u8,
    pub(crate) frames: u64,
    pub(crate) seek_table: Vec<u32>,
}

/// Reads and decodes all of the file.
pub(crate) fn survey(path: &Path) -> Result<Survey, Refusal> {
    let map = ogg::map(BufReader::new(File::open(path)?))?;
    let mut input = Input::open(path, Container::Ogg, map.end)?;
    let mut survey = Survey {
        size: map.end,
        setup_bytes: u32::try_from(map.setup_bytes).map_err(|_| too_large())?,
        sample_rate: 0,
        channels: 0,
        frames: 0,
        seek_table: Vec::new(),
    };
    let mut pages = map.packet_pages.iter();
    // The last page's position is that of a cut, not of its last block: a decoder that starts
    // there cannot tell where it is. The page before says so.
    let before_last = map.packet_pages.iter().rev();
    let mut before_last = before_last.filter(|page| **page < map.last_page);
    let before_last = *before_last.next().unwrap_or(&map.last_page);
    // A block sounds only together with the one before it.
    let mut before: Option<u32> = None;
    let mut next_second = 0_u64;
    while let Some(packet) = input.next_packet()? {
        let page = pages.next().ok_or_else(disagreement)?;
        let page = u32::try_from(*page.min(&before_last)).map_err(|_| too_large())?;
        let decoded = input
            .decoder
            .decode(&packet)
            .map_err(|error| Refusal::whole(format!("the rendition does not decode ({error})")))?;
        survey.sample_rate = decoded.spec().rate();
        survey.channels = u8::try_from(decoded.spec().channels().count()).unwrap_or(0);
        survey.frames += decoded.frames() as u64;
        while next_second < survey.frames {
            survey.seek_table.push(before.unwrap_or(page));
            next_second += u64::from(survey.sample_rate.max(1));
        }
        before = Some(page);
    }
    let stated = u64::try_from(map.last_granule).unwrap_or(0);
    if pages.next().is_some() || survey.frames == 0 || survey.frames != stated {
        return Err(disagreement());
    }
    Ok(survey)
}

fn disagreement() -> Refusal {
    Refusal::whole("the rendition's pages and its audio do not agree")
}

fn too_large() -> Refusal {
    Refusal::whole("the rendition is too large")
}
