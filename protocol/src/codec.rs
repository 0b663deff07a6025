//! Framing: a little-endian `u32` length, then a `postcard` enum.
//!
//! The length is checked against the message's own limit before anything is allocated. Not here:
//! reading from or writing to anything.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::{
    ADDRESSES_PER_NODE_MAX, ANNOUNCES_PER_REQUEST_MAX, CATALOG_PAGE_MAX, FIND_HOPS_MAX,
    HOLDERS_PER_ANSWER_MAX, HOLDINGS_PER_MESSAGE_MAX, NOTICE_FRAME_BYTES_MAX, ORIGINS_MAX,
    PEER_FRAME_BYTES_MAX, PLACEMENTS_PER_ANSWER_MAX, RENDITION_BYTES_MAX, SPAN_FRAME_BYTES_MAX,
    TEXT_BYTES_MAX, TRACKER_FRAME_BYTES_MAX,
};
use crate::origin::{OriginReply, OriginRequest};
use crate::peer::{DataReply, DataRequest, EXTENT_BYTES_MAX, Extent, PeerContact, PeerMessage};
use crate::tracker::{Holder, TrackerNotice, TrackerReply, TrackerRequest};
use crate::verified::{ENCODED_SPAN_BYTES_MAX, PART_BYTES_MAX};

/// Bytes of the length in front of each frame.
pub const LENGTH_BYTES: usize = 4;

/// A message that travels in a frame.
pub trait Message: Serialize + DeserializeOwned {
    /// Longest payload sent or accepted.
    const BYTES_MAX: usize;

    /// Whether every list, text and number is within its limit.
    fn within_limits(&self) -> bool;
}

/// The payload's length from a frame's first four bytes.
///
/// # Errors
/// If it is over the limit of `M`; nothing may be allocated for it then.
pub fn payload_len<M: Message>(header: [u8; LENGTH_BYTES]) -> Result<usize, DecodeError> {
    limited_len(header, M::BYTES_MAX)
}

/// Decodes a payload whole.
///
/// # Errors
/// If it is too long, not a message of this kind, followed by other bytes, or beyond a limit.
pub fn decode<M: Message>(payload: &[u8]) -> Result<M, DecodeError> {
    if payload.len() > M::BYTES_MAX {
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        return Err(DecodeError::TooLarge {
            bytes,
            limit: M::BYTES_MAX,
        });
    }
    let (message, rest): (M, _) =
        postcard::take_from_bytes(payload).map_err(|_| DecodeError::Malformed)?;
    if !rest.is_empty() {
        return Err(DecodeError::Malformed);
    }
    if message.within_limits() {
        Ok(message)
    } else {
        Err(DecodeError::Limit)
    }
}

/// The frame of a message: length and payload.
///
/// # Panics
/// If our own message exceeds its limits. Where a person chose the values, use [`try_encode`].
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    try_encode(message).expect("our own message is within its limits")
}

/// The frame of a message that may hold what a person typed.
///
/// # Errors
/// If a value or the whole is beyond its limit; nothing may be sent then.
pub fn try_encode<M: Message>(message: &M) -> Result<Vec<u8>, EncodeError> {
    if !message.within_limits() {
        return Err(EncodeError);
    }
    let mut frame =
        postcard::to_extend(message, vec![0; LENGTH_BYTES]).expect("messages are plain data");
    let payload_bytes = frame.len() - LENGTH_BYTES;
    if payload_bytes > M::BYTES_MAX {
        return Err(EncodeError);
    }
    for (byte, len) in frame.iter_mut().zip((payload_bytes as u32).to_le_bytes()) {
        *byte = len;
    }
    Ok(frame)
}

/// The length of a part on a data stream ([`crate::peer`]) from its first four bytes; zero ends
/// the span.
///
/// # Errors
/// If it is over [`PART_BYTES_MAX`]; nothing may be allocated for it then. The asker knows the
/// exact length it wants ([`crate::verified::SpanVerifier::wanted_part`]).
pub fn part_len(header: [u8; LENGTH_BYTES]) -> Result<usize, DecodeError> {
    limited_len(header, PART_BYTES_MAX)
}

fn limited_len(header: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, DecodeError> {
    let bytes = u32::from_le_bytes(header);
    match usize::try_from(bytes) {
        Ok(len) if len <= limit => Ok(len),
        _ => Err(DecodeError::TooLarge { bytes, limit }),
    }
}

/// A message of our own that others would refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a list or a text in the message is longer than allowed; shorten it")]
pub struct EncodeError;

/// Why bytes were no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The stated length is over the limit; nothing was read.
    #[error("frame of {bytes} bytes is over the limit of {limit}")]
    TooLarge {
        /// Length stated or seen.
        bytes: u32,
        /// Length allowed.
        limit: usize,
    },
    /// Not this kind of message.
    #[error("malformed message")]
    Malformed,
    /// A list, text or number is beyond its limit.
    #[error("a value in the message is beyond its limit")]
    Limit,
}

fn contact_ok(contact: &PeerContact) -> bool {
    contact.addresses.len() <= ADDRESSES_PER_NODE_MAX
}

fn extent_ok(extent: &Extent) -> bool {
    match extent {
        Extent::Partial(bits) => bits.len() <= EXTENT_BYTES_MAX,
        Extent::Full | Extent::Gone => true,
    }
}

fn holders_ok(holders: &[Holder]) -> bool {
    holders.len() <= HOLDERS_PER_ANSWER_MAX && holders.iter().all(|h| contact_ok(&h.contact))
}

impl Message for PeerMessage {
    const BYTES_MAX: usize = PEER_FRAME_BYTES_MAX;

    fn within_limits(&self) -> bool {
        match self {
            Self::Hello { .. } | Self::Bye { .. } | Self::Renew { .. } => true,
            Self::Have { holdings } => {
                holdings.len() <= HOLDINGS_PER_MESSAGE_MAX
                    && holdings.iter().all(|holding| extent_ok(&holding.extent))
            }
            Self::Find { hops, .. } => *hops <= FIND_HOPS_MAX,
            Self::Found { holders, .. } => {
                holders.len() <= HOLDERS_PER_ANSWER_MAX && holders.iter().all(contact_ok)
            }
            Self::Interest { swarms } => swarms.len() <= HOLDINGS_PER_MESSAGE_MAX,
        }
    }
}

impl Message for DataRequest {
    const BYTES_MAX: usize = SPAN_FRAME_BYTES_MAX;
    fn within_limits(&self) -> bool {
        true
    }
}

impl Message for DataReply {
    const BYTES_MAX: usize = SPAN_FRAME_BYTES_MAX;
    fn within_limits(&self) -> bool {
        true
    }
}

impl Message for OriginRequest {
    const BYTES_MAX: usize = SPAN_FRAME_BYTES_MAX;
    fn within_limits(&self) -> bool {
        true
    }
}

impl Message for OriginReply {
    const BYTES_MAX: usize = SPAN_FRAME_BYTES_MAX;
    fn within_limits(&self) -> bool {
        match self {
            Self::Accept { size, encoded } => {
                *size <= RENDITION_BYTES_MAX && encoded.0 <= ENCODED_SPAN_BYTES_MAX
            }
            Self::Refuse { .. } => true,
        }
    }
}

impl Message for TrackerRequest {
    const BYTES_MAX: usize = TRACKER_FRAME_BYTES_MAX;

    fn within_limits(&self) -> bool {
        let page = |limit: u16| usize::from(limit) <= CATALOG_PAGE_MAX;
        match self {
            Self::Register { name, password, .. } | Self::Login { name, password, .. } => {
                name.len() <= TEXT_BYTES_MAX && password.0.len() <= TEXT_BYTES_MAX
            }
            Self::Attach { addresses, .. } | Self::AttachNode { addresses, .. } => {
                addresses.len() <= ADDRESSES_PER_NODE_MAX
            }
            Self::Catalog { limit, .. } => page(*limit),
            Self::Search { query, limit } => query.len() <= TEXT_BYTES_MAX && page(*limit),
            Self::Announce { entries } => {
                entries.len() <= ANNOUNCES_PER_REQUEST_MAX
                    && entries.iter().all(|entry| extent_ok(&entry.extent))
            }
            Self::Lookup { limit, .. } => usize::from(*limit) <= HOLDERS_PER_ANSWER_MAX,
            Self::Placements { limit } => usize::from(*limit) <= PLACEMENTS_PER_ANSWER_MAX,
            Self::Open { .. }
            | Self::OpenHeld { .. }
            | Self::Renew
            | Self::Leave
            | Self::Introduce { .. } => true,
        }
    }
}

impl Message for TrackerReply {
    const BYTES_MAX: usize = TRACKER_FRAME_BYTES_MAX;

    fn within_limits(&self) -> bool {
        match self {
            Self::Attached(attached) => {
                attached.origins.len() <= ORIGINS_MAX
                    && attached
                        .origins
                        .iter()
                        .all(|origin| origin.host.len() <= TEXT_BYTES_MAX)
            }
            Self::Tracks { tracks, .. } => {
                tracks.len() <= CATALOG_PAGE_MAX
                    && tracks.iter().all(|track| {
                        [&track.title, &track.artist, &track.album]
                            .iter()
                            .all(|text| text.len() <= TEXT_BYTES_MAX)
                    })
            }
            Self::Opened(opened) => holders_ok(&opened.holders),
            Self::Announced { swarms, .. } => swarms.len() <= ANNOUNCES_PER_REQUEST_MAX,
            Self::Holders { holders, .. } => holders_ok(holders),
            Self::Placements { placements } => {
                placements.len() <= PLACEMENTS_PER_ANSWER_MAX
                    && placements.iter().all(|one| holders_ok(&one.holders))
            }
            Self::Refused { .. }
            | Self::Session { .. }
            | Self::Passes(_)
            | Self::Left
            | Self::Renewed { .. }
            | Self::Introduced => true,
        }
    }
}

impl Message for TrackerNotice {
    const BYTES_MAX: usize = NOTICE_FRAME_BYTES_MAX;

    fn within_limits(&self) -> bool {
        match self {
            Self::Introduction { .. } | Self::Moved => true,
        }
    }
}
