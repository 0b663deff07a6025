//! A connection over TCP: a task of its own moves everything, and handles open and take streams.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use antiphon_protocol::identity::CHANNEL_LABEL;
use antiphon_protocol::version::TRACKER_ALPN;
use futures::task::AtomicWaker;
use futures_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Lost;
use crate::muxed::{Capped, Mode, MuxLimits, MuxStream, Muxer, Secured};

/// Longest frame of data on the wire, both ways: yamux's own choice for sending.
pub const FRAME_BYTES_MAX: usize = 16 * 1024;
/// rustls wants a name although nobody sends or looks at it.
const SERVER_NAME: &str = "antiphon-tracker";

/// What a connection may cost.
#[derive(Clone, Copy, Debug)]
pub struct TcpLimits {
    /// Bytes that may come before the handshake is finished.
    pub handshake_bytes: usize,
    /// Bytes TLS keeps until the system takes them.
    pub tls_bytes: usize,
    /// Everything after the handshake.
    pub streams: MuxLimits,
}

/// A connection over TLS and TCP. Clones share it; it ends with the last.
#[derive(Clone, Debug)]
pub struct TcpConnection(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    remote: SocketAddr,
    channel: [u8; 32],
    rtt: Duration,
}

impl TcpConnection {
    /// The server's end of the handshake. It has no time limit of its own.
    ///
    /// # Errors
    /// If the handshake fails.
    pub async fn accept(
        acceptor: &TlsAcceptor,
        socket: TcpStream,
        limits: TcpLimits,
    ) -> io::Result<Self> {
        let tls_bytes = Some(limits.tls_bytes);
        let handshake =
            |socket| acceptor.accept_with(socket, |tls| tls.set_buffer_limit(tls_bytes));
        let secure = async |socket| handshake(socket).await.map(TlsStream::Server);
        Self::start(socket, limits, Mode::Server, secure).await
    }

    /// The client's end of the handshake. It has no time limit of its own.
    ///
    /// # Errors
    /// If the handshake fails.
    pub async fn connect(
        connector: &TlsConnector,
        socket: TcpStream,
        limits: TcpLimits,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let tls_bytes = Some(limits.tls_bytes);
        let handshake =
            |socket| connector.connect_with(name, socket, |tls| tls.set_buffer_limit(tls_bytes));
        let secure = async |socket| handshake(socket).await.map(TlsStream::Client);
        Self::start(socket, limits, Mode::Client, secure).await
    }

    async fn start(
        socket: TcpStream,
        limits: TcpLimits,
        mode: Mode,
        secure: impl AsyncFnOnce(Capped) -> io::Result<Secured>,
    ) -> io::Result<Self> {
        let remote = socket.peer_addr()?;
        // Requests and replies are small and must not wait for more to send.
        socket.set_nodelay(true)?;
        let began = Instant::now();
        let mut secured = secure(Capped::new(socket, limits.handshake_bytes)).await?;
        let rtt = began.elapsed();
        let (socket, session) = secured.get_mut();
        // TLS itself does not mind if a client names no protocol.
        if session.alpn_protocol() != Some(TRACKER_ALPN) {
            return Err(io::Error::other("the other side speaks another protocol"));
        }
        socket.lift();
        let channel = channel(&secured).map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            muxer: Mutex::new(Some(Muxer::new(secured, mode, limits.streams))),
            driver: AtomicWaker::new(),
            close: CancellationToken::new(),
            over: CancellationToken::new(),
        });
        tokio::spawn(drive(Arc::clone(&shared)));
        Ok(Self(Arc::new(Handle {
            shared,
            remote,
            channel,
            rtt,
        })))
    }

    pub(super) async fn open(&self) -> Result<MuxStream, Lost> {
        let shared = &self.0.shared;
        shared
            .unless_over(poll_fn(|context| shared.poll_open(context)))
            .await
    }

    pub(super) async fn accept_stream(&self) -> Result<MuxStream, Lost> {
        let shared = &self.0.shared;
        shared
            .unless_over(poll_fn(|context| shared.poll_accept(context)))
            .await
    }

    pub(super) fn channel(&self) -> [u8; 32] {
        self.0.channel
    }

    pub(super) fn remote_address(&self) -> SocketAddr {
        self.0.remote
    }

    pub(super) fn rtt(&self) -> Duration {
        self.0.rtt
    }

    pub(super) fn close(&self) {
        self.0.shared.close.cancel();
    }

    pub(super) async fn closed(&self) {
        self.0.shared.over.cancelled().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close.cancel();
    }
}

/// The same keying material as over QUIC.
fn channel(secured: &Secured) -> Result<[u8; 32], rustls::Error> {
    match secured {
        TlsStream::Client(tls) => {
            let session = tls.get_ref().1;
            session.export_keying_material([0; 32], CHANNEL_LABEL, Some(b""))
        }
        TlsStream::Server(tls) => {
            let session = tls.get_ref().1;
            session.export_keying_material([0; 32], CHANNEL_LABEL, Some(b""))
        }
    }
}

/// Between the task and the handles.
#[derive(Debug)]
struct Shared {
    /// None when the connection is over. Locked for one poll at a time.
    muxer: Mutex<Option<Muxer>>,
    /// The task.
    driver: AtomicWaker,
    /// The connection is to end.
    close: CancellationToken,
    /// It has ended.
    over: CancellationToken,
}

/// Moves everything of a connection until it ends.
async fn drive(shared: Arc<Shared>) {
    tokio::select! {
        () = poll_fn(|context| shared.poll(context)) => {}
        () = shared.close.cancelled() => poll_fn(|context| shared.poll_close(context)).await,
    }
    // With it end its streams.
    drop(shared.muxer().take());
    shared.over.cancel();
}

impl Shared {
    fn muxer(&self) -> MutexGuard<'_, Option<Muxer>> {
        self.muxer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.driver.register(context.waker());
        match self.muxer().as_mut() {
            Some(muxer) => muxer.poll(context).map(drop),
            None => Poll::Ready(()),
        }
    }

    fn poll_close(&self, context: &mut Context<'_>) -> Poll<()> {
        match self.muxer().as_mut() {
            Some(muxer) => muxer.poll_close(context).map(drop),
            None => Poll::Ready(()),
        }
    }

    fn poll_open(&self, context: &mut Context<'_>) -> Poll<Result<MuxStream, Lost>> {
        let opened = match self.muxer().as_mut() {
            Some(muxer) => muxer.poll_outbound(context).map_err(|_| Lost),
            None => Poll::Ready(Err(Lost)),
        };
        // It is the task that sees to a new stream.
        self.driver.wake();
        opened
    }

    fn poll_accept(&self, context: &Context<'_>) -> Poll<Result<MuxStream, Lost>> {
        match self.muxer().as_mut() {
            Some(muxer) => muxer.poll_inbound(context).map(Ok),
            None => Poll::Ready(Err(Lost)),
        }
    }

    async fn unless_over<T>(&self, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
        tokio::select! {
            done = work => done,
            () = self.over.cancelled() => Err(Lost),
        }
    }
}
