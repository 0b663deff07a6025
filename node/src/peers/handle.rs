//! What the driver can ask of the transport. Nothing here waits.

use std::net::SocketAddr;
use std::sync::Arc;

use antiphon_protocol::peer::{PeerContact, PeerMessage};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Ticket;
use antiphon_protocol::{ByteCount, ContentId, ErrorCode, Geometry, Millis, NodeId};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::{FetchId, UploadId};
use tokio_util::sync::DropGuard;

use super::hub::{Command, Decision, Hub};
use super::{FetchOrder, PeerEvent, fetch, limits};

/// Asks things of the transport. Clones share it; it ends when the last is dropped.
#[derive(Clone)]
pub struct PeerHandle {
    node: NodeId,
    hub: Arc<Hub>,
    _stop_when_dropped: Arc<DropGuard>,
}

impl PeerHandle {
    pub(super) fn new(node: NodeId, hub: Arc<Hub>) -> Self {
        let guard = Arc::new(hub.stop.clone().drop_guard());
        Self {
            node,
            hub,
            _stop_when_dropped: guard,
        }
    }

    /// This node's transport key.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The addresses listened on, as configured but with the ports taken.
    #[must_use]
    pub fn listen_addresses(&self) -> &[SocketAddr] {
        self.hub.listening.get().map_or(&[], Vec::as_slice)
    }

    /// Uses this ticket from now on and shows it to every neighbor. Before the first one, nobody
    /// can be connected to.
    pub fn set_ticket(&self, ticket: Signed<Ticket>) {
        self.hub.ticket.send_replace(Some(ticket));
    }

    /// Connects. [`PeerEvent::Connected`] or [`PeerEvent::DialFailed`] answers; for a node that is
    /// connected already, the former has been said before.
    pub fn dial(&self, contact: PeerContact) {
        let node = contact.node;
        if self.hub.neighbor(node).is_some() || !self.hub.dial_begins(node) {
            return;
        }
        let command = Command::Dial {
            node,
            addresses: contact.addresses,
        };
        if self.hub.commands.try_send(command).is_err() && self.hub.dial_ends(node) {
            self.hub.tell_later(PeerEvent::DialFailed { node });
        }
    }

    /// Dials a node that was introduced, at the address it is seen at; within limits, and said of
    /// only if it leads to a neighbor.
    pub fn dial_back(&self, node: NodeId, address: SocketAddr) {
        let command = Command::DialBack { node, address };
        // A transport that is busy does without, as if the introduction had got lost.
        let _ = self.hub.commands.try_send(command);
    }

    /// Ends the connection with a neighbor and tells it why.
    pub fn close(&self, node: NodeId, code: ErrorCode) {
        if let Some(neighbor) = self.hub.neighbor(node) {
            neighbor.close(code);
        }
    }

    /// Sends a control message; dropped if the node is no neighbor. A neighbor that does not take
    /// its messages is closed with [`ErrorCode::BUSY`].
    pub fn send(&self, node: NodeId, message: PeerMessage) {
        if let Some(neighbor) = self.hub.neighbor(node) {
            neighbor.send(message);
        }
    }

    /// Fetches a span. [`PeerEvent::Fetch`] tells how it goes.
    pub fn fetch(&self, order: FetchOrder) {
        match self.hub.neighbor(order.node) {
            Some(neighbor) => {
                let canceled = self.hub.fetch_begins(order.fetch);
                let run = fetch::run(Arc::clone(&self.hub), neighbor, order, canceled);
                self.hub.runtime.spawn(run);
            }
            None => self.hub.tell_later(PeerEvent::Fetch {
                fetch: order.fetch,
                event: FetchEvent::Failed,
            }),
        }
    }

    /// Ends a fetch; nothing further is reported of it.
    pub fn cancel(&self, fetch: FetchId) {
        self.hub.cancel_fetch(fetch);
    }

    /// Serves a span that was asked for. [`PeerEvent::UploadEnded`] follows.
    pub fn accept_upload(&self, upload: UploadId, content: ContentId, geometry: Geometry) {
        let decision = Decision::Accept { content, geometry };
        if !self.hub.decide_upload(upload, decision) {
            self.hub.tell_later(PeerEvent::UploadEnded {
                upload,
                sent: ByteCount::ZERO,
                complete: false,
            });
        }
    }

    /// Does not serve a span that was asked for.
    pub fn decline_upload(&self, upload: UploadId, code: ErrorCode, retry_after: Millis) {
        let decision = Decision::Decline { code, retry_after };
        self.hub.decide_upload(upload, decision);
    }

    /// Ends an accepted upload early; [`PeerEvent::UploadEnded`] still follows. The asker sees the
    /// span end early, whatever the reason.
    pub fn end_upload(&self, upload: UploadId, code: ErrorCode) {
        tracing::debug!(upload = upload.0, %code, "upload ended early");
        self.hub.end_upload(upload);
    }

    /// Says goodbye to every neighbor and ends the transport.
    pub async fn shutdown(&self) {
        let neighbors = self.hub.neighbors();
        for neighbor in &neighbors {
            neighbor.close(ErrorCode::GOING_AWAY);
        }
        // The other sides close as soon as they have read the goodbye.
        let all_over = async {
            for neighbor in &neighbors {
                neighbor.over.cancelled().await;
            }
            tokio::time::sleep(limits::FAREWELL).await;
        };
        let _ = tokio::time::timeout(limits::LINGER, all_over).await;
        self.hub.stop.cancel();
    }
}
