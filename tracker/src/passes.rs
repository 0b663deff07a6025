//! Tickets for peers and capabilities for origins: short-lived, and without the account.

use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{Capability, PASS_LIFETIME_SECS, RegionClass, Ticket};
use antiphon_protocol::tracker::Passes;
use antiphon_protocol::{Millis, NodeId};
use ed25519_dalek::SigningKey;

use crate::clock;

/// Passes are to be renewed at two thirds of their life.
const RENEW_AFTER: Millis = Millis((PASS_LIFETIME_SECS * 1_000 * 2 / 3) as u32);

/// New passes for a node.
pub(crate) fn issue(node: NodeId, key: &SigningKey) -> Passes {
    let expires = clock::now().plus_secs(PASS_LIFETIME_SECS);
    let ticket = Ticket {
        node,
        region: RegionClass::default(),
        expires,
    };
    let capability = Capability {
        nonce: rand::random(),
        expires,
    };
    Passes {
        ticket: Signed::sign(&ticket, key),
        capability: Signed::sign(&capability, key),
        renew_after: RENEW_AFTER,
    }
}
