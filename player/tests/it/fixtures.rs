//! Tracks made on the spot, and sources that misbehave on demand.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use antiphon_player::{
    DecodedTrack, Event, Events, Interrupter, MemorySink, PlayId, Player, PlayerConfig, Tape,
    Track, TrackSource, TrackSpec, WholeSource, decode_all,
};
use vorbis_rs::{VorbisBitrateManagementStrategy, VorbisEncoderBuilder};

/// Far longer than anything here takes, so that only a defect runs into it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// `frames` frames of tones that differ by `seed`, as Ogg Vorbis. Every seed but 0 adds noise, so
/// that the file takes about as many bytes as music and has as many pages.
pub fn ogg(seed: u32, rate: u32, channels: u8, frames: usize) -> Vec<u8> {
    let planes: Vec<Vec<f32>> = (0..channels)
        .map(|channel| {
            let pitch = 220.0 + 55.0 * (seed as f32) + 30.0 * f32::from(channel);
            let mut state = seed.wrapping_mul(0x9E37_79B9) | 1;
            let noise = if seed == 0 { 0.0 } else { 0.1 };
            (0..frames)
                .map(|i| {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    let hiss = (state as f32 / u32::MAX as f32 - 0.5) * noise;
                    let time = i as f32 / rate as f32;
                    let slow = (time * 3.0).sin() * 0.3;
                    (time * pitch * std::f32::consts::TAU).sin() * (0.4 + slow) + hiss
                })
                .collect()
        })
        .collect();
    let mut encoder = VorbisEncoderBuilder::new_with_serial(
        NonZeroU32::new(rate).unwrap(),
        NonZeroU8::new(channels).unwrap(),
        Vec::new(),
        seed as i32 + 1,
    );
    encoder.bitrate_management_strategy(VorbisBitrateManagementStrategy::QualityVbr {
        target_quality: 0.5,
    });
    let mut encoder = encoder.build().unwrap();
    for start in (0..frames).step_by(4096) {
        let end = (start + 4096).min(frames);
        let block: Vec<&[f32]> = planes.iter().map(|plane| &plane[start..end]).collect();
        encoder.encode_audio_block(&block).unwrap();
    }
    encoder.finish().unwrap()
}

pub fn whole(bytes: &[u8]) -> Box<dyn TrackSource> {
    Box::new(WholeSource::new(Cursor::new(bytes.to_vec())).unwrap())
}

pub fn decoded(bytes: &[u8]) -> DecodedTrack {
    decode_all(whole(bytes), &TrackSpec::default()).unwrap()
}

pub fn track(id: u64, bytes: &[u8]) -> Track {
    Track {
        id: PlayId(id),
        source: whole(bytes),
        spec: TrackSpec::default(),
    }
}

/// A player that records as fast as it can, with hard edges so that samples can be compared.
pub fn recorder(config: PlayerConfig) -> (Player, Events, Tape) {
    let (sink, tape) = MemorySink::new(100_000_000);
    let config = PlayerConfig {
        ramp: Duration::ZERO,
        ..config
    };
    let (player, events) = Player::new(config, Box::new(sink)).unwrap();
    (player, events, tape)
}

/// Fetches events up to the first that matches, positions left out.
pub fn until(events: &Events, matches: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut seen = Vec::new();
    loop {
        let event = events.recv_timeout(DEADLINE);
        let event = event.unwrap_or_else(|| panic!("nothing came after {seen:?}"));
        let is_match = matches(&event);
        if !matches!(event, Event::Position { .. }) || is_match {
            seen.push(event);
        }
        if is_match {
            return seen;
        }
    }
}

pub fn until_empty(events: &Events) -> Vec<Event> {
    until(events, |event| *event == Event::QueueEmpty)
}

/// Offsets of Ogg pages with their granule positions.
pub fn pages(bytes: &[u8]) -> Vec<(u64, i64)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 27 <= bytes.len() {
        assert_eq!(&bytes[at..at + 4], b"OggS");
        let granule = i64::from_le_bytes(bytes[at + 6..at + 14].try_into().unwrap());
        found.push((at as u64, granule));
        let segments = usize::from(bytes[at + 26]);
        let body: usize = bytes[at + 27..at + 27 + segments]
            .iter()
            .map(|s| usize::from(*s))
            .sum();
        at += 27 + segments + body;
    }
    found
}

/// For each second the last page that ends before it, as an ingest would note it.
pub fn seek_table(bytes: &[u8], rate: u32, frames: u64) -> Vec<u64> {
    let pages = pages(bytes);
    let audio: Vec<_> = pages.iter().filter(|(_, granule)| *granule > 0).collect();
    (0..=frames / u64::from(rate))
        .map(|second| {
            let target = (second * u64::from(rate)) as i64;
            let before = audio.iter().rposition(|(_, granule)| *granule < target);
            audio[before.unwrap_or(0)].0
        })
        .collect()
}

/// Where a source was read.
#[derive(Clone, Default)]
pub struct ReadLog {
    pub bytes: Arc<AtomicU64>,
    pub highest: Arc<AtomicU64>,
}

/// Counts what is read of the source inside.
pub struct Counted {
    inner: Cursor<Vec<u8>>,
    log: ReadLog,
}

impl Counted {
    pub fn new(bytes: &[u8]) -> (Box<Self>, ReadLog) {
        let log = ReadLog::default();
        (
            Box::new(Self {
                inner: Cursor::new(bytes.to_vec()),
                log: log.clone(),
            }),
            log,
        )
    }
}

impl Read for Counted {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.log.bytes.fetch_add(count as u64, Ordering::Relaxed);
        self.log
            .highest
            .fetch_max(self.inner.position(), Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.inner.seek(pos)
    }
}

impl TrackSource for Counted {
    fn byte_len(&self) -> u64 {
        self.inner.get_ref().len() as u64
    }
}

/// Delivers only as many bytes as were let through; reads behind that block.
pub struct Gated {
    inner: Cursor<Vec<u8>>,
    gate: Gate,
}

/// Lets bytes through.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    open_to: u64,
    interrupted: bool,
    waiting: bool,
    unavailable: bool,
}

impl Gate {
    pub fn open_to(&self, offset: u64) {
        self.0.0.lock().unwrap().open_to = offset;
        self.0.1.notify_all();
    }

    pub fn make_unavailable(&self) {
        self.0.0.lock().unwrap().unavailable = true;
        self.0.1.notify_all();
    }

    /// Returns once a read blocks.
    pub fn wait_until_blocked(&self) {
        let state = self.0.0.lock().unwrap();
        let (_guard, timeout) = self
            .0
            .1
            .wait_timeout_while(state, DEADLINE, |state| !state.waiting)
            .unwrap();
        assert!(!timeout.timed_out(), "no read ever blocked");
    }
}

impl Gated {
    pub fn new(bytes: &[u8]) -> (Box<Self>, Gate) {
        let gate = Gate::default();
        (
            Box::new(Self {
                inner: Cursor::new(bytes.to_vec()),
                gate: gate.clone(),
            }),
            gate,
        )
    }
}

impl Read for Gated {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let at = self.inner.position();
        let (lock, changed) = &*self.gate.0;
        let mut state = lock.lock().unwrap();
        while state.open_to <= at {
            if std::mem::take(&mut state.interrupted) {
                state.waiting = false;
                return Err(io::ErrorKind::Interrupted.into());
            }
            if state.unavailable {
                return Err(io::Error::other("nobody has it"));
            }
            state.waiting = true;
            changed.notify_all();
            state = changed.wait(state).unwrap();
        }
        state.waiting = false;
        let count = buf.len().min((state.open_to - at) as usize);
        drop(state);
        self.inner.read(&mut buf[..count])
    }
}

impl Seek for Gated {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.inner.seek(pos)
    }
}

impl TrackSource for Gated {
    fn byte_len(&self) -> u64 {
        self.inner.get_ref().len() as u64
    }

    fn interrupter(&self) -> Option<Interrupter> {
        let gate = self.gate.clone();
        Some(Arc::new(move || {
            gate.0.0.lock().unwrap().interrupted = true;
            gate.0.1.notify_all();
        }))
    }
}
