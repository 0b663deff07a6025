//! Counters of one node, and a picture of its state for status pages.
//!
//! Not here: bytes read from the own cache, which the driver sees.

use antiphon_protocol::ByteCount;

use crate::key::{PeerKey, PlayId, RenditionKey};
use crate::node::output::Source;
use crate::time::Duration;

/// Counters since the core was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Verified new bytes from peers.
    pub peer_bytes: u64,
    /// Verified new bytes from the origin over QUIC.
    pub origin_quic_bytes: u64,
    /// Verified new bytes from the origin over HTTP.
    pub origin_http_bytes: u64,
    /// Verified bytes that were there already.
    pub wasted_bytes: u64,
    /// Bytes sent to peers.
    pub uploaded_bytes: u64,
    /// Spans asked for.
    pub requests: u32,
    /// Spans asked of a second source.
    pub hedges: u32,
    /// Spans canceled.
    pub cancels: u32,
    /// Spans that sources declined.
    pub declines: u32,
    /// Spans that broke.
    pub failures: u32,
    /// Spans in which bytes failed verification.
    pub corrupt: u32,
    /// Urgent spans that stalled.
    pub stalls: u32,
    /// Spans served.
    pub uploads: u32,
    /// Spans not served.
    pub upload_declines: u32,
    /// Dials made.
    pub dials: u32,
    /// Lookups made.
    pub lookups: u32,
    /// Overlay searches made.
    pub finds: u32,
    /// Times a play had nothing to go on with.
    pub starved: u32,
    /// Renditions evicted.
    pub evictions: u32,
    /// Inputs that made no sense in the state they came in and were ignored: late, unknown or
    /// over a limit.
    pub ignored: u32,
}

/// Where a node stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The current play.
    pub play: Option<PlaySnapshot>,
    /// Connected peers.
    pub neighbors: Vec<NeighborSnapshot>,
    /// Spans in flight.
    pub in_flight: Vec<(Source, RenditionKey, u32)>,
    /// Uploads under way.
    pub uploads: usize,
    /// Bytes held.
    pub held_bytes: ByteCount,
    /// Renditions held completely or in part, or introduced.
    pub renditions: usize,
    /// Whether both ways to the origin failed when last tried.
    pub origin_down: bool,
}

/// The current play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaySnapshot {
    /// Its name.
    pub play: PlayId,
    /// What plays.
    pub rendition: RenditionKey,
    /// Music ahead of the playhead without a gap.
    pub buffered: Duration,
    /// Whether it waits with no source in sight.
    pub starved: bool,
    /// Holders known, connected or not.
    pub holders: usize,
}

/// A connected peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborSnapshot {
    /// Who.
    pub peer: PeerKey,
    /// Its round trip.
    pub rtt: Duration,
    /// Bytes a second expected of it.
    pub rate: u32,
    /// Whether that was measured.
    pub measured: bool,
    /// Spans in flight from it.
    pub in_flight: usize,
}
