//! From a tracker's address to a connection.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::timeout;

use super::{TrackerAddress, TrackerClient, quic, tcp};
use crate::peers::Outlets;
use crate::two_ways::UdpSeen;

/// For resolving the name and the handshake, all addresses together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Addresses of one name that are tried: IPv4 and IPv6, two each.
const ADDRESSES_TRIED: usize = 4;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ways {
    /// QUIC, and TCP if that leads there first.
    Both,
    /// QUIC alone.
    Quic,
}

/// Connects. Over QUIC that is from one of the outlets, or from a socket of its own if none reaches
/// the tracker.
pub(super) async fn connect(
    address: &TrackerAddress,
    outlets: &Outlets,
    udp: &UdpSeen,
    ways: Ways,
) -> Result<TrackerClient, ConnectError> {
    let impostor = OnceLock::new();
    let tried = try_each(address, outlets, udp, ways, &impostor);
    match timeout(CONNECT_TIMEOUT, tried).await {
        Ok(connected) => connected,
        Err(_) => Err(impostor.into_inner().unwrap_or(ConnectError::TimedOut {
            address: address.to_string(),
        })),
    }
}

async fn try_each(
    address: &TrackerAddress,
    outlets: &Outlets,
    udp: &UdpSeen,
    ways: Ways,
    impostor: &OnceLock<ConnectError>,
) -> Result<TrackerClient, ConnectError> {
    let mut last = unknown(address, "it has no address".to_owned());
    for remote in resolve(address, outlets).await? {
        let over_quic = quic::connect(address, remote, outlets);
        // QUIC may yet lead to the right one, so nothing ends here; but if it does not, this is what
        // there is to say.
        let over_tcp = async {
            let connected = tcp::connect(address, remote).await;
            connected.inspect_err(|error| {
                if matches!(error, ConnectError::Certificate { .. }) {
                    let _ = impostor.set(error.clone());
                }
            })
        };
        let connected = match ways {
            Ways::Both => udp.first(over_quic, over_tcp).await,
            Ways::Quic => {
                let outcome = over_quic.await.inspect(|_| udp.works());
                outcome.unwrap_or_else(Err)
            }
        };
        match connected {
            Ok(client) => return Ok(client),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn resolve(
    address: &TrackerAddress,
    outlets: &Outlets,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let resolved = tokio::net::lookup_host((address.host(), address.port())).await;
    let resolved = resolved.map_err(|error| unknown(address, error.to_string()))?;
    let mut resolved: Vec<_> = resolved.collect();
    // Those that see where peers reach this node come first.
    resolved.sort_by_key(|remote| outlets.towards(*remote).is_none());
    resolved.truncate(ADDRESSES_TRIED);
    Ok(resolved)
}

fn unknown(address: &TrackerAddress, reason: String) -> ConnectError {
    ConnectError::Unknown {
        host: address.host().to_owned(),
        reason,
    }
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
    #[error("the tracker {address} does not answer; check that it runs and that its port is open")]
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
