//! What the player plays: a seekable stream of Ogg Vorbis bytes and what is known about it.
//!
//! For the contract between the player and whoever delivers the bytes. Not for how they are
//! delivered: the player neither knows nor asks whether a network is behind a read.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

/// Names one play of one track. Chosen by the caller, returned in every event about that play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlayId(pub u64);

impl std::fmt::Display for PlayId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "play {}", self.0)
    }
}

/// Wakes a read that is blocked inside a source, so that it returns
/// [`io::ErrorKind::Interrupted`]. Calling it when nothing is blocked must be harmless; whether
/// the next read is then interrupted or not does not matter.
pub type Interrupter = Arc<dyn Fn() + Send + Sync>;

/// Decrypted Ogg Vorbis bytes of one track.
///
/// `read` may block until bytes arrive, and should return the bytes it has rather than wait for
/// a full buffer: the player asks for up to 4 KiB at a time and starts with what it gets. `seek`
/// must not block. `Interrupted` means "look whether somebody wants something else", and is
/// retried; every other error ends the track.
pub trait TrackSource: Read + Seek + Send {
    /// Length in bytes of the whole file, known before the bytes are.
    fn byte_len(&self) -> u64;

    /// How to wake a blocked read. Without one, a seek waits until the blocked read returns; a
    /// skip never waits, but leaves a thread behind until then.
    fn interrupter(&self) -> Option<Interrupter> {
        None
    }
}

/// What the player needs to know about a track beyond its bytes. Nothing here is trusted: wrong
/// values give wrong loudness, a wrong end or a slow seek, never a crash.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackSpec {
    /// For people.
    pub title: String,
    /// Loudness correction, in hundredths of a decibel.
    pub track_gain_millibel: i32,
    /// Highest true peak, linear, 1.0 being full scale. Unknown: the track is never amplified.
    pub peak: Option<f32>,
    /// Samples a channel, exactly. Not one more comes out.
    pub frames: Option<u64>,
    /// What the sample rate is expected to be; the stream's own header decides.
    pub sample_rate_hint: Option<u32>,
    /// How many channels are expected; the stream's own header decides.
    pub channels_hint: Option<u16>,
    /// For each whole second the offset of an Ogg page from which decoding reaches that second.
    /// Empty: a seek searches.
    pub seek_table: Vec<u64>,
}

impl TrackSpec {
    /// How long the track plays, when both its length and its rate are known.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let rate = self.sample_rate_hint.filter(|rate| *rate > 0)?;
        Some(frames_to_duration(self.frames?, rate))
    }
}

/// Rate and channel count of interleaved audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioFormat {
    /// Frames a second.
    pub rate: u32,
    /// Samples a frame.
    pub channels: u16,
}

impl std::fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} Hz, {} channels", self.rate, self.channels)
    }
}

/// A track whose bytes are all at hand: a file, or a buffer in memory.
#[derive(Debug)]
pub struct WholeSource<R> {
    inner: R,
    byte_len: u64,
}

impl<R: Read + Seek + Send> WholeSource<R> {
    /// Finds the length by seeking to the end and back.
    pub fn new(mut inner: R) -> io::Result<Self> {
        let byte_len = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        Ok(Self { inner, byte_len })
    }
}

impl<R: Read> Read for WholeSource<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buf)
    }
}

impl<R: Seek> Seek for WholeSource<R> {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.inner.seek(pos)
    }
}

impl<R: Read + Seek + Send> TrackSource for WholeSource<R> {
    fn byte_len(&self) -> u64 {
        self.byte_len
    }
}

/// The time `frames` take at `rate`; a rate of zero takes none.
pub(crate) fn frames_to_duration(frames: u64, rate: u32) -> Duration {
    let nanos = u128::from(frames) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The frames that fit in `time` at `rate`.
pub(crate) fn duration_to_frames(time: Duration, rate: u32) -> u64 {
    u64::try_from(time.as_nanos() * u128::from(rate) / 1_000_000_000).unwrap_or(u64::MAX)
}
