//! Messages between nodes.
//!
//! Two kinds of libp2p streams per neighbor. The **control stream** carries [`PeerMessage`]
//! frames both ways; the first each way is `Hello`. A few long-lived **data streams** carry one
//! request at a time: a [`DataRequest`] frame out, a [`DataReply`] frame back and, after `Accept`,
//! *parts*: frames without an enum, each the next bytes of the encoded span
//! ([`crate::verified`]), one per chunk. An empty part ends the span early (canceled, or the
//! holder failed), and the stream stays usable.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::chunk::Span;
use crate::error_code::ErrorCode;
use crate::id::{NodeId, QueryId, SwarmId};
use crate::limits::{ADDRESSES_PER_NODE_MAX, HOLDERS_PER_ANSWER_MAX, HOLDINGS_PER_MESSAGE_MAX};
use crate::signed::Signed;
use crate::ticket::{RegionClass, Ticket};
use crate::units::Millis;

pub use crate::extent::{EXTENT_BYTES_MAX, EXTENT_UNIT_CHUNKS, Extent};

/// Where and as whom a peer can be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerContact {
    /// Its transport key.
    pub node: NodeId,
    /// Its coarse place.
    pub region: RegionClass,
    /// UDP addresses to dial, best first; at most
    /// [`crate::limits::ADDRESSES_PER_NODE_MAX`].
    #[serde(deserialize_with = "crate::bounded::list::<_, _, ADDRESSES_PER_NODE_MAX>")]
    pub addresses: Vec<SocketAddr>,
}

/// One rendition a node can serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// The rendition's swarm of the day.
    pub swarm: SwarmId,
    /// How much of it.
    pub extent: Extent,
}

/// What the sender of a `Hello` allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLimits {
    /// Spans it will serve this neighbor at the same time.
    pub spans_in_flight: u8,
    /// Whether it uploads at all (a node on a metered link does not).
    pub uploads: bool,
}

/// A frame on the control stream. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerMessage {
    /// First frame each way. Nothing else is answered before a good ticket.
    Hello {
        /// [`crate::version::PEER`] of the sender.
        version: u16,
        /// Proof that the tracker admitted the sender.
        ticket: Signed<Ticket>,
        /// What the sender allows.
        limits: PeerLimits,
    },
    /// What the sender holds of swarms the receiver is interested in. A claim: spans prove it.
    Have {
        /// Replaces what was said of the same swarms before.
        #[serde(deserialize_with = "crate::bounded::list::<_, _, HOLDINGS_PER_MESSAGE_MAX>")]
        holdings: Vec<Holding>,
    },
    /// Asks for holders of a swarm, from the receiver and its neighbors.
    Find {
        /// Names the search.
        query: QueryId,
        /// What is sought.
        swarm: SwarmId,
        /// Hops it may still travel, at most [`crate::limits::FIND_HOPS_MAX`].
        hops: u8,
    },
    /// Answers a `Find`, along the way it came.
    Found {
        /// The search.
        query: QueryId,
        /// What was sought.
        swarm: SwarmId,
        /// Holders, at most [`crate::limits::HOLDERS_PER_ANSWER_MAX`].
        #[serde(deserialize_with = "crate::bounded::list::<_, _, HOLDERS_PER_ANSWER_MAX>")]
        holders: Vec<PeerContact>,
    },
    /// The swarms the sender wants to hear `Have` of; replaces the former list.
    Interest {
        /// At most [`crate::limits::HOLDINGS_PER_MESSAGE_MAX`].
        #[serde(deserialize_with = "crate::bounded::list::<_, _, HOLDINGS_PER_MESSAGE_MAX>")]
        swarms: Vec<SwarmId>,
    },
    /// The sender will close now.
    Bye {
        /// Why.
        code: ErrorCode,
    },
    /// A renewed ticket; must come before the former one ends.
    Renew {
        /// The new ticket.
        ticket: Signed<Ticket>,
    },
}

/// How urgent a span is to its asker; the holder serves lower numbers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// The playhead will need it within seconds.
    Urgent,
    /// The rest of the track that plays.
    Current,
    /// The head of a track expected next.
    Prefetch,
    /// Copies for others: placement, offline.
    Background,
}

/// A frame from the asker on a data stream. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataRequest {
    /// Asks for one span. Only when no span is under way on this stream.
    Span(SpanRequest),
    /// Ends the span under way early; the holder answers with an empty part, unless it had sent
    /// everything already.
    Cancel,
}

/// One span wanted from a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanRequest {
    /// The rendition's swarm of the day.
    pub swarm: SwarmId,
    /// The chunks.
    pub span: Span,
    /// How urgent.
    pub priority: Priority,
    /// How long from now the bytes are useful.
    pub deadline: Millis,
}

/// A holder's answer on a data stream. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataReply {
    /// Parts follow.
    Accept,
    /// Nothing follows.
    Decline {
        /// Why.
        code: ErrorCode,
        /// When asking again makes sense.
        retry_after: Millis,
    },
}
