//! What the catalog tells about a track before anybody opens it.

use serde::{Deserialize, Serialize};

use crate::id::{ArtId, ContentId, TrackId};
use crate::limits::TEXT_BYTES_MAX;
use crate::units::{BitRate, ByteCount, MediaTime};

/// A line of a search result or an album page. It already names the standard rung's content, so
/// that its head can be asked for while the license is still on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackSummary {
    /// The track.
    pub track: TrackId,
    /// Title.
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
    pub title: String,
    /// Artist, possibly empty.
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
    pub artist: String,
    /// Album, possibly empty.
    #[serde(deserialize_with = "crate::bounded::text::<_, TEXT_BYTES_MAX>")]
    pub album: String,
    /// How long it plays.
    pub duration: MediaTime,
    /// The cover, when there is one.
    pub art: Option<ArtId>,
    /// The standard rung's content, or the lowest there is.
    pub content: ContentId,
    /// Its bytes.
    pub size: ByteCount,
    /// Its rate.
    pub bit_rate: BitRate,
}
