//! Client of the tracker: one warm QUIC connection, concurrent requests on it.
//!
//! [`TrackerClient`] is one connection, for logging in and for tools. [`TrackerLink`] keeps one up
//! for as long as the node runs: it connects, attaches, notices losses and starts again by itself.
//! The server is known by the fingerprint of its certificate, not by an authority.
//!
//! Not here: what to ask of the tracker, and when to renew passes. The driver decides.

mod address;
mod backoff;
mod link;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::codec::{self, DecodeError, LENGTH_BYTES};
use antiphon_protocol::identity::{CHANNEL_LABEL, DevicePublic, DeviceSecret};
use antiphon_protocol::tracker::{AccessToken, Attached, Password, TrackerReply, TrackerRequest};
use antiphon_protocol::{AccountId, ErrorCode, Millis, NodeId, UnixSeconds, version};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::pinned_certificate;

pub use address::{ParseTrackerAddressError, TrackerAddress};
pub use link::{LinkEvent, TrackerLink, TrackerLinkConfig};

/// For resolving the name and the handshake, all addresses together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For one request and its reply.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests under way at once; more wait. An album page asks a handful; guess.
const REQUESTS_MAX: usize = 16;
/// Silence after which the connection counts as lost: a tracker that was killed and came back is
/// noticed this soon. Two keep-alives may get lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Well within what keeps NAT mappings alive: most drop a UDP mapping after 30 s of silence.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// First guess of the round trip, so that the first loss is noticed sooner than with QUIC's own
/// guess of a third of a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// A session of a device, from `Register` or `Login`.
#[derive(Clone, Debug)]
pub struct Session {
    /// The account.
    pub account: AccountId,
    /// For [`TrackerClient::attach`].
    pub token: AccessToken,
    /// When the token ends.
    pub expires: UnixSeconds,
}

/// One connection to the tracker. Clones share it.
#[derive(Clone, Debug)]
pub struct TrackerClient {
    connection: quinn::Connection,
    /// Kept because the connection ends with it.
    _endpoint: quinn::Endpoint,
    slots: Arc<Semaphore>,
}

impl TrackerClient {
    /// Connects, without logging in.
    ///
    /// # Errors
    /// If the tracker cannot be found or reached, or has another certificate.
    pub async fn connect(address: &TrackerAddress) -> Result<Self, ConnectError> {
        match timeout(CONNECT_TIMEOUT, connect(address)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::TimedOut {
                address: address.to_string(),
            }),
        }
    }

    /// Creates an account and logs in.
    ///
    /// # Errors
    /// See [`TrackerClient::request`].
    pub async fn register(
        &self,
        name: String,
        password: Password,
        device: DevicePublic,
    ) -> Result<Session, RequestError> {
        let reply = self.request(TrackerRequest::Register {
            name,
            password,
            device,
        });
        session(reply.await?)
    }

    /// Logs in.
    ///
    /// # Errors
    /// See [`TrackerClient::request`].
    pub async fn login(
        &self,
        name: String,
        password: Password,
        device: DevicePublic,
    ) -> Result<Session, RequestError> {
        let reply = self.request(TrackerRequest::Login {
            name,
            password,
            device,
        });
        session(reply.await?)
    }

    /// Authenticates this connection: proves that it was opened by the token's device.
    ///
    /// # Errors
    /// See [`TrackerClient::request`].
    pub async fn attach(
        &self,
        token: AccessToken,
        device: &DeviceSecret,
        node: NodeId,
        addresses: Vec<SocketAddr>,
    ) -> Result<Attached, RequestError> {
        let mut channel = [0; 32];
        self.connection
            .export_keying_material(&mut channel, CHANNEL_LABEL, b"")
            .map_err(|_| RequestError::Unreachable)?;
        let reply = self.request(TrackerRequest::Attach {
            token,
            proof: device.prove(&channel),
            node,
            addresses,
        });
        match reply.await? {
            TrackerReply::Attached(attached) => Ok(*attached),
            _ => Err(RequestError::Unexpected),
        }
    }

    /// Asks one thing. Any number may be under way at once.
    ///
    /// # Errors
    /// If the tracker refuses, does not answer in time or at all, or answers nonsense.
    pub async fn request(&self, request: TrackerRequest) -> Result<TrackerReply, RequestError> {
        let reply = timeout(REQUEST_TIMEOUT, self.exchange(request)).await;
        match reply.map_err(|_| RequestError::TimedOut)?? {
            TrackerReply::Refused { code, retry_after } => Err(RequestError::Refused {
                code,
                retry_after: retry_after.clamped(),
            }),
            reply => Ok(reply),
        }
    }

    async fn exchange(&self, request: TrackerRequest) -> Result<TrackerReply, RequestError> {
        let _slot = self.slots.acquire().await;
        let (mut send, mut receive) = self.connection.open_bi().await?;
        // Passwords and tokens are in there.
        let frame = Zeroizing::new(codec::encode(&request));
        send.write_all(&frame).await?;
        send.finish().map_err(|_| RequestError::Unreachable)?;
        let mut header = [0; LENGTH_BYTES];
        receive.read_exact(&mut header).await?;
        let mut payload = Zeroizing::new(vec![0; codec::payload_len::<TrackerReply>(header)?]);
        receive.read_exact(&mut payload).await?;
        Ok(codec::decode(&payload)?)
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        self.connection.closed().await;
    }

    /// The round trip to the tracker, as QUIC measures it.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Closes the connection.
    pub fn close(&self) {
        self.connection
            .close(u32::from(ErrorCode::NONE.0).into(), b"");
    }
}

fn session(reply: TrackerReply) -> Result<Session, RequestError> {
    match reply {
        TrackerReply::Session {
            account,
            token,
            expires,
        } => Ok(Session {
            account,
            token,
            expires,
        }),
        _ => Err(RequestError::Unexpected),
    }
}

async fn connect(address: &TrackerAddress) -> Result<TrackerClient, ConnectError> {
    let unknown = |reason: String| ConnectError::Unknown {
        host: address.host().to_owned(),
        reason,
    };
    let resolved = tokio::net::lookup_host((address.host(), address.port())).await;
    let resolved: Vec<_> = resolved
        .map_err(|error| unknown(error.to_string()))?
        .collect();
    let mut last = unknown("it has no address".to_owned());
    for remote in resolved.into_iter().take(ADDRESSES_TRIED) {
        match connect_to(address, remote).await {
            Ok(client) => return Ok(client),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Addresses of one name that are tried: IPv4 and IPv6, two each.
const ADDRESSES_TRIED: usize = 4;

async fn connect_to(
    address: &TrackerAddress,
    remote: SocketAddr,
) -> Result<TrackerClient, ConnectError> {
    let failed = |reason: String| ConnectError::Failed { remote, reason };
    let local: SocketAddr = match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = quinn::Endpoint::client(local).map_err(|error| failed(error.to_string()))?;
    let tls = pinned_certificate::tls(address.fingerprint(), version::TRACKER_ALPN);
    let mut config = quinn::ClientConfig::new(pinned_certificate::quic(tls));
    config.transport_config(Arc::new(transport_config()));
    let connecting = endpoint
        .connect_with(config, remote, address.host())
        .map_err(|error| failed(error.to_string()))?;
    match connecting.await {
        Ok(connection) => Ok(TrackerClient {
            connection,
            _endpoint: endpoint,
            slots: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }),
        Err(error) if pinned_certificate::is_wrong_certificate(&error) => {
            Err(ConnectError::Certificate { remote })
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The tracker opens no streams, and a reply is as long as its frame may be.
fn transport_config() -> quinn::TransportConfig {
    let window = |bytes: usize| quinn::VarInt::from_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    let reply = antiphon_protocol::limits::TRACKER_FRAME_BYTES_MAX + LENGTH_BYTES;
    let mut config = quinn::TransportConfig::default();
    config
        .max_concurrent_bidi_streams(0_u32.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(window(reply))
        .receive_window(window(4 * reply))
        .send_window(reply as u64)
        .datagram_receive_buffer_size(None)
        .initial_rtt(INITIAL_RTT)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IDLE_TIMEOUT.try_into().ok());
    config
}

/// Why there is no connection to the tracker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name does not resolve.
    #[error("cannot find the tracker {host}: {reason}; check its name and your network")]
    Unknown {
        /// The name.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// It does not answer.
    #[error("the tracker {address} does not answer; check that it runs and that UDP gets through")]
    TimedOut {
        /// The whole address.
        address: String,
    },
    /// It answers with another certificate than the address says.
    #[error(
        "the tracker at {remote} has another certificate than its address says; get the new \
         address from its operator, and do not log in before"
    )]
    Certificate {
        /// Where.
        remote: SocketAddr,
    },
    /// The handshake failed.
    #[error("cannot connect to the tracker at {remote}: {reason}")]
    Failed {
        /// Where.
        remote: SocketAddr,
        /// What went wrong.
        reason: String,
    },
}

/// Why a request to the tracker had no answer to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The tracker said no.
    #[error("the tracker refused: {code}")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// When asking again makes sense.
        retry_after: Millis,
    },
    /// No answer in time.
    #[error("the tracker did not answer in time; try again")]
    TimedOut,
    /// There is no connection, or it broke.
    #[error("the tracker cannot be reached; it is tried again by itself")]
    Unreachable,
    /// The answer is no legal message.
    #[error("the tracker's answer cannot be read: {0}; its version may not fit")]
    Malformed(#[from] DecodeError),
    /// The answer is one to another kind of request.
    #[error("the tracker answered something else than was asked; its version may not fit")]
    Unexpected,
}

impl From<quinn::ConnectionError> for RequestError {
    fn from(_: quinn::ConnectionError) -> Self {
        Self::Unreachable
    }
}

impl From<quinn::WriteError> for RequestError {
    fn from(_: quinn::WriteError) -> Self {
        Self::Unreachable
    }
}

impl From<quinn::ReadExactError> for RequestError {
    fn from(_: quinn::ReadExactError) -> Self {
        Self::Unreachable
    }
}
