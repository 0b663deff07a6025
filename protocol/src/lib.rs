//! What travels between Antiphon's programs, and the arithmetic under it.
//!
//! Ids and units, the geometry of chunks and spans, verified spans over BLAKE3, the signed track
//! manifest, sealing of content and of license keys, tickets, every wire message, and the framing
//! that carries them.
//!
//! Not here: sockets, files, clocks, async code, and every decision about what to ask of whom.
//! Functions that need the time or randomness take them as arguments.
//!
//! Everything decoded here came from somebody else, so lengths are checked before allocation,
//! durations are clamped, and no input can panic.
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod admission;
mod bounded;
pub mod catalog;
pub mod chunk;
pub mod chunk_set;
pub mod codec;
pub mod error_code;
pub mod extent;
pub mod id;
pub mod identity;
pub mod license;
pub mod limits;
pub mod manifest;
pub mod origin;
pub mod peer;
pub mod rate;
pub mod release;
pub mod seal;
pub mod signed;
pub mod ticket;
pub mod tracker;
pub mod units;
pub mod verified;
pub mod version;

pub use chunk::{CHUNK_BYTES, ChunkIndex, Geometry, Span};
pub use chunk_set::ChunkSet;
pub use error_code::ErrorCode;
pub use extent::Extent;
pub use id::{
    AccountId, AlbumId, ArtId, ContentId, DeviceId, LicenseId, NodeId, QueryId, SwarmId, TrackId,
};
pub use manifest::{Rendition, Rung, TrackManifest};
pub use units::{BitRate, ByteCount, Gain, MediaTime, Millis, UnixSeconds};
