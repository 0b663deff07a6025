//! Every maximum of the core in one place, with its reason.
//!
//! "Table" is the project's limits table (`docs/protocol.md`, "Limits"). Not here: times and
//! rates that are tuned ([`crate::node::config`]).

pub use antiphon_protocol::limits::{
    ANNOUNCES_PER_REQUEST_MAX, FIND_HOPS_MAX, HOLDERS_PER_ANSWER_MAX, HOLDINGS_PER_MESSAGE_MAX,
    SPAN_CHUNKS_MAX,
};

use crate::time::Duration;

/// Expected renditions looked at for prefetch: the next and one alternative; guess.
pub const EXPECTED_MAX: usize = 2;

/// Neighbors above which no new ones are dialed and the least useful are pruned: published design.
pub const NEIGHBORS_SOFT: usize = 50;

/// Neighbors above which an incoming connection is refused: published design.
pub const NEIGHBORS_HARD: usize = 60;

/// Spans in flight to one peer: table.
pub const SPANS_PER_PEER_MAX: usize = 2;

/// Spans in flight to all peers together: table.
pub const SPANS_TO_PEERS_MAX: usize = 6;

/// Spans in flight to the origin: one being sent, one queued behind it; guess.
pub const SPANS_TO_ORIGIN_MAX: usize = 2;

/// Spans beyond those bounds that only a hedge may use, so that saving a play never waits for a
/// slot; guess.
pub const SPANS_EXTRA_FOR_HEDGES: usize = 2;

/// Requests in flight altogether.
pub const REQUESTS_MAX: usize =
    SPANS_TO_PEERS_MAX + SPANS_TO_ORIGIN_MAX + 2 * SPANS_EXTRA_FOR_HEDGES;

/// Peers uploaded to at once: published design and table.
pub const UPLOADS_MAX: usize = 4;

/// Uploads at once to one peer: what we tell it in its limits; table.
pub const UPLOADS_PER_PEER_MAX: usize = 2;

/// Peers remembered as having been declined for want of a slot; guess.
pub const UPLOAD_WAITERS_MAX: usize = 8;

/// Introduced renditions of which nothing is held: a page of search results; guess. Beyond it the
/// one unused longest is forgotten.
pub const INTRODUCED_MAX: usize = 256;

/// Renditions held: 100 GB (the largest cache the published design allowed) of short tracks.
pub const HELD_MAX: usize = 65_536;

/// Claims of peers to hold something of interest: 4 renditions with 60 neighbors each, rounded up.
pub const CLAIMS_MAX: usize = 256;

/// Renditions kept in [`CLAIMS_MAX`] though nothing wants them yet: holders may be told shortly
/// before the play they belong to; guess.
pub const PARKED_RENDITIONS_MAX: usize = 4;

/// Not connected peers of which dial results are remembered: twice the neighbors; guess. Beyond
/// it the one with the oldest retry time is forgotten.
pub const CONTACTS_MAX: usize = 128;

/// Dials under way at once; guess, under the table's 16 handshakes from which peers want a retry.
pub const DIALS_MAX: usize = 8;

/// Penalized peers remembered: table.
pub const PENALTIES_MAX: usize = 4_096;

/// Searches remembered to drop repeats: published design.
pub const QUERIES_MAX: usize = 50;

/// Renditions the origin said not to have that are remembered; guess. The oldest is forgotten.
pub const ORIGIN_LACKS_MAX: usize = 8;

/// Searches under way: what may be wanted at once, and what is parked.
pub const SEARCHES_MAX: usize = 1 + EXPECTED_MAX + PINS_ACTIVE_MAX + PARKED_RENDITIONS_MAX;

/// Pinned renditions fetched at the same time; guess.
pub const PINS_ACTIVE_MAX: usize = 2;

/// Pinned renditions waiting to be fetched: a large seed. Beyond it `Pin` is counted and refused.
pub const PINS_MAX: usize = 65_536;

/// Renditions named in one answer to [`crate::Output::AskPlacements`]: 16 MB at most a time, for
/// usual tracks; guess.
pub const PLACEMENTS_PER_ANSWER_MAX: usize = antiphon_protocol::limits::PLACEMENTS_PER_ANSWER_MAX;

/// Longest duration believed from a remote: table.
pub const REMOTE_DURATION_MAX: Duration = Duration::from_secs(3_600);

// The numbers above must agree with one another.
const _: () = {
    assert!(NEIGHBORS_SOFT < NEIGHBORS_HARD);
    assert!(SPANS_PER_PEER_MAX <= SPANS_TO_PEERS_MAX);
    assert!(UPLOADS_PER_PEER_MAX <= UPLOADS_MAX);
    assert!(CLAIMS_MAX >= PARKED_RENDITIONS_MAX * NEIGHBORS_HARD);
    assert!(DIALS_MAX + NEIGHBORS_SOFT <= NEIGHBORS_HARD);
    assert!(REQUESTS_MAX <= 16);
};
