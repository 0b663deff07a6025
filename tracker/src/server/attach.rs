//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::time::Instant;

use antiphon_protocol::tracker::{AccessToken, Attached, TrackerReply};
use antiphon_protocol::{ErrorCode, NodeId};

use super::answers::Refusal;
use super::connection::{Attachment, Connection};
use crate::clock;
use crate::passes;
use crate::swarms::{Newcomer, ProvenNode, contact};

/// Of a key and this connection.
type Proof<'a> = &'a ([u8; 32], [u8; 32]);

/// Believes a token only with the proof that its device opened this connection, and speaks of the
/// node only with the proof of its transport key.
pub(super) async fn attach(
    connection: &Connection,
    (token, proof): (AccessToken, Proof<'_>),
    (node, node_proof): (NodeId, Option<Proof<'_>>),
    addresses: &[SocketAddr],
) -> Result<TrackerReply, Refusal> {
    let context = &connection.context;
    let unauthenticated = Refusal::new(ErrorCode::UNAUTHENTICATED);
    let catalog_key = context.catalog_key.get();
    let catalog_key = catalog_key.ok_or(Refusal::later(ErrorCode::BUSY))?;
    let session = context.accounts.session(&token).await?;
    let session = session.ok_or(unauthenticated)?;
    let channel = connection.channel();
    let channel = channel.ok_or(Refusal::new(ErrorCode::INTERNAL))?;
    if !session.device.proves(&channel, proof) {
        return Err(unauthenticated);
    }
    let proven = match node_proof {
        Some(proof) => Some(ProvenNode::check(node, &channel, proof).ok_or(unauthenticated)?),
        None => None,
    };
    let account = session.account;
    let change = connection.change.lock().await;
    let attachment = connection.attach_as(Attachment {
        session,
        node,
        proven,
        token,
        checked: Instant::now(),
    });
    let attachment = attachment.ok_or(Refusal::new(ErrorCode::FORBIDDEN))?;
    if let Some(node) = attachment.proven {
        join(connection, node, addresses).await;
    }
    drop(change);
    Ok(TrackerReply::Attached(Box::new(Attached {
        account,
        tracker_key: context.signing.verifying_key().to_bytes(),
        catalog_key: catalog_key.to_bytes(),
        origins: context.origins.clone(),
        passes: passes::issue(node, &context.signing),
        observed: connection.observed(),
        now: clock::now(),
    })))
}

async fn join(connection: &Connection, node: ProvenNode, addresses: &[SocketAddr]) {
    let observed = connection.observed();
    let newcomer = Newcomer {
        node,
        attach: connection.attach,
        observed,
        serves_there: contact::is_peer_socket(addresses, observed),
        addresses: contact::dialable(addresses, observed),
        notices: connection.notices.clone(),
    };
    connection.context.swarms.join(newcomer).await;
}
