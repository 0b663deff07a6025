//! Why a file did not become a track, in words for people.

use std::fmt;

use antiphon_protocol::MediaTime;

use crate::ingest::ogg::OggError;
use crate::library::LibraryError;

/// Where in a file it broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    Whole,
    /// At this byte.
    Byte(u64),
    /// At this time of the music.
    Time(MediaTime),
}

/// Why a file did not become a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it broke.
    pub place: Place,
    /// What is wrong.
    pub reason: String,
}

impl Refusal {
    pub(crate) fn whole(reason: impl Into<String>) -> Self {
        Self::at(Place::Whole, reason)
    }

    pub(crate) fn at(place: Place, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { place, reason }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Whole => write!(f, "{}", self.reason),
            Place::Byte(offset) => write!(f, "{} at byte {offset}", self.reason),
            Place::Time(time) => write!(f, "{} at {:.2} s", self.reason, time.as_secs_f64()),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<OggError> for Refusal {
    fn from(error: OggError) -> Self {
        let place = error.offset().map_or(Place::Whole, Place::Byte);
        Self::at(place, error.to_string())
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::whole(format!("could not be read: {error}"))
    }
}

impl From<LibraryError> for Refusal {
    fn from(error: LibraryError) -> Self {
        Self::whole(format!("could not be stored: {error}"))
    }
}
