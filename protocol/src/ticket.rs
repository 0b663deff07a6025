//! Short-lived passes signed by the tracker: tickets between peers, capabilities for the origin.
//!
//! Without a ticket no peer answers; without a capability no origin does (unless its operator
//! opened it). Both carry no account, so that neither peers nor origins learn who listens.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::signed::Document;
use crate::units::UnixSeconds;

/// How long a ticket or a capability lives: 15 minutes, renewed at two thirds of it
/// (`docs/protocol.md`, "Limits").
pub const PASS_LIFETIME_SECS: u64 = 15 * 60;

/// How far two honest clocks may be apart before a fresh pass looks expired.
pub const CLOCK_TOLERANCE_SECS: u64 = 5 * 60;

/// A coarse place in the network, so that near peers can be preferred without telling where
/// anybody is. Zero is unknown.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RegionClass(pub u8);

/// The right of one node to talk to peers. Travels as `Signed<Ticket>` in the first frame of a
/// connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The transport key it is good for: on any other connection it is worthless.
    pub node: NodeId,
    /// Where the tracker saw the node.
    pub region: RegionClass,
    /// End of life.
    pub expires: UnixSeconds,
}

impl Ticket {
    /// Whether the ticket admits the peer with transport key `node` at `now`.
    #[must_use]
    pub fn admits(&self, node: NodeId, now: UnixSeconds) -> bool {
        self.node == node && alive(self.expires, now)
    }
}

impl Document for Ticket {
    const CONTEXT: &'static [u8] = b"antiphon ticket v1";
    const BYTES_MAX: usize = 128;
}

/// The right to read content from the origin. Travels as `Signed<Capability>` in each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capability {
    /// Tells capabilities apart in rate limits without naming anybody.
    pub nonce: u64,
    /// End of life.
    pub expires: UnixSeconds,
}

impl Capability {
    /// Whether it is good at `now`.
    #[must_use]
    pub fn admits(&self, now: UnixSeconds) -> bool {
        alive(self.expires, now)
    }
}

impl Document for Capability {
    const CONTEXT: &'static [u8] = b"antiphon origin capability v1";
    const BYTES_MAX: usize = 64;
}

/// Not over, and not so far ahead that its signer's or our clock must be wrong.
fn alive(expires: UnixSeconds, now: UnixSeconds) -> bool {
    let latest = now.plus_secs(PASS_LIFETIME_SECS + CLOCK_TOLERANCE_SECS);
    now < expires.plus_secs(CLOCK_TOLERANCE_SECS) && expires <= latest
}
