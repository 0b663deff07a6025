//! One origin: its warm QUIC connection, how to get it back, and how it has been doing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use antiphon_protocol::tracker::OriginAddress;
use antiphon_protocol::version::ORIGIN_ALPN;
use antiphon_swarm::node::output::OriginRoute;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, select_ok};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, TokenMemoryCache, TransportConfig, VarInt};
use rustls::client::Resumption;
use tokio::time::{sleep, timeout};

use super::ranking::Health;
use super::rtt_memory::RttMemory;
use super::{Stats, lock};
use crate::pinned_certificate;

/// One origin.
pub(super) struct Link {
    pub(super) address: OriginAddress,
    endpoint: Endpoint,
    /// Sessions live in it, so each origin keeps its own for as long as it is known.
    tls: Arc<QuicClientConfig>,
    /// Proofs of our address, so that the origin may send a whole head before the handshake ends.
    tokens: Arc<TokenMemoryCache>,
    rtts: Arc<RttMemory>,
    stats: Arc<Stats>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    connecting: Option<Connecting>,
    /// Where the last connection went; asked first, because the session and token fit it.
    last: Option<SocketAddr>,
    quic_health: Health,
    http_health: Health,
}

impl State {
    const fn health(&mut self, route: OriginRoute) -> &mut Health {
        match route {
            OriginRoute::Quic => &mut self.quic_health,
            OriginRoute::Http => &mut self.http_health,
        }
    }
}

type Connecting = Shared<BoxFuture<'static, Result<Connection, ConnectError>>>;

impl Link {
    pub(super) fn new(
        address: OriginAddress,
        endpoint: Endpoint,
        rtts: Arc<RttMemory>,
        stats: Arc<Stats>,
    ) -> Self {
        let mut tls = pinned_certificate::tls(address.certificate, ORIGIN_ALPN);
        tls.enable_early_data = true;
        tls.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Self {
            tls: pinned_certificate::quic(tls),
            address,
            endpoint,
            tokens: Arc::new(TokenMemoryCache::default()),
            rtts,
            stats,
            state: Mutex::default(),
        }
    }

    /// The warm connection, or a new one. Everybody who asks meanwhile waits for the same one.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Connection, ConnectError> {
        let connecting = {
            let mut state = lock(&self.state);
            let open = |connection: &&Connection| connection.close_reason().is_none();
            if let Some(connection) = state.connection.as_ref().filter(open) {
                return Ok(connection.clone());
            }
            let start = || Arc::clone(self).start_connecting();
            state.connecting.get_or_insert_with(start).clone()
        };
        connecting.await
    }

    /// Stops using a connection that does not answer; transfers on it may still end.
    pub(super) fn abandon(&self, connection: &Connection) {
        let mut state = lock(&self.state);
        let same = |kept: &Connection| kept.stable_id() == connection.stable_id();
        if state.connection.as_ref().is_some_and(same) {
            state.connection = None;
        }
    }

    pub(super) fn health(&self, route: OriginRoute) -> Health {
        *lock(&self.state).health(route)
    }

    pub(super) fn succeeded(&self, route: OriginRoute) {
        lock(&self.state).health(route).succeeded();
    }

    pub(super) fn failed(&self, route: OriginRoute) {
        lock(&self.state).health(route).failed(Instant::now());
    }

    pub(super) fn remember_rtt(&self, connection: &Connection) {
        let fingerprint = &self.address.certificate;
        self.rtts.remember(fingerprint, connection.rtt());
    }

    /// Connects in a task of its own, so that it ends even if nobody waits any more.
    fn start_connecting(self: Arc<Self>) -> Connecting {
        let task = tokio::spawn(async move {
            let result = match timeout(CONNECT_TIMEOUT, self.connect()).await {
                Ok(result) => result,
                Err(_) => Err(ConnectError::Timeout),
            };
            Stats::count(match result {
                Ok(_) => &self.stats.connections,
                Err(_) => &self.stats.connections_failed,
            });
            let mut state = lock(&self.state);
            state.connecting = None;
            state.connection = result.as_ref().ok().cloned();
            result
        });
        async move { task.await.unwrap_or(Err(ConnectError::Timeout)) }
            .boxed()
            .shared()
    }

    async fn connect(self: &Arc<Self>) -> Result<Connection, ConnectError> {
        let found = tokio::net::lookup_host(&self.address.host).await;
        let found = found.map_err(|error| ConnectError::Resolve(error.to_string()))?;
        let mut addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        let last = lock(&self.state).last;
        addresses.sort_by_key(|address| Some(*address) != last);
        let mut head_start = Duration::ZERO;
        let mut attempts = Vec::new();
        for address in addresses {
            let wait = head_start;
            attempts.push(
                async move {
                    sleep(wait).await;
                    self.connect_to(address).await
                }
                .boxed(),
            );
            head_start += HEAD_START;
        }
        if attempts.is_empty() {
            return Err(ConnectError::Resolve("the name has no address".to_owned()));
        }
        let ((connection, address), _) = select_ok(attempts).await?;
        lock(&self.state).last = Some(address);
        Ok(connection)
    }

    async fn connect_to(
        self: &Arc<Self>,
        address: SocketAddr,
    ) -> Result<(Connection, SocketAddr), ConnectError> {
        let config = self.client_config();
        let refused = |error: &dyn std::fmt::Display| ConnectError::Refused(error.to_string());
        let connecting = self
            .endpoint
            .connect_with(config, address, SERVER_NAME)
            .map_err(|error| refused(&error))?;
        match connecting.into_0rtt() {
            Ok((connection, accepted)) => {
                Stats::count(&self.stats.zero_rtt_offered);
                let (link, early) = (Arc::clone(self), connection.clone());
                tokio::spawn(async move {
                    match timeout(CONNECT_TIMEOUT, accepted).await {
                        Ok(true) => Stats::count(&link.stats.zero_rtt_accepted),
                        // Its fetches notice and ask again.
                        Ok(false) => {}
                        Err(_) => early.close(VarInt::from_u32(0), b"no answer"),
                    }
                });
                Ok((connection, address))
            }
            Err(connecting) => {
                let connection = connecting.await.map_err(|error| refused(&error))?;
                self.remember_rtt(&connection);
                Ok((connection, address))
            }
        }
    }

    fn client_config(&self) -> ClientConfig {
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(WINDOW_BYTES))
            .send_window(SEND_WINDOW_BYTES)
            .datagram_receive_buffer_size(None)
            .initial_rtt(self.rtts.guess(&self.address.certificate))
            .keep_alive_interval(Some(KEEP_ALIVE))
            .max_idle_timeout(IDLE_TIMEOUT.try_into().ok());
        let mut config = ClientConfig::new(Arc::clone(&self.tls) as _);
        config
            .transport_config(Arc::new(transport))
            .token_store(Arc::clone(&self.tokens) as Arc<dyn quinn::TokenStore>);
        config
    }
}

/// The name in the session store; the certificate's name is not looked at.
const SERVER_NAME: &str = "origin.antiphon";
/// There is one name a store.
const SESSIONS_MAX: usize = 2;
/// Within it the core can still go to HTTP before the playback buffer is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How much later the next address of a name is tried (RFC 8305's recommendation).
const HEAD_START: Duration = Duration::from_millis(250);
/// One of IPv6, one of IPv4, and one to spare.
const ADDRESSES_MAX: usize = 3;
/// Under the 30 s after which home routers forget UDP.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const IDLE_TIMEOUT: Duration = Duration::from_secs(40);
/// What one origin can make us buffer: a quarter of a full span a stream, one full span in all.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const WINDOW_BYTES: u32 = 1024 * 1024;
/// Requests are under 1 KiB.
const SEND_WINDOW_BYTES: u64 = 64 * 1024;

/// Why there is no connection to an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The origin's name could not be resolved.
    #[error("the origin's name cannot be resolved: {0}")]
    Resolve(String),
    /// Nothing answered in time.
    #[error("the origin does not answer")]
    Timeout,
    /// It answered, but there is no connection: wrong certificate, other protocol, too busy.
    #[error("the origin does not connect: {0}")]
    Refused(String),
}
