//! The TCP side, for nodes whose network lets no UDP through: TLS with the same certificate, and the
//! same limits as over QUIC. TCP's own handshake has proved the address of whoever comes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::admission::Verdict;
use antiphon_transport::connection::{Connection, FRAME_BYTES_MAX, TcpConnection, TcpLimits};
use antiphon_transport::muxed::MuxLimits;
use antiphon_transport::port::{self, ListenOptions};
use futures_rustls::TlsAcceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{
    BindError, Door, HANDSHAKES_MAX, IDLE_TIMEOUT, Newcomer, STREAMS_MAX, UNREAD_MAX, UNSENT_MAX,
};
use crate::keys::Keys;
use crate::metrics::Way;

/// Handshakes under way over TCP, of all there may be: those over QUIC go on when somebody who
/// says nothing holds all of these.
const TCP_HANDSHAKES_MAX: usize = HANDSHAKES_MAX / 2;
/// Shorter than over QUIC, because nothing that is lost here has to be sent again by us.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Nothing is accepted for this long after that failed: the system is short of something. Guess.
const REST: Duration = Duration::from_millis(500);

const LISTEN: ListenOptions = ListenOptions {
    // As the UDP socket beside it.
    only_v6: false,
    // A reply of any size is at most four round trips; most need one.
    bytes: 64 * 1024,
    // All handshakes there may be, twice; guess.
    backlog: 128,
};

const LIMITS: TcpLimits = TcpLimits {
    // As over QUIC.
    handshake_bytes: 16 * 1024,
    // Four full records.
    tls_bytes: 64 * 1024,
    streams: MuxLimits {
        // As many again may be closing, or be notices.
        streams: 2 * STREAMS_MAX,
        arrived: STREAMS_MAX,
        frame_bytes: FRAME_BYTES_MAX,
        unread_bytes: UNREAD_MAX,
        unsent_bytes: UNSENT_MAX,
        idle: IDLE_TIMEOUT,
        ping_look: Some(Duration::from_secs(5)),
        // For the last replies to leave when the tracker stops; guess.
        linger: Duration::from_secs(1),
    },
};

/// TLS as for QUIC; nothing is kept for those who come again, because every connection proves its
/// device anew.
pub(super) fn acceptor(keys: &Keys) -> Result<TlsAcceptor, BindError> {
    let mut tls = keys.tls()?;
    tls.send_tls13_tickets = 0;
    Ok(Arc::new(tls).into())
}

pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    port::listen(address, LISTEN)
}

/// A socket that listens, and what it takes to shake hands there.
pub(super) struct Listener {
    socket: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: Arc<Semaphore>,
}

impl Listener {
    pub(super) fn new(socket: std::net::TcpListener, acceptor: TlsAcceptor) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::from_std(socket)?,
            acceptor,
            handshakes: Arc::new(Semaphore::new(TCP_HANDSHAKES_MAX)),
        })
    }

    /// Accepts connections until the tracker stops.
    pub(super) async fn accept(self, door: &Door) {
        loop {
            let accepted = tokio::select! {
                () = door.context.stop.cancelled() => return,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, from)) => self.admit(door, socket, from),
                Err(error) => {
                    tracing::debug!(%error, "cannot accept over TCP for now");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    /// Whoever is not admitted is closed at once.
    fn admit(&self, door: &Door, socket: TcpStream, from: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.handshakes).try_acquire_owned() else {
            door.context.metrics.turned_away.add(1);
            return;
        };
        let Verdict::Admit(place) = door.decide(from.ip(), true) else {
            return;
        };
        let newcomer = Newcomer {
            place,
            from,
            way: Way::Tcp,
            patience: HANDSHAKE_TIMEOUT,
        };
        let acceptor = self.acceptor.clone();
        let handshake = async move {
            let connected = TcpConnection::accept(&acceptor, socket, LIMITS).await;
            drop(permit);
            connected.ok().map(Connection::Tcp)
        };
        door.let_in(newcomer, handshake);
    }
}
