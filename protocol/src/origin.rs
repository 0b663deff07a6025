//! Messages between a node and the origin over QUIC.
//!
//! One bidirectional stream a request: the node sends one [`OriginRequest`] frame and finishes;
//! the origin answers one [`OriginReply`] frame and, after `Accept`, the encoded span
//! ([`crate::verified`]) until the end of the stream. Requests only read, so they may be sent as
//! 0-RTT data. Over HTTP the same spans are at `/v1/content/{id}/spans/{first}-{count}`.

use serde::{Deserialize, Serialize};

use crate::chunk::Span;
use crate::error_code::ErrorCode;
use crate::id::ContentId;
use crate::signed::Signed;
use crate::ticket::Capability;
use crate::units::{ByteCount, Millis};

/// A request to the origin. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginRequest {
    /// One span of one rendition.
    Span {
        /// The right to read; an origin that its operator opened needs none.
        capability: Option<Signed<Capability>>,
        /// The rendition.
        content: ContentId,
        /// The chunks.
        span: Span,
    },
}

/// The answer's header. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OriginReply {
    /// The encoded span follows.
    Accept {
        /// Bytes of the whole rendition; the requester compares it with the manifest.
        size: ByteCount,
        /// Bytes of the encoded span that follow.
        encoded: ByteCount,
    },
    /// Nothing follows.
    Refuse {
        /// Why.
        code: ErrorCode,
        /// When asking again makes sense.
        retry_after: Millis,
    },
}
