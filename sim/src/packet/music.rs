//! The music of all schedules: a few renditions of pseudo-random ciphertext, made, hashed and
//! signed once in a process and shared by everything that runs.

use std::sync::{Arc, OnceLock};

use antiphon_protocol::identity::DeviceSecret;
use antiphon_protocol::license::{License, Rights, Terms};
use antiphon_protocol::manifest::{Rendition, Rung, TrackManifest};
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::verified::hash_content;
use antiphon_protocol::{
    BitRate, ByteCount, ChunkIndex, ContentId, Gain, Geometry, LicenseId, SwarmId, TrackId,
    UnixSeconds,
};
use antiphon_swarm::node::input::RenditionSpec;
use ed25519_dalek::SigningKey;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use crate::engine::random::Draws;

/// Sizes of the renditions, KiB: 15 s to 200 s at 160 kbit/s, one of them of odd length.
const SIZES_KIB: [u64; 12] = [
    300, 480, 700, 900, 1_100, 1_300, 1_600, 1_900, 2_200, 2_600, 3_200, 4_000,
];
/// What every node plays by default.
pub const BIT_RATE: BitRate = BitRate(160_000);
/// The second at which licenses and passes are written. Any will do.
pub const EPOCH: UnixSeconds = UnixSeconds(1_800_000_000);

/// One rendition.
#[derive(Debug)]
pub struct Track {
    /// The track.
    pub id: TrackId,
    /// Its rendition.
    pub content: ContentId,
    /// Its swarm of the day.
    pub swarm: SwarmId,
    /// Its size and chunks.
    pub geometry: Geometry,
    /// Ciphertext.
    pub bytes: Vec<u8>,
    /// Inner nodes.
    pub outboard: Vec<u8>,
    /// What the tracker signs of it.
    pub manifest: Signed<TrackManifest>,
    /// Its keys for the one device all listeners share here.
    pub license: Signed<License>,
}

impl Track {
    /// What the core must know of it.
    #[must_use]
    pub const fn spec(&self) -> RenditionSpec {
        RenditionSpec {
            geometry: self.geometry,
            bit_rate: BIT_RATE,
        }
    }

    /// The true bytes of a chunk.
    #[must_use]
    pub fn chunk(&self, chunk: ChunkIndex) -> &[u8] {
        let start = chunk.byte_offset() as usize;
        let end = start + self.geometry.chunk_bytes(chunk);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// All of it, and the keys it is signed with.
#[derive(Debug)]
pub struct Music {
    /// By number.
    pub tracks: Vec<Track>,
    /// Signs tickets, licenses and manifests.
    pub key: SigningKey,
}

impl Music {
    /// The music of this process.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static MUSIC: OnceLock<Arc<Music>> = OnceLock::new();
        Arc::clone(MUSIC.get_or_init(|| Arc::new(Self::make())))
    }

    /// The number of the track with this rendition.
    #[must_use]
    pub fn by_content(&self, content: ContentId) -> Option<usize> {
        self.tracks
            .iter()
            .position(|track| track.content == content)
    }

    fn make() -> Self {
        let mut generator = ChaCha8Rng::from_seed([7; 32]);
        let key = SigningKey::from_bytes(&[3; 32]);
        let device = DeviceSecret::generate(&mut generator);
        let tracks = (0..SIZES_KIB.len()).map(|number| {
            let size = SIZES_KIB[number] * 1_024 + if number % 3 == 1 { 1_237 } else { 0 };
            track(number as u8, size, &key, &device, &mut generator)
        });
        Self {
            tracks: tracks.collect(),
            key,
        }
    }
}

fn track(
    number: u8,
    size: u64,
    key: &SigningKey,
    device: &DeviceSecret,
    generator: &mut ChaCha8Rng,
) -> Track {
    let geometry = Geometry::new(ByteCount(size)).expect("renditions here are small");
    let mut draws = Draws::of(1, 77, u64::from(number));
    let mut bytes = vec![0; size as usize];
    for word in bytes.chunks_mut(8) {
        let random = draws.next().to_le_bytes();
        word.copy_from_slice(&random[..word.len()]);
    }
    let (content, outboard) = hash_content(geometry, bytes.as_slice()).expect("memory can be read");
    let id = TrackId([number + 1; 16]);
    let seconds = size * 8 / u64::from(BIT_RATE.0);
    let manifest = TrackManifest {
        track: id,
        version: 1,
        title: format!("track {number}"),
        artist: "nobody".to_owned(),
        album: "noise".to_owned(),
        album_id: None,
        track_number: None,
        art: None,
        track_gain: Gain(0),
        album_gain: Gain(0),
        true_peak: Gain(0),
        renditions: vec![Rendition {
            rung: Rung::Standard,
            content,
            size: ByteCount(size),
            bit_rate: BIT_RATE,
            sample_rate: 44_100,
            channels: 2,
            frames: seconds * 44_100,
            setup_bytes: 4_000,
            seek_table: (0..seconds)
                .map(|second| (second * u64::from(BIT_RATE.0) / 8) as u32)
                .collect(),
        }],
    };
    let terms = Terms {
        id: LicenseId([number; 16]),
        device: device.public().id(),
        track: id,
        rights: Rights {
            stream: true,
            offline: false,
        },
        issued: EPOCH,
        lease_secs: 3_600,
        grace_secs: 3_600,
    };
    let keys = [(content, ContentKey::new([number; 16]))];
    let license = License::seal(terms, &device.public(), &keys, generator)
        .expect("the license is for this device");
    Track {
        id,
        content,
        swarm: SwarmId([number + 101; 16]),
        geometry,
        bytes,
        outboard,
        manifest: Signed::sign(&manifest, key),
        license: Signed::sign(&license, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_protocol::verified::chunk_is_genuine;

    #[test]
    fn every_chunk_is_what_its_rendition_is_named_for() {
        let music = Music::shared();
        let track = &music.tracks[1];
        let is_genuine = |chunk: ChunkIndex, data: &[u8]| {
            chunk_is_genuine(track.content, track.geometry, &track.outboard, chunk, data)
        };
        let last = ChunkIndex(track.geometry.chunk_count() - 1);
        assert!(is_genuine(last, track.chunk(last)));
        assert!(!is_genuine(last, track.chunk(ChunkIndex(0))));
        assert_eq!(music.by_content(track.content), Some(1));
    }
}
