//! What the transports report, as inputs of the core.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::{Millis, NodeId};
use antiphon_swarm::node::input::{FetchEvent, NeighborEvent};
use antiphon_swarm::{Duration, Input, PeerKey};

use super::{Driver, OriginEvent, PeerEvent};
use crate::clock::core_duration;

/// How long a peer should wait before it asks again for what this node does not hold.
const NOT_HELD_RETRY: Millis = Millis(10_000);

impl Driver {
    pub(super) fn on_peer(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected {
                node,
                outbound,
                rtt,
                limits,
                region: _,
            } => {
                let event = NeighborEvent::Connected {
                    outbound,
                    rtt: core_duration(rtt),
                    spans_in_flight: limits.spans_in_flight,
                    uploads: limits.uploads,
                };
                self.neighbor(node, event);
            }
            PeerEvent::Unanswered { node } => self.ask_introduction(node),
            PeerEvent::DialFailed { node } => self.neighbor(node, NeighborEvent::DialFailed),
            PeerEvent::Disconnected { node, code } => {
                self.neighbor(node, NeighborEvent::Disconnected { code });
            }
            PeerEvent::Rtt { node, rtt } => {
                self.neighbor(node, NeighborEvent::Rtt(core_duration(rtt)));
            }
            PeerEvent::Misbehaved { node, what } => {
                tracing::info!(%node, %what, "a peer misbehaved");
                self.neighbor(node, NeighborEvent::Misbehaved);
            }
            PeerEvent::Message { node, message } => {
                let Some(peer) = self.peer(node) else { return };
                if let Some(message) = self.directory.read_message(message) {
                    self.feed(Input::Message { peer, message });
                }
            }
            PeerEvent::SpanAsked {
                upload,
                node,
                request,
            } => {
                let rendition = self.directory.rendition_of_swarm(request.swarm);
                let (Some(peer), Some(rendition)) = (self.peer(node), rendition) else {
                    self.peers
                        .decline_upload(upload, ErrorCode::NOT_HELD, NOT_HELD_RETRY);
                    return;
                };
                self.uploads.insert(upload, rendition);
                self.feed(Input::SpanAsked {
                    upload,
                    peer,
                    rendition,
                    span: request.span,
                    priority: request.priority,
                    deadline: Duration::from_millis(u64::from(request.deadline.clamped().0)),
                });
            }
            PeerEvent::UploadEnded {
                upload,
                sent,
                complete,
            } => {
                self.uploaded = self.uploaded.saturating_add(sent);
                self.feed(Input::UploadEnded {
                    upload,
                    sent,
                    complete,
                });
            }
            PeerEvent::Fetch { fetch, event } => self.on_fetch(fetch, event),
        }
    }

    pub(super) fn on_origin(&mut self, event: OriginEvent) {
        self.on_fetch(event.fetch, event.event);
    }

    fn on_fetch(&mut self, fetch: antiphon_swarm::FetchId, event: FetchEvent) {
        if event == FetchEvent::Corrupt {
            self.corrupt_chunks += 1;
        }
        self.feed(Input::Fetch { fetch, event });
    }

    fn neighbor(&mut self, node: NodeId, event: NeighborEvent) {
        if let Some(peer) = self.peer(node) {
            tracing::debug!(?peer, ?event, "hears of a neighbor");
            self.feed(Input::Neighbor { peer, event });
        }
    }

    /// The key of a node; a new one for somebody who dialed us.
    fn peer(&mut self, node: NodeId) -> Option<PeerKey> {
        self.directory.intern_node(node)
    }
}
