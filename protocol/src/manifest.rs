//! The track manifest: what a track is and which files carry it, signed by the catalog's key.
//!
//! Not here: keys (those are in the license), and who holds the files.

use serde::{Deserialize, Serialize};

use crate::chunk::Geometry;
use crate::id::{AlbumId, ArtId, ContentId, TrackId};
use crate::limits::{RENDITIONS_MAX, SEEK_ENTRIES_MAX, TEXT_BYTES_MAX};
use crate::signed::Document;
use crate::units::{BitRate, ByteCount, Gain, MediaTime};

/// One step of the quality ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rung {
    /// About 96 kbit/s.
    Low,
    /// About 160 kbit/s, which everybody plays unless asked otherwise: every further rung splits
    /// the swarm.
    Standard,
    /// About 320 kbit/s.
    High,
}

impl Rung {
    /// All rungs, lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Standard, Self::High];

    /// The rate aimed at.
    #[must_use]
    pub const fn nominal(self) -> BitRate {
        match self {
            Self::Low => BitRate(96_000),
            Self::Standard => BitRate(160_000),
            Self::High => BitRate(320_000),
        }
    }
}

/// One encoded, encrypted file of a track: Ogg Vorbis under AES-128-CTR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendition {
    /// Its place on the ladder.
    pub rung: Rung,
    /// The BLAKE3 root of its ciphertext.
    pub content: ContentId,
    /// Bytes of ciphertext, which are as many as of plaintext.
    pub size: ByteCount,
    /// Its mean rate: size over duration.
    pub bit_rate: BitRate,
    /// Samples a second and channel.
    pub sample_rate: u32,
    /// Channels, 1..=8.
    pub channels: u8,
    /// Samples a channel, exactly: what a gapless player must produce.
    pub frames: u64,
    /// Bytes of the Ogg pages with the codec's setup, from the start; needed before any audio.
    pub setup_bytes: u32,
    /// For each whole second, the offset of an Ogg page from which decoding reaches that
    /// second. Ascending; the first entry is the first audio page.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, SEEK_ENTRIES_MAX>")]
    pub seek_table: Vec<u32>,
}

impl Rendition {
    /// Chunk arithmetic of this file, or nothing if its size is illegal.
    #[must_use]
    pub const fn geometry(&self) -> Option<Geometry> {
        Geometry::new(self.size)
    }

    /// How long it plays.
    #[must_use]
    pub const fn duration(&self) -> MediaTime {
        if self.sample_rate == 0 {
            return MediaTime::ZERO;
        }
        let micros = self.frames as u128 * 1_000_000 / self.sample_rate as u128;
        MediaTime(if micros > u64::MAX as u128 {
            u64::MAX
        } else {
            micros as u64
        })
    }

    /// The offset from which decoding reaches `time`.
    #[must_use]
    pub fn byte_of(&self, time: MediaTime) -> u64 {
        let second = usize::try_from(time.0 / 1_000_000).unwrap_or(usize::MAX);
        let entry = self.seek_table.get(second).or(self.seek_table.last());
        entry.map_or(0, |offset| u64::from(*offset))
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.geometry().is_none() {
            return Err("rendition size");
        }
        if self.channels == 0 || self.channels > 8 || !(8_000..=192_000).contains(&self.sample_rate)
        {
            return Err("rendition format");
        }
        if self.bit_rate.0 == 0 || self.frames == 0 {
            return Err("rendition length");
        }
        let ascending = self
            .seek_table
            .iter()
            .zip(self.seek_table.iter().skip(1))
            .all(|(a, b)| a <= b);
        let inside = self
            .seek_table
            .last()
            .is_none_or(|last| u64::from(*last) < self.size.0);
        if self.seek_table.len() > SEEK_ENTRIES_MAX || !ascending || !inside {
            return Err("seek table");
        }
        if u64::from(self.setup_bytes) > self.size.0 {
            return Err("setup bytes");
        }
        Ok(())
    }
}

/// What a track is. Signed by the catalog's key as `Signed<TrackManifest>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackManifest {
    /// The track.
    pub track: TrackId,
    /// Counts up when a track's manifest is replaced; a node keeps the highest it has seen.
    pub version: u32,
    /// Title as tagged, or the file's name.
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
    pub title: String,
    /// Artist as tagged, possibly empty.
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
    pub artist: String,
    /// Album as tagged, possibly empty.
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
    pub album: String,
    /// Groups the tracks of one album.
    pub album_id: Option<AlbumId>,
    /// Position on the album, when tagged.
    pub track_number: Option<u16>,
    /// The cover, when there was a usable one.
    pub art: Option<ArtId>,
    /// Gain that brings the track to -18 LUFS (ReplayGain 2.0 reference).
    pub track_gain: Gain,
    /// Gain that brings its album to -18 LUFS.
    pub album_gain: Gain,
    /// True peak over full scale, in hundredths of a decibel (0 = full scale).
    pub true_peak: Gain,
    /// At least one, one for each rung that makes sense for the source, lowest first.
    #[serde(deserialize_with = "crate::bounded::list::<_, _, RENDITIONS_MAX>")]
    pub renditions: Vec<Rendition>,
}

impl TrackManifest {
    /// The rendition for a wish: the rung itself, else the next lower, else the lowest there is.
    #[must_use]
    pub fn rendition(&self, wish: Rung) -> Option<&Rendition> {
        let at_most = self
            .renditions
            .iter()
            .filter(|rendition| rendition.rung <= wish);
        at_most
            .max_by_key(|rendition| rendition.rung)
            .or(self.renditions.first())
    }
}

impl Document for TrackManifest {
    const CONTEXT: &'static [u8] = b"antiphon track manifest v1";
    const BYTES_MAX: usize = 224 * 1024;

    fn check(&self) -> Result<(), &'static str> {
        let texts = [&self.title, &self.artist, &self.album];
        if texts.iter().any(|text| text.len() > TEXT_BYTES_MAX) {
            return Err("text length");
        }
        if self.renditions.is_empty() || self.renditions.len() > RENDITIONS_MAX {
            return Err("number of renditions");
        }
        let rungs = self.renditions.iter().map(|rendition| rendition.rung);
        if rungs.clone().zip(rungs.skip(1)).any(|(a, b)| a >= b) {
            return Err("order of renditions");
        }
        self.renditions.iter().try_for_each(Rendition::check)
    }
}
