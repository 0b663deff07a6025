//! Client of the tracker: one warm connection, QUIC or where that does not get through TCP, and
//! concurrent requests on it.
//!
//! [`TrackerClient`] is one connection, for logging in and for tools. [`TrackerLink`] keeps one up
//! for as long as the node runs: it connects, attaches, notices losses and starts again by itself.
//! The server is known by the fingerprint of its certificate, not by an authority.
//!
//! Not here: what to ask of the tracker, and when to renew passes. The driver decides.

mod address;
mod backoff;
mod connect;
mod link;
mod notice;
mod quic;
mod tcp;

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::codec::{self, DecodeError, LENGTH_BYTES};
use antiphon_protocol::identity::{DevicePublic, DeviceSecret, NodeSecret};
use antiphon_protocol::tracker::{AccessToken, Attached, Password, TrackerReply, TrackerRequest};
use antiphon_protocol::{AccountId, ErrorCode, Millis, UnixSeconds};
use antiphon_transport::connection::{Connection, Lost};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use self::connect::Ways;
use crate::peers::Outlets;
use crate::two_ways::UdpSeen;

pub use address::{ParseTrackerAddressError, TrackerAddress};
pub use connect::{CONNECT_TIMEOUT, ConnectError};
pub use link::{LinkEvent, TrackerLink, TrackerLinkConfig};

/// For one request and its reply.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests under way at once; more wait. An album page asks a handful; guess.
const REQUESTS_MAX: usize = 16;
/// Notices that may be on their way; more wait at the tracker. Guess.
const NOTICES_MAX: usize = 4;

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
    connection: Connection,
    /// Over QUIC kept, because the connection ends with it.
    _endpoint: Option<quinn::Endpoint>,
    /// If it goes out from a socket that peers are served on: set when that works no longer.
    peer_socket: Option<CancellationToken>,
    slots: Arc<Semaphore>,
}

impl TrackerClient {
    /// Connects, without logging in.
    ///
    /// # Errors
    /// If the tracker cannot be found or reached, or has another certificate.
    pub async fn connect(address: &TrackerAddress) -> Result<Self, ConnectError> {
        let (outlets, udp) = (Outlets::default(), UdpSeen::default());
        connect::connect(address, &outlets, &udp, Ways::Both).await
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

    /// Authenticates this connection: proves that it was opened by the token's device, and by the
    /// node that peers know by this key.
    ///
    /// # Errors
    /// See [`TrackerClient::request`].
    pub async fn attach(
        &self,
        token: AccessToken,
        device: &DeviceSecret,
        node: &NodeSecret,
        addresses: Vec<SocketAddr>,
    ) -> Result<Attached, RequestError> {
        let channel = self.connection.channel();
        let channel = channel.ok_or(RequestError::Unreachable)?;
        let reply = self.request(TrackerRequest::AttachNode {
            token,
            proof: device.prove(&channel),
            node: node.id(),
            node_proof: node.prove(&channel),
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
        let (mut send, mut receive) = self.connection.open().await?;
        // Passwords and tokens are in there.
        let frame = Zeroizing::new(codec::encode(&request));
        send.write_all(&frame).await?;
        send.finish().await?;
        let mut header = [0; LENGTH_BYTES];
        receive.read_exact(&mut header).await?;
        let mut payload = Zeroizing::new(vec![0; codec::payload_len::<TrackerReply>(header)?]);
        receive.read_exact(&mut payload).await?;
        Ok(codec::decode(&payload)?)
    }

    /// Whether the address the tracker sees is one that peers are served at.
    #[must_use]
    pub const fn is_from_peer_socket(&self) -> bool {
        self.peer_socket.is_some()
    }

    /// Whether it goes over TCP, because nothing came back over UDP.
    #[must_use]
    pub const fn is_over_tcp(&self) -> bool {
        matches!(self.connection, Connection::Tcp(_))
    }

    /// Where the tracker is.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        let socket_lost = async {
            match &self.peer_socket {
                Some(ended) => ended.cancelled().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = self.connection.closed() => {}
            () = socket_lost => {}
        }
    }

    /// The round trip to the tracker, as QUIC measures it, or as the handshake over TCP took.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Closes the connection.
    pub fn close(&self) {
        self.connection.close(u32::from(ErrorCode::NONE.0));
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

impl From<Lost> for RequestError {
    fn from(_: Lost) -> Self {
        Self::Unreachable
    }
}
