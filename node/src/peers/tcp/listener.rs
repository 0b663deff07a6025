//! One listening socket: which strangers get as far as a handshake.

use std::future::Future as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use futures_rustls::TlsAcceptor;
use libp2p::core::transport::{ListenerId, TransportEvent};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep};

use super::{Event, handshake};
use crate::peers::address::tcp_multiaddr;

/// Connections looked at before others get the task; guess.
const ATTEMPTS_A_POLL: usize = 32;

/// Nothing is accepted for this long after that failed: the system is short of something. Guess.
const REST: Duration = Duration::from_millis(500);

pub(super) struct Listener {
    id: ListenerId,
    socket: TcpListener,
    bound: SocketAddr,
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
    resting: Option<Pin<Box<Sleep>>>,
}

impl Listener {
    pub(super) fn new(
        id: ListenerId,
        (socket, bound): (TcpListener, SocketAddr),
        acceptor: TlsAcceptor,
        handshakes: Arc<Semaphore>,
    ) -> Self {
        Self {
            id,
            socket,
            bound,
            acceptor,
            handshakes,
            resting: None,
        }
    }

    pub(super) const fn id(&self) -> ListenerId {
        self.id
    }

    #[cfg(test)]
    pub(super) const fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// The next handshake.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if let Some(resting) = &mut self.resting {
            ready!(resting.as_mut().poll(context));
            self.resting = None;
        }
        for _ in 0..ATTEMPTS_A_POLL {
            match ready!(self.socket.poll_accept(context)) {
                Ok((socket, from)) => {
                    if let Some(event) = self.admit(socket, from) {
                        return Poll::Ready(event);
                    }
                }
                Err(error) => {
                    tracing::debug!(address = %self.bound, %error, "cannot accept over TCP for now");
                    self.resting = Some(Box::pin(sleep(REST)));
                    break;
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Beyond the limit the socket is closed at once, which tells the dialer.
    fn admit(&self, socket: TcpStream, from: SocketAddr) -> Option<Event> {
        let permit = Arc::clone(&self.handshakes).try_acquire_owned().ok()?;
        let acceptor = self.acceptor.clone();
        let upgrade = async move {
            let connected = handshake::accept(acceptor, socket).await;
            drop(permit);
            connected
        };
        Some(TransportEvent::Incoming {
            listener_id: self.id,
            upgrade: upgrade.boxed(),
            local_addr: tcp_multiaddr(self.bound),
            send_back_addr: tcp_multiaddr(from),
        })
    }
}
