//! Raw streams as a libp2p behaviour: opens them on one certain connection and hands over those
//! the other side opens.
//!
//! `libp2p-stream` does nearly this, but it names streams by peer and not by connection, which
//! leaves simultaneous dials undecided, and drops inbound streams when two arrive together.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use antiphon_protocol::version;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use tokio::sync::oneshot;

use super::address::node_of;
use super::limits::STREAMS_MAX;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamKind {
    Control,
    Data,
}

impl StreamKind {
    const fn protocol(self) -> StreamProtocol {
        match self {
            Self::Control => StreamProtocol::new(version::PEER_CONTROL),
            Self::Data => StreamProtocol::new(version::PEER_DATA),
        }
    }
}

/// An order to open a stream. The answer is the stream; a dropped answer means it failed.
pub(super) struct Open {
    pub kind: StreamKind,
    pub opened: oneshot::Sender<Stream>,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open({:?})", self.kind)
    }
}

/// A stream the other side opened.
#[derive(Debug)]
pub(super) struct Inbound {
    pub connection: ConnectionId,
    pub kind: StreamKind,
    pub stream: Stream,
}

/// The behaviour. Its queue is bounded by who calls [`Streams::open`]: the pools.
#[derive(Default)]
pub(super) struct Streams {
    queue: VecDeque<ToSwarm<Inbound, Open>>,
}

impl Streams {
    /// Opens a stream on this connection. Swarm polls after every command, so no waker is kept.
    pub(super) fn open(&mut self, peer_id: PeerId, connection: ConnectionId, open: Open) {
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: open,
        });
    }
}

fn only_nodes(peer: &PeerId) -> Result<StreamHandler, ConnectionDenied> {
    match node_of(peer) {
        Some(_) => Ok(StreamHandler::default()),
        None => Err(ConnectionDenied::new(NotANode)),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the peer id is not made from an Ed25519 key")]
struct NotANode;

impl NetworkBehaviour for Streams {
    type ConnectionHandler = StreamHandler;
    type ToSwarm = Inbound;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        only_nodes(&peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        only_nodes(&peer)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        connection: ConnectionId,
        (kind, stream): THandlerOutEvent<Self>,
    ) {
        self.queue.push_back(ToSwarm::GenerateEvent(Inbound {
            connection,
            kind,
            stream,
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Inbound, THandlerInEvent<Self>>> {
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// One connection's half of [`Streams`].
#[derive(Default)]
pub(super) struct StreamHandler {
    /// At most as many as streams may be open.
    to_open: VecDeque<Open>,
    arrived: VecDeque<(StreamKind, Stream)>,
}

impl ConnectionHandler for StreamHandler {
    type FromBehaviour = Open;
    type ToBehaviour = (StreamKind, Stream);
    type InboundProtocol = Offer;
    type OutboundProtocol = Offer;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Stream>;

    fn listen_protocol(&self) -> SubstreamProtocol<Offer> {
        SubstreamProtocol::new(Offer(&[StreamKind::Control, StreamKind::Data]), ())
    }

    /// Sessions end connections, and each has a deadline until it is one.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Offer, oneshot::Sender<Stream>, (StreamKind, Stream)>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        match self.to_open.pop_front() {
            Some(Open { kind, opened }) => {
                let offer = match kind {
                    StreamKind::Control => Offer(&[StreamKind::Control]),
                    StreamKind::Data => Offer(&[StreamKind::Data]),
                };
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                    protocol: SubstreamProtocol::new(offer, opened),
                })
            }
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, open: Open) {
        if self.to_open.len() < STREAMS_MAX as usize {
            self.to_open.push_back(open);
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Offer, Offer, (), oneshot::Sender<Stream>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) if self.arrived.len() < STREAMS_MAX as usize => self.arrived.push_back(protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (_, stream),
                info: opened,
            }) => drop(opened.send(stream)),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, .. }) => drop(info),
            _ => {}
        }
    }
}

/// The protocols offered or accepted on a new stream.
pub(super) struct Offer(&'static [StreamKind]);

impl UpgradeInfo for Offer {
    type Info = StreamProtocol;
    type InfoIter = Vec<StreamProtocol>;

    fn protocol_info(&self) -> Vec<StreamProtocol> {
        self.0.iter().map(|kind| kind.protocol()).collect()
    }
}

fn agreed(protocol: &StreamProtocol) -> StreamKind {
    if *protocol == StreamKind::Control.protocol() {
        StreamKind::Control
    } else {
        StreamKind::Data
    }
}

impl InboundUpgrade<Stream> for Offer {
    type Output = (StreamKind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((agreed(&protocol), stream)))
    }
}

impl OutboundUpgrade<Stream> for Offer {
    type Output = (StreamKind, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((agreed(&protocol), stream)))
    }
}
