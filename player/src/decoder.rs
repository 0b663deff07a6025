//! Turns the bytes of one track into sample-exact audio, and seeks in it.
//!
//! Position and end come from the granule positions in the file, so the first frame out is frame
//! zero and the last is the one the encoder meant. Not for threads, gain or rates.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::packet::Packet;
use symphonia::default::codecs::VorbisDecoder;
use symphonia::default::formats::OggReader;

use crate::media::{ForwardStream, ReadGivenUp, SharedSource};
use crate::ogg_page::{next_page, page_at, read_setup};
use crate::source::{AudioFormat, TrackSource, TrackSpec};

/// Rates a track may have: what Vorbis encoders support and sound cards take.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;
/// Channels a track may have: the layouts the Vorbis specification names.
const CHANNELS_MAX: usize = 8;
/// Packets that may be damaged before a track is given up. Each is replaced by silence; guess.
const DAMAGED_PACKETS_MAX: u32 = 32;
/// How far before the target a search without a table lands, in seconds, nearest first. Guess.
const SEARCH_BACK_SECONDS: [u64; 3] = [2, 10, 40];

/// Decodes one track from front to back, with seeks.
pub struct TrackDecoder {
    source: SharedSource,
    reader: OggReader<'static>,
    decoder: VorbisDecoder,
    stream_serial: u32,
    format: AudioFormat,
    /// Timestamp of the first frame, for streams that do not start at zero.
    origin: i64,
    /// The frame that comes out next, once known.
    cursor: Option<i64>,
    /// Frames before this one are dropped: the target of the last seek.
    wanted_from: i64,
    frames: Option<u64>,
    seek_table: Vec<u64>,
    setup: Option<Arc<[u8]>>,
    /// Where decoding took up after the last reopening.
    landed_at: i64,
    /// Audio decoded to find that out.
    carry: Option<(u64, Vec<f32>)>,
    damaged_packets: u32,
    ended: bool,
    /// A read was given up in the middle of a page, so the demuxer lost its place.
    lost: bool,
}

impl TrackDecoder {
    /// Reads the codec's setup and the first audio page, and nothing behind it.
    pub fn open(source: Box<dyn TrackSource>, spec: &TrackSpec) -> Result<Self, DecodeError> {
        Self::open_shared(
            SharedSource::new(source, Arc::new(AtomicBool::new(false))),
            spec,
        )
    }

    pub(crate) fn open_shared(source: SharedSource, spec: &TrackSpec) -> Result<Self, DecodeError> {
        if source.byte_len() == 0 {
            return Err(DecodeError::Empty);
        }
        let reader = open_reader(&source, Arc::from([]), 0)?;
        let track = reader
            .first_track(TrackType::Audio)
            .ok_or(DecodeError::NotVorbis {
                reason: "there is no audio stream in it",
            })?;
        let delay = i64::from(track.delay.unwrap_or(0));
        let origin = track.start_ts.get().saturating_add(delay).max(0);
        let stream_serial = track.id;
        let params = track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio())
            .ok_or(DecodeError::NotVorbis {
                reason: "its first stream is not audio",
            })?;
        let format = AudioFormat {
            rate: params.sample_rate.unwrap_or(0),
            channels: params
                .channels
                .as_ref()
                .map_or(0, |channels| channels.count() as u16),
        };
        if !RATES.contains(&format.rate)
            || !(1..=CHANNELS_MAX).contains(&usize::from(format.channels))
        {
            return Err(DecodeError::UnsupportedFormat { format });
        }
        let decoder =
            VorbisDecoder::try_new(params, &AudioDecoderOptions::default()).map_err(open_error)?;
        Ok(Self {
            source,
            reader,
            decoder,
            stream_serial,
            format,
            origin,
            cursor: None,
            wanted_from: 0,
            frames: spec.frames,
            seek_table: spec.seek_table.clone(),
            setup: None,
            landed_at: 0,
            carry: None,
            damaged_packets: 0,
            ended: false,
            lost: false,
        })
    }

    /// Rate and channels of what comes out.
    #[must_use]
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Appends the next stretch of interleaved samples to `out` and returns the number of its
    /// first frame; nothing at the end of the track.
    pub fn next_block(&mut self, out: &mut Vec<f32>) -> Result<Option<u64>, DecodeError> {
        if let Some((first, block)) = self.carry.take() {
            out.extend_from_slice(&block);
            return Ok(Some(first));
        }
        loop {
            if self.ended || self.is_past_last_frame() {
                self.ended = true;
                return Ok(None);
            }
            let packet = match self.reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    self.ended = true;
                    return Ok(None);
                }
                Err(error) => return Err(self.read_error(error)),
            };
            if packet.track_id != self.stream_serial {
                continue;
            }
            if let Some(first) = self.decode_packet(&packet, out)? {
                return Ok(Some(first));
            }
        }
    }

    /// Makes `target` the next frame to come out; at or behind the end, nothing comes out.
    pub fn seek(&mut self, target: u64) -> Result<(), DecodeError> {
        let target = i64::try_from(target).unwrap_or(i64::MAX);
        self.carry = None;
        if self.frames.is_some_and(|frames| target as u64 >= frames) {
            self.ended = true;
            return Ok(());
        }
        let near = i64::from(self.format.rate);
        let ahead = self.cursor.map(|cursor| target.saturating_sub(cursor));
        if !self.ended && !self.lost && ahead.is_some_and(|ahead| (0..near).contains(&ahead)) {
            self.wanted_from = target;
            return Ok(());
        }
        // Whatever fails below, the demuxer's place is lost until a reopening succeeds.
        self.lost = true;
        for offset in self.landing_offsets(target as u64)? {
            if self.land(offset, target)? {
                return Ok(());
            }
        }
        self.reopen(Arc::from([]), 0)?;
        self.wanted_from = target;
        Ok(())
    }

    fn decode_packet(
        &mut self,
        packet: &Packet,
        out: &mut Vec<f32>,
    ) -> Result<Option<u64>, DecodeError> {
        let channels = usize::from(self.format.channels);
        let mut block = Vec::new();
        match self.decoder.decode(packet) {
            Ok(audio) => {
                if audio.spec().channels().count() != channels {
                    return Err(DecodeError::NotVorbis {
                        reason: "its channels change midway",
                    });
                }
                audio.copy_to_vec_interleaved(&mut block);
            }
            Err(_) => self.conceal(packet, &mut block)?,
        }
        let count = (block.len() / channels) as i64;
        if count == 0 {
            return Ok(None);
        }
        let trim = i64::try_from(packet.trim_start.get()).unwrap_or(0);
        let stamp = packet
            .pts
            .get()
            .saturating_add(trim)
            .saturating_sub(self.origin);
        if self.cursor.is_none() {
            self.landed_at = stamp;
        }
        let first = self.cursor.unwrap_or(stamp);
        let end = first.saturating_add(count);
        self.cursor = Some(end);
        let keep_from = first.max(self.wanted_from).max(0);
        let last = self
            .frames
            .map_or(i64::MAX, |frames| i64::try_from(frames).unwrap_or(i64::MAX));
        let keep_to = end.min(last);
        if keep_from >= keep_to {
            return Ok(None);
        }
        let from = (keep_from - first) as usize * channels;
        let to = (keep_to - first) as usize * channels;
        out.extend_from_slice(block.get(from..to).unwrap_or_default());
        Ok(Some(keep_from as u64))
    }

    /// Replaces a damaged packet by as much silence, so that what follows stays in its place.
    fn conceal(&mut self, packet: &Packet, block: &mut Vec<f32>) -> Result<(), DecodeError> {
        self.damaged_packets += 1;
        if self.damaged_packets > DAMAGED_PACKETS_MAX {
            return Err(DecodeError::Damaged {
                packets: self.damaged_packets,
                frame: self.cursor.unwrap_or(0).max(0) as u64,
            });
        }
        // The largest Vorbis block is 8192 samples, of which at most half are new.
        let frames = usize::try_from(packet.dur.get()).unwrap_or(0).min(4096);
        block.resize(frames * usize::from(self.format.channels), 0.0);
        Ok(())
    }

    fn is_past_last_frame(&self) -> bool {
        match (self.cursor, self.frames) {
            (Some(cursor), Some(frames)) => u64::try_from(cursor).is_ok_and(|at| at >= frames),
            _ => false,
        }
    }

    /// Where to try to land before `target`, best first. Empty: only the start will do.
    fn landing_offsets(&self, target: u64) -> Result<Vec<u64>, DecodeError> {
        let rate = u64::from(self.format.rate);
        let second = usize::try_from(target / rate).unwrap_or(usize::MAX);
        if !self.seek_table.is_empty() {
            let last = self.seek_table.len() - 1;
            let entry = second.min(last);
            let mut offsets: Vec<u64> = [0, 1, 3, 10]
                .iter()
                .filter_map(|back| self.seek_table.get(entry.saturating_sub(*back)).copied())
                .collect();
            offsets.dedup();
            return Ok(offsets);
        }
        let Some(frames) = self.frames.filter(|frames| *frames > 0) else {
            return Ok(Vec::new());
        };
        let mut offsets = Vec::new();
        for back in SEARCH_BACK_SECONDS {
            let near = target.saturating_sub(back * rate);
            let share = u128::from(self.source.byte_len()) * u128::from(near) / u128::from(frames);
            let guess = u64::try_from(share).unwrap_or(0);
            if near == 0 {
                break;
            }
            let found = next_page(&self.source, guess, self.stream_serial);
            if let Some((offset, _)) = found.map_err(read_failure)? {
                offsets.push(offset);
            }
        }
        Ok(offsets)
    }

    /// Reopens at `offset` if a usable page is there and it lies before `target`.
    fn land(&mut self, offset: u64, target: i64) -> Result<bool, DecodeError> {
        // The last page alone does not tell its own start: its granule is cut to the true end.
        let page = page_at(&self.source, offset).map_err(read_failure)?;
        let usable = page.is_some_and(|page| page.serial == self.stream_serial && !page.is_last);
        if !usable {
            return Ok(false);
        }
        let Some(setup) = self.setup()? else {
            return Ok(false);
        };
        if offset < setup.len() as u64 {
            return Ok(false);
        }
        self.reopen(setup, offset)?;
        self.wanted_from = target;
        let mut block = Vec::new();
        // The first packet after a reset only primes the overlap; the next one tells the place.
        while self.cursor.is_none() {
            let packet = match self.reader.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(false),
                Err(SymphoniaError::IoError(error)) if is_end(&error) => return Ok(false),
                Err(error) => return Err(self.read_error(error)),
            };
            if packet.track_id == self.stream_serial
                && let Some(first) = self.decode_packet(&packet, &mut block)?
            {
                self.carry = Some((first, std::mem::take(&mut block)));
            }
        }
        Ok(self.landed_at <= target)
    }

    fn reopen(&mut self, setup: Arc<[u8]>, offset: u64) -> Result<(), DecodeError> {
        self.lost = true;
        self.reader = open_reader(&self.source, setup, offset)?;
        self.decoder.reset();
        self.cursor = None;
        self.carry = None;
        self.ended = false;
        self.lost = false;
        Ok(())
    }

    fn setup(&mut self) -> Result<Option<Arc<[u8]>>, DecodeError> {
        if self.setup.is_none() {
            let setup = read_setup(&self.source).map_err(read_failure)?;
            self.setup = setup.map(Arc::from);
        }
        Ok(self.setup.clone())
    }

    fn read_error(&mut self, error: SymphoniaError) -> DecodeError {
        let frame = self.cursor.unwrap_or(0).max(0) as u64;
        match error {
            SymphoniaError::IoError(error) if is_end(&error) => DecodeError::Truncated { frame },
            SymphoniaError::IoError(error) => {
                self.lost = true;
                read_failure(error)
            }
            SymphoniaError::ResetRequired => DecodeError::NotVorbis {
                reason: "a second stream is chained behind the first",
            },
            other => open_error(other),
        }
    }
}

fn open_reader(
    source: &SharedSource,
    setup: Arc<[u8]>,
    offset: u64,
) -> Result<OggReader<'static>, DecodeError> {
    let stream = ForwardStream::new(source.clone(), setup, offset);
    let stream = MediaSourceStream::new(Box::new(stream), MediaSourceStreamOptions::default());
    OggReader::try_new(stream, FormatOptions::default()).map_err(open_error)
}

fn open_error(error: SymphoniaError) -> DecodeError {
    match error {
        SymphoniaError::IoError(error) if is_end(&error) => DecodeError::NotVorbis {
            reason: "it ends before any audio",
        },
        SymphoniaError::IoError(error) => read_failure(error),
        SymphoniaError::DecodeError(reason)
        | SymphoniaError::Unsupported(reason)
        | SymphoniaError::LimitError(reason) => DecodeError::NotVorbis { reason },
        _ => DecodeError::NotVorbis {
            reason: "its pages make no sense",
        },
    }
}

fn is_end(error: &io::Error) -> bool {
    // The demuxer makes this error without an inner one; a source's own may carry one.
    error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none()
}

fn read_failure(error: io::Error) -> DecodeError {
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<ReadGivenUp>())
    {
        return DecodeError::GivenUp;
    }
    DecodeError::Unavailable {
        reason: error.to_string(),
    }
}

/// Why a track cannot be decoded, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// There are no bytes.
    #[error("the track is empty; fetch it again")]
    Empty,
    /// The bytes are something else, or damaged at the start.
    #[error("the track is not playable Ogg Vorbis: {reason}")]
    NotVorbis {
        /// What is wrong with them.
        reason: &'static str,
    },
    /// Vorbis, but nothing this player can put out.
    #[error("the track has an unsupported format ({format}); 8 to 192 kHz and 1 to 8 channels are")]
    UnsupportedFormat {
        /// What its header says.
        format: AudioFormat,
    },
    /// The file stops in the middle.
    #[error("the track breaks off after frame {frame}; fetch it again")]
    Truncated {
        /// The first frame that is missing.
        frame: u64,
    },
    /// Too much of it cannot be decoded.
    #[error("the track is damaged: {packets} packets could not be decoded up to frame {frame}")]
    Damaged {
        /// How many packets could not be decoded.
        packets: u32,
        /// Where decoding was given up.
        frame: u64,
    },
    /// The source could not deliver.
    #[error("the track's audio could not be read: {reason}")]
    Unavailable {
        /// What the source said.
        reason: String,
    },
    /// Somebody wanted something else meanwhile.
    #[error("reading was given up because something else is wanted")]
    GivenUp,
}
