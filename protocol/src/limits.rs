//! Every maximum of the wire in one place, with its reason.
//!
//! Values are from the project's limits table (`docs/protocol.md`, "Limits"); where a value is a
//! guess, it says so. A receiver checks them before it allocates.

use crate::units::{ByteCount, Millis};

/// Longest frame on a node-to-node control stream. Larger than any message needs: the largest,
/// a full [`crate::peer::PeerMessage::Have`], stays under it (checked in tests).
pub const PEER_FRAME_BYTES_MAX: usize = 4 * 1024;

/// Longest request or reply header on a data stream or towards the origin. Span bytes follow
/// the header outside of any frame, and their number is known from the geometry.
pub const SPAN_FRAME_BYTES_MAX: usize = 1024;

/// Longest frame between node and tracker: a catalog page or an opened track (manifest with its
/// seek tables plus holders). 256 KiB holds a three-hour track's seek tables; guess.
pub const TRACKER_FRAME_BYTES_MAX: usize = 256 * 1024;

/// Longest unasked frame of the tracker. The longest there is, an introduction, needs 53 bytes.
pub const NOTICE_FRAME_BYTES_MAX: usize = 256;

/// Any text from the wire, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 256;

/// Longest duration believed from the wire: one hour. Larger values are clamped, because an
/// unchecked wire duration added to a clock has crashed others.
pub const WIRE_DURATION_MAX: Millis = Millis(3_600_000);

/// Largest rendition: four hours at 320 kbit/s, rounded up; guess at the longest real track.
pub const RENDITION_BYTES_MAX: ByteCount = ByteCount::mib(576);

/// Most chunks asked for in one request.
pub const SPAN_CHUNKS_MAX: u32 = 64;

/// Holders in one answer of the tracker or of a peer.
pub const HOLDERS_PER_ANSWER_MAX: usize = 10;

/// Renditions a node is asked to keep for others in one answer of the tracker; guess.
pub const PLACEMENTS_PER_ANSWER_MAX: usize = 4;

/// Swarms in one [`crate::peer::PeerMessage::Have`] or announce from a peer's point of view.
pub const HOLDINGS_PER_MESSAGE_MAX: usize = 32;

/// Announce entries in one request to the tracker; 1,270 tracks fill a 5 GB cache, so a full
/// announce is a handful of requests.
pub const ANNOUNCES_PER_REQUEST_MAX: usize = 512;

/// Addresses a node may publish: IPv4 and IPv6, direct and mapped, with room to spare.
pub const ADDRESSES_PER_NODE_MAX: usize = 4;

/// Origins named to a node; guess, more than anybody needs to try.
pub const ORIGINS_MAX: usize = 8;

/// Renditions of one track.
pub const RENDITIONS_MAX: usize = 4;

/// Entries of a seek table: four hours at one a second, matching [`RENDITION_BYTES_MAX`].
pub const SEEK_ENTRIES_MAX: usize = 14_400;

/// Tracks on one page of the catalog.
pub const CATALOG_PAGE_MAX: usize = 200;

/// Hops an overlay search may travel: the published design's distance two.
pub const FIND_HOPS_MAX: u8 = 2;
