//! Tickets of a network that exists for one measurement.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use antiphon_node::peers::WallClock;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{PASS_LIFETIME_SECS, RegionClass, Ticket};
use antiphon_protocol::{NodeId, UnixSeconds};
use ed25519_dalek::{SigningKey, VerifyingKey};

/// Both sides of a measurement know this key; it guards nothing.
fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// What nodes check tickets with.
#[must_use]
pub fn tracker_key() -> VerifyingKey {
    key().verifying_key()
}

/// A ticket for `node`, from now.
#[must_use]
pub fn ticket(node: NodeId) -> Signed<Ticket> {
    let document = Ticket {
        node,
        region: RegionClass::default(),
        expires: now().plus_secs(PASS_LIFETIME_SECS),
    };
    Signed::sign(&document, &key())
}

/// The system's clock, as transports want it.
#[must_use]
pub fn wall_clock() -> WallClock {
    Arc::new(now)
}

fn now() -> UnixSeconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixSeconds(since.map_or(0, |since| since.as_secs()))
}
