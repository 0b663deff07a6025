//! Tracks that come out while the world runs.
//!
//! Not here: who hears them when.

use serde::{Deserialize, Serialize};

use crate::scenario::units::{Share, Time};

/// Some tracks that nobody holds at first and many want at once. They are beside the catalog:
/// nobody but the followers plays them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// When, from the start of measuring.
    pub at: Time,
    /// How many tracks, heard one after the other by who is not led elsewhere.
    pub tracks: u32,
    /// Part of the people that wants them.
    pub followers: Share,
    /// Each of them presses play within this, evenly; who is offline comes online for it.
    pub within: Time,
}
