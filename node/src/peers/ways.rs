//! The ways from node to node as one transport: QUIC, and TCP where UDP does not get through.
//!
//! A node is dialed by its UDP address and listens over TCP at the same port. QUIC has a head
//! start, unless UDP has just been seen not to get through; while a connection over QUIC is alive,
//! UDP does get through, and nothing is tried over TCP.

use std::net::TcpListener;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use libp2p::PeerId;
use libp2p::core::Multiaddr;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{DialOpts, ListenerId, Transport, TransportError, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use quinn::Endpoint;
use tokio_util::sync::CancellationToken;

use super::address::{socket_address, tcp_address};
use super::quic::{self, ConfigError, QuicError, QuicTransport};
use super::settled::Settled;
use super::tcp::{self, TcpError, TcpTransport};
use super::tls::PeerTls;
use crate::two_ways::UdpSeen;

/// What goes wrong on either way.
#[derive(Debug, thiserror::Error)]
pub(super) enum WayError {
    #[error(transparent)]
    Quic(#[from] QuicError),
    #[error("over TCP: {0}")]
    Tcp(#[from] TcpError),
    #[error("the node is connected otherwise")]
    Settled,
}

type Connected = Result<(PeerId, StreamMuxerBox), WayError>;
type Event = TransportEvent<BoxFuture<'static, Connected>, WayError>;

/// Both ways.
pub(super) struct Ways {
    quic: QuicTransport,
    tcp: TcpTransport,
    udp: Arc<Udp>,
    settled: Settled,
}

impl Ways {
    pub(super) fn new(
        keypair: &Keypair,
        udp: Vec<Endpoint>,
        tcp: Vec<TcpListener>,
        settled: Settled,
    ) -> Result<Self, ConfigError> {
        let tls = PeerTls::new(keypair)?;
        Ok(Self {
            quic: QuicTransport::new(&tls, udp)?,
            tcp: TcpTransport::new(&tls, tcp)?,
            udp: Arc::default(),
            settled,
        })
    }
}

impl Transport for Ways {
    type Output = (PeerId, StreamMuxerBox);
    type Error = WayError;
    type ListenerUpgrade = BoxFuture<'static, Connected>;
    type Dial = BoxFuture<'static, Connected>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<WayError>> {
        match tcp_address(&address) {
            Some(tcp) => {
                let listening = self.tcp.listen_on(id, tcp);
                listening.map_err(|error| TransportError::Other(TcpError::from(error).into()))
            }
            None => self
                .quic
                .listen_on(id, address)
                .map_err(|error| error.map(WayError::from)),
        }
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.quic.remove_listener(id) || self.tcp.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<WayError>> {
        let (to, expected) = (socket_address(&address), named(&address));
        let over_quic = match self.quic.dial(address, opts) {
            Ok(dial) => dial,
            Err(TransportError::Other(error)) => futures::future::err(error).boxed(),
            Err(refused) => return Err(refused.map(WayError::from)),
        };
        let udp = Arc::clone(&self.udp);
        let over_quic = over_quic.map_ok(move |connected| udp.counted(connected));
        let connector = self.tcp.connector();
        let over_tcp = async move {
            let to = to.ok_or(TcpError::Address)?;
            let (peer, muxer) = tcp::dial(connector, to, expected).await?;
            Ok((peer, StreamMuxerBox::new(muxer)))
        };
        let dial = either(Arc::clone(&self.udp), over_quic, over_tcp);
        let settled = expected.map(|peer| self.settled.of(peer));
        Ok(unless_settled(dial, settled.unwrap_or_default()).boxed())
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(event) = Pin::new(&mut self.quic).poll(context) {
            let udp = &self.udp;
            let event = event.map_err(WayError::from).map_upgrade(|upgrade| {
                let udp = Arc::clone(udp);
                let counted = upgrade.map_ok(move |connected| {
                    udp.seen.works();
                    udp.counted(connected)
                });
                counted.err_into().boxed()
            });
            return Poll::Ready(event);
        }
        self.tcp.poll(context).map(|event| {
            event.map_err(WayError::from).map_upgrade(|upgrade| {
                let boxed = |(peer, muxer)| (peer, StreamMuxerBox::new(muxer));
                upgrade.map_ok(boxed).err_into().boxed()
            })
        })
    }
}

/// The peer an address names.
fn named(address: &Multiaddr) -> Option<PeerId> {
    address.iter().find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    })
}

/// What is known of UDP on the network the node is in.
#[derive(Default)]
struct Udp {
    /// Held by every connection over QUIC too.
    alive: Arc<()>,
    seen: UdpSeen,
}

impl Udp {
    /// The connection, counted as alive until it is gone.
    fn counted(&self, (peer, muxer): (PeerId, quic::Muxer)) -> (PeerId, StreamMuxerBox) {
        let muxer = muxer.holding(Arc::clone(&self.alive));
        (peer, StreamMuxerBox::new(muxer))
    }

    /// The end of a dial over QUIC, or the error if nothing came back.
    fn judge<T>(&self, outcome: Result<T, QuicError>) -> Result<Result<T, WayError>, QuicError> {
        match outcome {
            Err(error) if !error.is_answer() => Err(error),
            answered => {
                self.seen.works();
                Ok(answered.map_err(WayError::from))
            }
        }
    }

    /// Whether a connection over QUIC is alive.
    fn alive(&self) -> bool {
        Arc::strong_count(&self.alive) > 1
    }
}

/// A dial to its end, or until it is not needed any more.
async fn unless_settled<T>(
    dial: impl Future<Output = Result<T, WayError>>,
    settled: CancellationToken,
) -> Result<T, WayError> {
    tokio::select! {
        // What has led somewhere may stand at the other side already.
        biased;
        led = dial => led,
        () = settled.cancelled() => Err(WayError::Settled),
    }
}

/// The way that leads there first.
async fn either<T>(
    udp: Arc<Udp>,
    over_quic: impl Future<Output = Result<T, QuicError>>,
    over_tcp: impl Future<Output = Result<T, TcpError>>,
) -> Result<T, WayError> {
    let over_quic = async { udp.judge(over_quic.await).map_err(WayError::from) };
    if udp.alive() {
        return over_quic.await.unwrap_or_else(Err);
    }
    let over_tcp = async { Ok(over_tcp.await?) };
    udp.seen.first(over_quic, over_tcp).await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;
    use crate::peers::limits;

    const REFUSED: QuicError = QuicError::Connection(quinn::ConnectionError::Reset);

    /// TCP that must not be tried.
    async fn never() -> Result<u8, TcpError> {
        panic!("TCP was tried")
    }

    fn udp() -> Arc<Udp> {
        Arc::default()
    }

    #[tokio::test]
    async fn without_an_answer_over_udp_tcp_leads_there_and_is_not_waited_for_again() {
        let udp = udp();
        let silent = || pending::<Result<u8, QuicError>>();
        let led = either(Arc::clone(&udp), silent(), ready(Ok(2))).await;
        assert_eq!(led.expect("over TCP"), 2);
        assert_eq!(udp.seen.head_start(), Duration::ZERO);
        // Whoever QUIC leads to shows that it works again.
        let led = either(Arc::clone(&udp), ready(Ok(1)), pending()).await;
        assert_eq!(led.expect("over QUIC"), 1);
        assert_eq!(udp.seen.head_start(), limits::QUIC_HEAD_START);
    }

    #[tokio::test]
    async fn while_a_connection_over_quic_is_alive_nothing_is_tried_over_tcp() {
        let udp = udp();
        let alive = Arc::clone(&udp.alive);
        let timed_out = || ready(Err::<u8, _>(QuicError::HandshakeTimeout));
        let failed = either(Arc::clone(&udp), timed_out(), never()).await;
        assert!(matches!(failed, Err(WayError::Quic(_))));
        drop(alive);
        let led = either(udp, timed_out(), ready(Ok(2))).await;
        assert_eq!(led.expect("over TCP"), 2);
    }

    #[tokio::test]
    async fn an_answer_over_udp_counts_whatever_it_says() {
        let udp = udp();
        let led = either(Arc::clone(&udp), pending(), ready(Ok::<u8, _>(2))).await;
        assert_eq!(led.expect("over TCP"), 2);
        let refused = ready(Err::<u8, _>(REFUSED));
        let failed = either(Arc::clone(&udp), refused, pending()).await;
        assert!(matches!(failed, Err(WayError::Quic(_))));
        assert_eq!(udp.seen.head_start(), limits::QUIC_HEAD_START);
    }

    #[tokio::test]
    async fn a_dial_ends_when_its_node_is_connected_otherwise_but_not_what_it_led_to() {
        let (settled, peer) = (Settled::default(), PeerId::random());
        let over = settled.of(peer);
        settled.settle(peer);
        let ended = unless_settled(pending::<Result<u8, WayError>>(), over.clone()).await;
        assert!(matches!(ended, Err(WayError::Settled)));
        let led = unless_settled(ready(Ok(1)), over).await;
        assert_eq!(led.expect("it led there first"), 1);
        assert!(!settled.of(peer).is_cancelled(), "the next dial is another");
    }

    #[tokio::test]
    async fn a_dial_fails_when_both_ways_do() {
        let closed = ready(Err::<u8, _>(TcpError::Address));
        let timed_out = ready(Err(QuicError::HandshakeTimeout));
        assert!(either(udp(), timed_out, closed).await.is_err());
    }
}
