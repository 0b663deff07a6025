//! A source file decoded completely, or a reason why that cannot be done.
//!
//! Every way a file can be shorter than it says it is a refusal: a missing last page, fewer
//! samples than stated, a wrong checksum. Not here: what becomes of the samples.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use antiphon_protocol::MediaTime;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_FLAC, CODEC_ID_VORBIS};
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions,
};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::ingest::mixdown::Mixdown;
use crate::ingest::ogg::{self, OggMap};
use crate::ingest::refusal::{Place, Refusal};
use crate::ingest::sniff::{Container, SNIFF_BYTES, mpeg_frame};
use crate::ingest::source::Bounded;

/// Longest track: four hours, which the protocol's largest rendition is made for.
const SECONDS_MAX: u64 = 4 * 3600;

/// Most samples a channel in one MPEG audio frame.
const MPEG_FRAME_SAMPLES: u64 = 1_152;

/// What is known of a source before it is decoded as a whole.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) container: Container,
    /// Where its music ends in the file.
    pub(crate) end: u64,
    pub(crate) is_lossless: bool,
    pub(crate) is_vorbis: bool,
    pub(crate) sample_rate: u32,
    pub(crate) channels: usize,
    /// Mean rate of the coded audio, without tags, in bits a second; zero when unknown.
    pub(crate) bit_rate: u64,
    /// Samples a channel that the file itself promises.
    pub(crate) promised_frames: Option<u64>,
    /// The pages, if it is an Ogg file.
    pub(crate) ogg: Option<OggMap>,
}

impl Source {
    /// Reads the file's structure and codes, without decoding more than its start.
    pub(crate) fn survey(path: &Path, container: Container) -> Result<Self, Refusal> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let ogg = match container {
            Container::Ogg => Some(ogg::map(BufReader::new(file))?),
            _ => None,
        };
        let end = ogg.as_ref().map_or(length, |map| map.end);
        let mut input = Input::open(path, container, end)?;
        let promised_frames = match container {
            Container::Flac | Container::Wav => input.track.num_frames,
            Container::Mpeg => mpeg_promise(path, input.track.num_frames)?,
            Container::Ogg | Container::Mp4 | Container::Adts => None,
        };
        let codec = input.codec;
        let mut source = Self {
            container,
            end,
            is_lossless: codec == CODEC_ID_FLAC || container == Container::Wav,
            is_vorbis: codec == CODEC_ID_VORBIS,
            sample_rate: 0,
            channels: 0,
            bit_rate: 0,
            promised_frames,
            ogg,
        };
        source.read_packets(&mut input)?;
        source.check_limits()?;
        Ok(source)
    }

    fn read_packets(&mut self, input: &mut Input) -> Result<(), Refusal> {
        let (mut bytes, mut ticks) = (0_u64, 0_u64);
        while let Some(packet) = input.next_packet()? {
            if self.sample_rate == 0
                && let Ok(decoded) = input.decoder.decode(&packet)
            {
                self.sample_rate = decoded.spec().rate();
                self.channels = decoded.spec().channels().count();
                if self.is_lossless {
                    return Ok(());
                }
            }
            bytes = bytes.saturating_add(packet.data.len() as u64);
            ticks = ticks.saturating_add(packet.dur.get());
        }
        if self.sample_rate == 0 {
            return Err(Refusal::whole("holds no audio that decodes"));
        }
        let base = input.track.time_base.unwrap_or_default();
        let bits = u128::from(bytes) * 8 * u128::from(base.denom.get());
        let time = u128::from(ticks) * u128::from(base.numer.get());
        self.bit_rate = u64::try_from(bits / time.max(1)).unwrap_or(u64::MAX);
        Ok(())
    }

    fn check_limits(&self) -> Result<(), Refusal> {
        let (rate, channels) = (self.sample_rate, self.channels);
        if !(8_000..=192_000).contains(&rate) {
            let reason = format!("{rate} samples a second; 8,000 to 192,000 are supported");
            return Err(Refusal::whole(reason));
        }
        if !(1..=8).contains(&channels) {
            let reason = format!("{channels} channels; one to eight are supported");
            return Err(Refusal::whole(reason));
        }
        Ok(())
    }

    /// Decodes the whole file and hands the samples on in blocks: one plane a channel, at most
    /// two channels. Gives back how many samples a channel there were.
    pub(crate) fn decode(
        &self,
        path: &Path,
        mut take: impl FnMut(&[Vec<f32>], Progress) -> Result<(), Refusal>,
    ) -> Result<u64, Refusal> {
        let mut input = Input::open(path, self.container, self.end)?;
        let mut frames = 0_u64;
        let mut planes = Vec::new();
        let mut mixdown = None;
        // Behind the music of an MPEG file there may be anything, also what looks like a frame.
        let mut broken: Option<Refusal> = None;
        while let Some(packet) = input
            .next_packet()
            .map_err(|refusal| self.placed(refusal, frames))?
        {
            let decoded = match self.decode_packet(&mut input, &packet, &mut mixdown, &mut planes) {
                Ok(decoded) => decoded,
                Err(reason) if self.container == Container::Mpeg => {
                    broken.get_or_insert(self.refused_at(frames, reason));
                    continue;
                }
                Err(reason) => return Err(self.refused_at(frames, reason)),
            };
            if let Some(refusal) = broken {
                return Err(refusal);
            }
            frames += decoded as u64;
            if frames > SECONDS_MAX * u64::from(self.sample_rate) {
                return Err(self.refused_at(frames, "longer than four hours"));
            }
            if decoded > 0 {
                let bytes = packet.data.len() as u64;
                take(&planes, Progress { bytes, frames })?;
            }
        }
        if input.decoder.finalize().verify_ok == Some(false) {
            let reason = "the decoded audio does not match the checksum stored in the file";
            return Err(Refusal::whole(reason));
        }
        self.check_length(frames)?;
        Ok(frames)
    }

    fn decode_packet(
        &self,
        input: &mut Input,
        packet: &Packet,
        mixdown: &mut Option<Mixdown>,
        planes: &mut Vec<Vec<f32>>,
    ) -> Result<usize, String> {
        let decoded = input
            .decoder
            .decode(packet)
            .map_err(|error| format!("does not decode ({error})"))?;
        let spec = decoded.spec();
        if (spec.rate(), spec.channels().count()) != (self.sample_rate, self.channels) {
            return Err("sample rate or channels change".to_owned());
        }
        let mixdown = mixdown.get_or_insert_with(|| Mixdown::new(spec.channels()));
        decoded.copy_to_vecs_planar(planes);
        mixdown.apply(planes);
        let finite = planes.iter().flatten().all(|sample| sample.is_finite());
        if !finite {
            return Err("a sample is not a number".to_owned());
        }
        Ok(decoded.frames())
    }

    fn check_length(&self, frames: u64) -> Result<(), Refusal> {
        if frames == 0 {
            return Err(Refusal::whole("holds no audio"));
        }
        match self.promised_frames {
            Some(promised) if frames < promised => {
                let reason = format!("cut off: {promised} samples are stated, {frames} are there");
                Err(self.refused_at(frames, reason))
            }
            _ => Ok(()),
        }
    }

    fn refused_at(&self, frames: u64, reason: impl Into<String>) -> Refusal {
        let micros = u128::from(frames) * 1_000_000 / u128::from(self.sample_rate.max(1));
        let time = MediaTime(u64::try_from(micros).unwrap_or(u64::MAX));
        Refusal::at(Place::Time(time), reason)
    }

    fn placed(&self, refusal: Refusal, frames: u64) -> Refusal {
        match refusal.place {
            Place::Whole => self.refused_at(frames, refusal.reason),
            _ => refusal,
        }
    }
}

/// How far the decoding of one block brought us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Coded bytes of this block.
    pub(crate) bytes: u64,
    /// Samples a channel since the start.
    pub(crate) frames: u64,
}

/// An open file: demultiplexer and decoder of its one audio track.
pub(crate) struct Input {
    format: Box<dyn FormatReader>,
    pub(crate) decoder: Box<dyn AudioDecoder>,
    track: Track,
    codec: AudioCodecId,
}

impl Input {
    pub(crate) fn open(path: &Path, container: Container, end: u64) -> Result<Self, Refusal> {
        let file = Bounded::new(File::open(path)?, end);
        let stream = MediaSourceStream::new(Box::new(file), Default::default());
        let mut hint = Hint::new();
        hint.with_extension(match container {
            Container::Ogg => "ogg",
            Container::Flac => "flac",
            Container::Wav => "wav",
            Container::Mpeg => "mp3",
            Container::Mp4 => "m4a",
            Container::Adts => "aac",
        });
        let options = (FormatOptions::default(), MetadataOptions::default());
        let format = symphonia::default::get_probe()
            .probe(&hint, stream, options.0, options.1)
            .map_err(|error| match error {
                Error::IoError(_) => Refusal::whole("ends before its audio begins"),
                error => Refusal::whole(format!("is no audio that can be read ({error})")),
            })?;
        if format.default_track(TrackType::Video).is_some() {
            return Err(Refusal::whole("holds video; only music is ingested"));
        }
        let track = format.default_track(TrackType::Audio).cloned();
        let track = track.ok_or_else(|| Refusal::whole("holds no audio of a supported kind"))?;
        let params: AudioCodecParameters = track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio())
            .cloned()
            .ok_or_else(|| Refusal::whole("does not say how its audio is coded"))?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(&params, &AudioDecoderOptions::default().verify(true))
            .map_err(|error| Refusal::whole(format!("is coded in an unsupported way ({error})")))?;
        Ok(Self {
            format,
            decoder,
            track,
            codec: params.codec,
        })
    }

    /// The next packet of the audio track, or nothing at the proper end.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, Refusal> {
        loop {
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track.id => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(Error::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(Refusal::whole("cut off: the file ends before its music"));
                }
                Err(Error::ResetRequired) => {
                    let reason = "several streams in one file; split it into single tracks";
                    return Err(Refusal::whole(reason));
                }
                Err(error) => return Err(Refusal::whole(format!("is damaged ({error})"))),
            }
        }
    }
}

/// The samples an MPEG file promises in its Xing or VBRI tag. Without one there is no promise:
/// `decoder_count` is then only an estimate.
fn mpeg_promise(path: &Path, decoder_count: Option<u64>) -> Result<Option<u64>, Refusal> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut id3 = Vec::new();
    file.by_ref().take(10).read_to_end(&mut id3)?;
    let start = match id3.as_slice() {
        [b'I', b'D', b'3', _, _, _, size @ ..] => {
            let digits = size.iter().map(|byte| u64::from(byte & 0x7f));
            digits.fold(0, |sum, digit| sum << 7 | digit) + 10
        }
        _ => 0,
    };
    file.seek(SeekFrom::Start(start))?;
    let mut head = Vec::new();
    file.take(SNIFF_BYTES as u64).read_to_end(&mut head)?;
    let mut rest = head.as_slice();
    while !rest.is_empty() && mpeg_frame(rest).is_none() {
        rest = rest.split_at(1).1;
    }
    let bytes = mpeg_frame(rest).unwrap_or(0);
    let frame = rest.get(..bytes.min(rest.len())).unwrap_or(rest);
    // The tag is at most 36 bytes behind the frame's header and side information.
    let mut fours = frame.windows(4).take(48);
    let tagged = fours.position(|four| matches!(four, b"Xing" | b"Info" | b"VBRI"));
    let tag = tagged.and_then(|at| frame.get(at..)).unwrap_or(&[]);
    let skipped = head.len() - rest.len();
    let there = length.saturating_sub(start + skipped as u64);
    Ok(decoder_count.and_then(|count| promised(tag, count, there)))
}

/// What the tag promises when the decoder's count rests on it and `there` bytes follow.
fn promised(tag: &[u8], count: u64, there: u64) -> Option<u64> {
    const FRAMES: u8 = 1;
    const BYTES: u8 = 2;
    if tag.starts_with(b"VBRI") {
        return Some(count);
    }
    let flags = *tag.get(7)?;
    if flags & FRAMES == 0 {
        return None;
    }
    let bytes = tag.get(12..16).filter(|_| flags & BYTES != 0);
    let bytes = bytes.map(|bytes| {
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    });
    // Some encoders count the tag's own frame. If all bytes are there, one frame is no loss.
    let is_whole = bytes.is_some_and(|bytes| bytes > 0 && there >= bytes);
    Some(count.saturating_sub(if is_whole { MPEG_FRAME_SAMPLES } else { 0 }))
}
