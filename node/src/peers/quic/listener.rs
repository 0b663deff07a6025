//! One listening socket: which attempts of strangers become handshakes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::core::transport::{ListenerId, TransportEvent};
use quinn::{Endpoint, Incoming};
use tokio::sync::Semaphore;

use super::{Event, handshake};
use crate::peers::address::multiaddr;
use crate::peers::limits;
use crate::peers::sockets::reaches;

/// Attempts looked at before others get the task; guess.
const ATTEMPTS_A_POLL: usize = 32;

pub(super) struct Listener {
    id: ListenerId,
    endpoint: Endpoint,
    bound: SocketAddr,
    handshakes: Arc<Semaphore>,
    next: BoxFuture<'static, Option<Incoming>>,
}

impl Listener {
    pub(super) fn new(
        id: ListenerId,
        endpoint: Endpoint,
        bound: SocketAddr,
        handshakes: Arc<Semaphore>,
    ) -> Self {
        let next = accept(endpoint.clone());
        Self {
            id,
            endpoint,
            bound,
            handshakes,
            next,
        }
    }

    pub(super) fn id(&self) -> ListenerId {
        self.id
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    /// Whether packets from here get to `to`.
    pub(super) fn reaches(&self, to: SocketAddr) -> bool {
        reaches(self.bound, to)
    }

    /// Takes no new connections; those there are stay.
    pub(super) fn close(self) {
        self.endpoint.set_server_config(None);
    }

    /// The next handshake; nothing when the socket is gone.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        for _ in 0..ATTEMPTS_A_POLL {
            let Some(incoming) = ready!(self.next.poll_unpin(context)) else {
                return Poll::Ready(None);
            };
            self.next = accept(self.endpoint.clone());
            if let Some(event) = self.admit(incoming) {
                return Poll::Ready(Some(event));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn admit(&self, incoming: Incoming) -> Option<Event> {
        let open = limits::PENDING_INCOMING_MAX as usize - self.handshakes.available_permits();
        if must_prove_address(open, incoming.remote_address_validated()) {
            // Costs the honest a round trip; forged addresses end here.
            let _ = incoming.retry();
            return None;
        }
        let Ok(permit) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            incoming.refuse();
            return None;
        };
        let from = incoming.remote_address();
        let connecting = match incoming.accept() {
            Ok(connecting) => connecting,
            Err(error) => {
                tracing::debug!(%from, %error, "a connection attempt is no good");
                return None;
            }
        };
        let upgrade = async move {
            let connected = handshake::finish(connecting).await;
            drop(permit);
            connected
        };
        Some(TransportEvent::Incoming {
            listener_id: self.id,
            upgrade: upgrade.boxed(),
            local_addr: multiaddr(self.bound),
            send_back_addr: multiaddr(from),
        })
    }
}

/// Whether a stranger has to show first that it gets packets at its address.
pub(super) fn must_prove_address(open: usize, proven: bool) -> bool {
    open >= limits::HANDSHAKES_BEFORE_RETRY && !proven
}

fn accept(endpoint: Endpoint) -> BoxFuture<'static, Option<Incoming>> {
    async move { endpoint.accept().await }.boxed()
}
