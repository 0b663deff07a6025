//! The node's client of the origin: fetches spans over QUIC or HTTP, checks every item on arrival,
//! and puts what is genuine into the store at once.
//!
//! It reports, the core decides: no retry over the other transport, no hedging, no choice of spans
//! happens here. Only which of several origins to ask is chosen here, because they all hold the
//! same; the core sees one origin.
//!
//! HTTP is plain: spans prove themselves and are ciphertext. A TLS session of an earlier connection
//! is resumed with 0-RTT while the process lives; it cannot outlive the process, because rustls
//! does not let sessions be written down, so a new process's first connection takes one round trip.

mod fetch;
mod http;
mod incoming;
mod link;
mod ranking;
mod rtt_memory;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Capability;
use antiphon_protocol::tracker::OriginAddress;
use antiphon_protocol::{ContentId, Geometry, Span};
use antiphon_swarm::FetchId;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::OriginRoute;
use antiphon_swarm::time::Duration;
use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::link::Link;
use self::rtt_memory::RttMemory;
use crate::span_io::ChunkSink;

pub use link::ConnectError;

/// One span to fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchOrder {
    /// Names it in events and in [`OriginClient::cancel`].
    pub fetch: FetchId,
    /// Which way.
    pub route: OriginRoute,
    /// Of what.
    pub content: ContentId,
    /// Its size, from the signed manifest: an origin that says otherwise is not believed.
    pub geometry: Geometry,
    /// Which chunks.
    pub span: Span,
    /// How long from now the bytes are useful.
    pub deadline: Duration,
}

/// News of one fetch, for the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginEvent {
    /// Which.
    pub fetch: FetchId,
    /// What happened.
    pub event: FetchEvent,
}

/// The client. Cheap to share; everything ends when it is dropped.
pub struct OriginClient {
    shared: Arc<Shared>,
}

/// What the fetches share.
struct Shared {
    endpoint: Endpoint,
    http: reqwest::Client,
    sink: Arc<dyn ChunkSink>,
    events: mpsc::Sender<OriginEvent>,
    rtts: Arc<RttMemory>,
    stats: Arc<Stats>,
    links: Mutex<Vec<Arc<Link>>>,
    capability: Mutex<Option<Signed<Capability>>>,
    running: Mutex<HashMap<FetchId, CancellationToken>>,
    all: CancellationToken,
}

impl OriginClient {
    /// A client of `origins`, best first, that puts chunks into `sink` and reports on the channel
    /// returned. `rtt_file` keeps round trips between runs. Connects nowhere yet.
    ///
    /// # Errors
    /// If no UDP socket can be had.
    pub fn new(
        origins: Vec<OriginAddress>,
        sink: Arc<dyn ChunkSink>,
        rtt_file: Option<PathBuf>,
    ) -> io::Result<(Self, mpsc::Receiver<OriginEvent>)> {
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let shared = Shared {
            endpoint: endpoint()?,
            http: http::client()?,
            sink,
            events,
            rtts: Arc::new(RttMemory::open(rtt_file)),
            stats: Arc::new(Stats::default()),
            links: Mutex::default(),
            capability: Mutex::default(),
            running: Mutex::default(),
            all: CancellationToken::new(),
        };
        let client = Self {
            shared: Arc::new(shared),
        };
        client.set_origins(origins);
        Ok((client, receiver))
    }

    /// Replaces the origins, best first. Connections to those that stay are kept.
    pub fn set_origins(&self, origins: Vec<OriginAddress>) {
        let mut links = lock(&self.shared.links);
        let mut old = std::mem::take(&mut *links);
        for address in origins.into_iter().take(ORIGINS_MAX) {
            let kept = old.iter().position(|link| link.address == address);
            let link = kept.map_or_else(
                || {
                    let shared = &self.shared;
                    let endpoint = shared.endpoint.clone();
                    let (rtts, stats) = (Arc::clone(&shared.rtts), Arc::clone(&shared.stats));
                    Arc::new(Link::new(address, endpoint, rtts, stats))
                },
                |index| old.swap_remove(index),
            );
            links.push(link);
        }
    }

    /// Sets what is shown to origins as the right to read.
    pub fn set_capability(&self, capability: Option<Signed<Capability>>) {
        *lock(&self.shared.capability) = capability;
    }

    /// Connects to the best origin over QUIC, so that the first fetch finds a warm connection.
    pub fn warm(&self) {
        let Some(link) = self.shared.ranked(OriginRoute::Quic).into_iter().next() else {
            return;
        };
        let all = self.shared.all.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = all.cancelled() => {}
                // A failure is known to the link's health and seen by the first fetch.
                _ = link.connection() => {}
            }
        });
    }

    /// Starts fetching a span. Everything that follows comes as events.
    pub fn fetch(&self, order: FetchOrder) {
        let cancel = self.shared.all.child_token();
        {
            let mut running = lock(&self.shared.running);
            if running.len() < FETCHES_MAX && !running.contains_key(&order.fetch) {
                running.insert(order.fetch, cancel.clone());
                drop(running);
                tokio::spawn(fetch::run(Arc::clone(&self.shared), order, cancel));
                return;
            }
        }
        let events = self.shared.events.clone();
        tokio::spawn(async move {
            let (fetch, event) = (order.fetch, FetchEvent::Failed);
            // Nobody listens only when the node is ending.
            let _ = events.send(OriginEvent { fetch, event }).await;
        });
    }

    /// Ends a fetch. An event that is already in the channel may still arrive.
    pub fn cancel(&self, fetch: FetchId) {
        if let Some(cancel) = lock(&self.shared.running).remove(&fetch) {
            cancel.cancel();
        }
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> OriginClientStats {
        self.shared.stats.snapshot()
    }
}

impl Drop for OriginClient {
    fn drop(&mut self) {
        self.shared.all.cancel();
        self.shared.endpoint.close(quinn::VarInt::from_u32(0), b"");
    }
}

impl std::fmt::Debug for OriginClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginClient")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The origins in the order to ask them.
    fn ranked(&self, route: OriginRoute) -> Vec<Arc<Link>> {
        ranking::ranked(&lock(&self.links), route)
    }

    fn capability(&self) -> Option<Signed<Capability>> {
        lock(&self.capability).clone()
    }

    fn ended(&self, fetch: FetchId) {
        lock(&self.running).remove(&fetch);
    }
}

/// Counters of the client.
#[derive(Debug, Default)]
struct Stats {
    connections: AtomicU64,
    connections_failed: AtomicU64,
    zero_rtt_offered: AtomicU64,
    zero_rtt_accepted: AtomicU64,
    corrupt: AtomicU64,
}

impl Stats {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn snapshot(&self) -> OriginClientStats {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        OriginClientStats {
            connections: value(&self.connections),
            connections_failed: value(&self.connections_failed),
            zero_rtt_offered: value(&self.zero_rtt_offered),
            zero_rtt_accepted: value(&self.zero_rtt_accepted),
            corrupt: value(&self.corrupt),
        }
    }
}

/// The client's counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginClientStats {
    /// QUIC connections made.
    pub connections: u64,
    /// QUIC connections that did not come about.
    pub connections_failed: u64,
    /// Connections that were used before the handshake ended.
    pub zero_rtt_offered: u64,
    /// Of these, those where the origin agreed.
    pub zero_rtt_accepted: u64,
    /// Answers that failed verification.
    pub corrupt: u64,
}

fn endpoint() -> io::Result<Endpoint> {
    let bind = |address: SocketAddr| UdpSocket::bind(address);
    // Without IPv6 in the system the first one fails.
    let socket = bind((Ipv6Addr::UNSPECIFIED, 0).into())
        .or_else(|_| bind((Ipv4Addr::UNSPECIFIED, 0).into()))?;
    let config = EndpointConfig::default();
    Endpoint::new(config, None, socket, Arc::new(TokioRuntime))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Events waiting for the core; a fetch waits while it is full. A span has at most 64 and there
/// rarely are more than four fetches. Guess.
const EVENTS_MAX: usize = 256;
/// Fetches at a time; the core asks for fewer.
const FETCHES_MAX: usize = 64;
/// Origins kept; the protocol allows no more in one answer of the tracker.
const ORIGINS_MAX: usize = 8;
