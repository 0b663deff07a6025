//! What a node tells about itself: the shapes of the local API's answers.

use serde::{Deserialize, Serialize};

/// Bytes of audio by where they came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytesBySource {
    /// Played from what was in the store before the play began.
    pub cache: u64,
    /// Received from peers and verified.
    pub peers: u64,
    /// Received from the origin and verified.
    pub origin: u64,
}

/// The whole picture, at `/v1/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Transport key, hexadecimal.
    pub node: String,
    /// Version of the program.
    pub version: String,
    /// Whether the tracker is connected.
    pub tracker_connected: bool,
    /// Addresses peers can dial.
    pub listening: Vec<String>,
    /// Where the tracker sees the socket that peers are served on; none if it does not.
    #[serde(default)]
    pub outside: Option<String>,
    /// Connected peers.
    pub neighbors: u32,
    /// What plays, if anything does.
    pub playing: Option<Playing>,
    /// Whether the queue stands still at its current entry until the tracker is back.
    #[serde(default)]
    pub waits_for_tracker: bool,
    /// Entries of the queue after the current one.
    pub queued: u32,
    /// Bytes since the start.
    pub bytes: BytesBySource,
    /// Bytes sent to peers since the start.
    pub uploaded: u64,
    /// Bytes received twice (a race that was lost).
    pub wasted: u64,
    /// Plays begun since the start.
    pub plays: u64,
    /// Times the sink wanted samples and had none.
    pub stalls: u64,
    /// Chunks that failed verification on arrival. None of them is ever played.
    pub corrupt_chunks: u64,
    /// Chunks that failed when the bytes handed to the decoder were checked once more.
    pub corrupt_played: u64,
    /// Renditions held whole.
    pub held: u32,
    /// Bytes of audio on disk.
    pub cache_bytes: u64,
    /// Things the person should know, newest last.
    pub notices: Vec<String>,
}

/// The current play.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Playing {
    /// The track.
    pub track: String,
    /// Its title.
    pub title: String,
    /// Its artist.
    pub artist: String,
    /// `opening`, `waiting`, `playing`, `paused`.
    pub state: String,
    /// Position.
    pub position_ms: u64,
    /// Length.
    pub duration_ms: u64,
    /// Music in the store ahead of the playhead.
    pub buffer_ms: u64,
    /// From the command to the first sample at the sink; none until then.
    pub start_ms: Option<f64>,
    /// Bytes of this play.
    pub bytes: BytesBySource,
}

/// One finished or current play, at `/v1/plays`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlayRecord {
    /// The track.
    pub track: String,
    /// When the command came (or, in order, when the former track ended): microseconds since 1970.
    pub began_unix_us: u64,
    /// Whether a person asked for it, rather than the queue moving on.
    pub commanded: bool,
    /// From then to its first sample at the sink; none if it never sounded.
    pub start_us: Option<u64>,
    /// Stalls in it.
    pub stalls: u32,
    /// Their sum.
    pub stalled_us: u64,
    /// Bytes by source.
    pub bytes: BytesBySource,
    /// Why it ended early or failed, for people; empty if it did not.
    pub failure: String,
}

/// One rendition's history in this node, at `/v1/ledger`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The track.
    pub track: String,
    /// When its first byte was asked for: microseconds since 1970.
    pub first_asked_unix_us: u64,
    /// When it was held whole, if it is.
    pub complete_unix_us: Option<u64>,
    /// Network bytes by source.
    pub bytes: BytesBySource,
}
