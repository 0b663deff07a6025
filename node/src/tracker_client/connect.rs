//! From a tracker's address to a connection.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::codec::LENGTH_BYTES;
use antiphon_protocol::version;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{REQUESTS_MAX, TrackerAddress, TrackerClient};
use crate::peers::Outlets;
use crate::pinned_certificate;

/// For resolving the name and the handshake, all addresses together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Notices that may be on their way; more wait at the tracker. Guess.
const NOTICES_MAX: u32 = 4;
/// Silence after which the connection counts as lost: a tracker that was killed and came back is
/// noticed this soon. Two keep-alives may get lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Well within what keeps NAT mappings alive: most drop a UDP mapping after 30 s of silence.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// First guess of the round trip, so that the first loss is noticed sooner than with QUIC's own
/// guess of a third of a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Connects from one of the outlets, or from a socket of its own if none reaches the tracker.
pub(super) async fn connect(
    address: &TrackerAddress,
    outlets: &Outlets,
) -> Result<TrackerClient, ConnectError> {
    match timeout(CONNECT_TIMEOUT, try_each(address, outlets)).await {
        Ok(connected) => connected,
        Err(_) => Err(ConnectError::TimedOut {
            address: address.to_string(),
        }),
    }
}

async fn try_each(
    address: &TrackerAddress,
    outlets: &Outlets,
) -> Result<TrackerClient, ConnectError> {
    let unknown = |reason: String| ConnectError::Unknown {
        host: address.host().to_owned(),
        reason,
    };
    let resolved = tokio::net::lookup_host((address.host(), address.port())).await;
    let mut resolved: Vec<_> = resolved
        .map_err(|error| unknown(error.to_string()))?
        .collect();
    let mut last = unknown("it has no address".to_owned());
    // Those that see where peers reach this node come first.
    resolved.sort_by_key(|remote| outlets.towards(*remote).is_none());
    for remote in resolved.into_iter().take(ADDRESSES_TRIED) {
        match connect_to(address, remote, outlets).await {
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
    outlets: &Outlets,
) -> Result<TrackerClient, ConnectError> {
    let failed = |reason: String| ConnectError::Failed { remote, reason };
    let outlet = outlets.towards(remote);
    let peer_socket = outlet.is_some().then(|| outlets.ended());
    let endpoint = match outlet {
        Some(outlet) => outlet,
        None => own_endpoint(remote).map_err(|error| failed(error.to_string()))?,
    };
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
            peer_socket,
            slots: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }),
        Err(error) if pinned_certificate::is_wrong_certificate(&error) => {
            Err(ConnectError::Certificate { remote })
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

fn own_endpoint(remote: SocketAddr) -> io::Result<quinn::Endpoint> {
    quinn::Endpoint::client(match remote {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    })
}

/// The tracker opens streams for notices alone, and a reply is as long as its frame may be.
fn transport_config() -> quinn::TransportConfig {
    let window = |bytes: usize| quinn::VarInt::from_u32(u32::try_from(bytes).unwrap_or(u32::MAX));
    let reply = antiphon_protocol::limits::TRACKER_FRAME_BYTES_MAX + LENGTH_BYTES;
    let mut config = quinn::TransportConfig::default();
    config
        .max_concurrent_bidi_streams(0_u32.into())
        .max_concurrent_uni_streams(NOTICES_MAX.into())
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
