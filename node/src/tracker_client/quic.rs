//! Over QUIC.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::codec::LENGTH_BYTES;
use antiphon_protocol::version;
use antiphon_transport::connection::Connection;
use tokio::sync::Semaphore;

use super::{ConnectError, NOTICES_MAX, REQUESTS_MAX, TrackerAddress, TrackerClient};
use crate::peers::Outlets;
use crate::{pinned_certificate, two_ways};

/// Silence after which the connection counts as lost: a tracker that was killed and came back is
/// noticed this soon. Two keep-alives may get lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Well within what keeps NAT mappings alive: most drop a UDP mapping after 30 s of silence.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// First guess of the round trip, so that the first loss is noticed sooner than with QUIC's own
/// guess of a third of a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// An outer error says that nothing came back, an inner one what the tracker answered.
pub(super) async fn connect(
    address: &TrackerAddress,
    remote: SocketAddr,
    outlets: &Outlets,
) -> Result<Result<TrackerClient, ConnectError>, ConnectError> {
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
        Ok(connection) => Ok(Ok(TrackerClient {
            connection: Connection::Quic(connection),
            _endpoint: Some(endpoint),
            peer_socket,
            slots: Arc::new(Semaphore::new(REQUESTS_MAX)),
        })),
        Err(error) if pinned_certificate::is_wrong_certificate(&error) => {
            Ok(Err(ConnectError::Certificate { remote }))
        }
        Err(error) if two_ways::is_answer(&error) => Ok(Err(failed(error.to_string()))),
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
        .max_concurrent_uni_streams(window(NOTICES_MAX))
        .stream_receive_window(window(reply))
        .receive_window(window(4 * reply))
        .send_window(reply as u64)
        .datagram_receive_buffer_size(None)
        .initial_rtt(INITIAL_RTT)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IDLE_TIMEOUT.try_into().ok());
    config
}
