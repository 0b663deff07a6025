//! The connection to the tracker that is always there, or being made.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_protocol::identity::{DeviceSecret, NodeSecret};
use antiphon_protocol::limits::ADDRESSES_PER_NODE_MAX;
use antiphon_protocol::tracker::{
    AccessToken, Attached, TrackerNotice, TrackerReply, TrackerRequest,
};
use antiphon_protocol::{ErrorCode, NodeId};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backoff::Backoff;
use super::connect::{self, Ways};
use super::{ConnectError, RequestError, TrackerAddress, TrackerClient};
use crate::peers::Outlets;
use crate::two_ways::UdpSeen;

/// A node is not believed to move more often than this; guess.
const MOVES_APART: Duration = Duration::from_secs(5);
/// For the peers' socket to reach a tracker that has just answered on another one: some round trips.
const SECOND_TRY: Duration = Duration::from_millis(500);
/// A connection over TCP looks after this time whether UDP gets through after all, and then after
/// twice the time, up to the last: a lost packet is soon made good, and a network that lets no UDP
/// through hears little of it. Guess.
const UDP_LOOK_FIRST: Duration = Duration::from_secs(10);
const UDP_LOOK_LAST: Duration = Duration::from_secs(30 * 60);
/// Events waiting for the driver. When full, the link waits.
const EVENT_QUEUE_MAX: usize = 16;

/// What a link needs.
pub struct TrackerLinkConfig {
    /// Where the tracker is.
    pub address: TrackerAddress,
    /// From logging in.
    pub token: AccessToken,
    /// The device the token is bound to.
    pub device: Arc<DeviceSecret>,
    /// The transport key, which peers know the node by.
    pub node: Arc<NodeSecret>,
    /// Where peers reach this node, as far as it knows.
    pub addresses: Vec<SocketAddr>,
    /// What peers are served on, to connect from.
    pub outlets: Outlets,
}

/// What happened to the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// Connected and attached.
    Up(Box<Attached>),
    /// The connection is lost, or the first try failed. It is tried again by itself.
    Down,
    /// The tracker does not accept the token. Nothing is tried until
    /// [`TrackerLink::use_token`].
    LoggedOut {
        /// Why.
        code: ErrorCode,
    },
    /// A node wants to connect and cannot get through by itself: it should be dialed.
    Introduced {
        /// Who.
        node: NodeId,
        /// Where the tracker sees it.
        address: SocketAddr,
    },
}

/// A connection to the tracker that keeps itself up. Clones share it; it ends with the last.
#[derive(Clone)]
pub struct TrackerLink {
    client: watch::Receiver<Option<TrackerClient>>,
    token: Arc<watch::Sender<AccessToken>>,
    _stop_when_dropped: Arc<DropGuard>,
}

impl TrackerLink {
    /// Starts connecting.
    #[must_use]
    pub fn start(config: TrackerLinkConfig) -> (Self, mpsc::Receiver<LinkEvent>) {
        let (events, events_out) = mpsc::channel(EVENT_QUEUE_MAX);
        let (client, client_out) = watch::channel(None);
        let token = Arc::new(watch::Sender::new(config.token.clone()));
        let stop = CancellationToken::new();
        let task = LinkTask {
            token: token.subscribe(),
            config,
            events,
            client,
            backoff: Backoff::default(),
            own_socket: false,
            udp: UdpSeen::default(),
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(task.run()));
        let link = Self {
            client: client_out,
            token,
            _stop_when_dropped: Arc::new(stop.drop_guard()),
        };
        (link, events_out)
    }

    /// Asks one thing on the connection that is up.
    ///
    /// # Errors
    /// [`RequestError::Unreachable`] at once if none is up; see [`TrackerClient::request`].
    pub async fn request(&self, request: TrackerRequest) -> Result<TrackerReply, RequestError> {
        let client = self.client.borrow().clone();
        match client {
            Some(client) => client.request(request).await,
            None => Err(RequestError::Unreachable),
        }
    }

    /// The connection, if it is up.
    #[must_use]
    pub fn client(&self) -> Option<TrackerClient> {
        self.client.borrow().clone()
    }

    /// Uses another token from the next attach on; tries at once after
    /// [`LinkEvent::LoggedOut`].
    pub fn use_token(&self, token: AccessToken) {
        self.token.send_replace(token);
    }
}

struct LinkTask {
    config: TrackerLinkConfig,
    token: watch::Receiver<AccessToken>,
    events: mpsc::Sender<LinkEvent>,
    client: watch::Sender<Option<TrackerClient>>,
    backoff: Backoff,
    /// Whether the next attempt goes out from a socket of its own: whatever keeps the peers'
    /// socket from the tracker must not keep the node from it.
    own_socket: bool,
    udp: UdpSeen,
}

/// Why an attempt came to nothing.
enum Attempt {
    TryAgain { not_before: Duration },
    LoggedOut(ErrorCode),
}

impl LinkTask {
    async fn run(mut self) {
        let mut said_down = false;
        loop {
            match self.attach().await {
                Ok((client, attached)) => {
                    self.backoff.reset();
                    said_down = false;
                    let client = self.go_on_with((client, attached)).await;
                    self.attend(client).await;
                    self.client.send_replace(None);
                    self.say_down(&mut said_down).await;
                    self.wait(Duration::ZERO).await;
                }
                Err(Attempt::TryAgain { not_before }) => {
                    self.say_down(&mut said_down).await;
                    self.wait(not_before).await;
                }
                Err(Attempt::LoggedOut(code)) => {
                    self.tell(LinkEvent::LoggedOut { code }).await;
                    if self.token.changed().await.is_err() {
                        return;
                    }
                    self.backoff.reset();
                }
            }
        }
    }

    async fn attach(&mut self) -> Result<(TrackerClient, Attached), Attempt> {
        let again = |not_before| Attempt::TryAgain { not_before };
        let client = self.connect(Ways::Both).await.map_err(|error| {
            tracing::warn!(%error, "no connection to the tracker");
            again(Duration::ZERO)
        })?;
        self.attach_on(client).await
    }

    async fn attach_on(
        &mut self,
        client: TrackerClient,
    ) -> Result<(TrackerClient, Attached), Attempt> {
        let again = |not_before| Attempt::TryAgain { not_before };
        let config = &self.config;
        let token = self.token.borrow_and_update().clone();
        let addresses = addresses(&client, &config.addresses);
        let attached = client.attach(token, &config.device, &config.node, addresses);
        match attached.await {
            Ok(attached) => Ok((client, attached)),
            Err(RequestError::Refused { code, retry_after }) => {
                client.close();
                tracing::warn!(%code, "the tracker refused this node");
                match code {
                    ErrorCode::UNAUTHENTICATED | ErrorCode::LOGIN | ErrorCode::FORBIDDEN => {
                        Err(Attempt::LoggedOut(code))
                    }
                    _ => Err(again(Duration::from_millis(u64::from(retry_after.0)))),
                }
            }
            Err(error) => {
                client.close();
                tracing::warn!(%error, "could not attach to the tracker");
                Err(again(Duration::ZERO))
            }
        }
    }

    async fn connect(&mut self, ways: Ways) -> Result<TrackerClient, ConnectError> {
        let (address, outlets) = (&self.config.address, &self.config.outlets);
        if !self.own_socket {
            let connected = connect::connect(address, outlets, &self.udp, ways).await;
            self.own_socket = connected.is_err();
            return connected;
        }
        self.own_socket = false;
        let own = connect::connect(address, &Outlets::default(), &self.udp, ways).await?;
        if own.is_over_tcp() || outlets.towards(own.remote()).is_none() {
            return Ok(own);
        }
        // It may have been the tracker that was away, and not the socket that leads nowhere.
        let from_peer_socket = connect::connect(address, outlets, &self.udp, Ways::Quic);
        match timeout(SECOND_TRY, from_peer_socket).await {
            Ok(Ok(client)) => {
                own.close();
                Ok(client)
            }
            _ => Ok(own),
        }
    }

    /// Passes on what the tracker says, until the connection is lost.
    async fn attend(&mut self, mut client: TrackerClient) {
        let mut since = Instant::now();
        let mut wait = UDP_LOOK_FIRST;
        loop {
            let look = sleep_until(tokio::time::Instant::from_std(since) + wait);
            let notice = tokio::select! {
                biased;
                () = client.lost() => return,
                notice = client.notice() => notice,
                () = look, if client.is_over_tcp() => {
                    wait = (wait * 2).min(UDP_LOOK_LAST);
                    since = Instant::now();
                    client = self.renewed().await.unwrap_or(client);
                    continue;
                }
            };
            match notice {
                Ok(TrackerNotice::Introduction { node, address }) => {
                    self.tell(LinkEvent::Introduced { node, address }).await;
                }
                Ok(TrackerNotice::Moved) if since.elapsed() >= MOVES_APART => {
                    since = Instant::now();
                    // A socket that was good for this connection is so for the next.
                    self.own_socket = !client.is_from_peer_socket();
                    // In vain, the tracker says it again.
                    client = self.renewed().await.unwrap_or(client);
                }
                Ok(TrackerNotice::Moved) => {}
                Err(error) => tracing::debug!(%error, "a notice of the tracker is lost"),
            }
        }
    }

    /// Another connection over QUIC in the place of the present one. In vain, that one still works.
    async fn renewed(&mut self) -> Option<TrackerClient> {
        let client = self.connect(Ways::Quic).await.ok()?;
        let attached = self.attach_on(client).await.ok()?;
        Some(self.go_on_with(attached).await)
    }

    /// The former connection ends with the last request on it.
    async fn go_on_with(&self, (client, attached): (TrackerClient, Attached)) -> TrackerClient {
        self.client.send_replace(Some(client.clone()));
        self.tell(LinkEvent::Up(Box::new(attached))).await;
        client
    }

    async fn say_down(&self, said: &mut bool) {
        if !std::mem::replace(said, true) {
            self.tell(LinkEvent::Down).await;
        }
    }

    async fn tell(&self, event: LinkEvent) {
        // Without a listener the link still serves requests.
        let _ = self.events.send(event).await;
    }

    async fn wait(&mut self, not_before: Duration) {
        let wait = self.backoff.next(&mut rand::rng());
        tokio::time::sleep(wait.max(not_before)).await;
    }
}

/// Where peers reach this node: first of all at the address the tracker sees, if it is that of the
/// peers' socket.
fn addresses(client: &TrackerClient, known: &[SocketAddr]) -> Vec<SocketAddr> {
    let as_seen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let as_seen = client.is_from_peer_socket().then_some(as_seen);
    let all = as_seen.into_iter().chain(known.iter().copied());
    all.take(ADDRESSES_PER_NODE_MAX).collect()
}
