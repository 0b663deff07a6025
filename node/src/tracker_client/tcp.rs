//! Over TCP, for networks that let no UDP through. The tracker then does not see the peers' socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::codec::LENGTH_BYTES;
use antiphon_protocol::limits::TRACKER_FRAME_BYTES_MAX;
use antiphon_protocol::version;
use antiphon_transport::connection::{Connection, FRAME_BYTES_MAX, TcpConnection, TcpLimits};
use antiphon_transport::muxed::MuxLimits;
use futures_rustls::TlsConnector;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{ConnectError, NOTICES_MAX, REQUESTS_MAX, TrackerAddress, TrackerClient};
use crate::pinned_certificate;

const LIMITS: TcpLimits = TcpLimits {
    // Far more than the one certificate and its signature.
    handshake_bytes: 16 * 1024,
    // Four full records.
    tls_bytes: 64 * 1024,
    streams: MuxLimits {
        // As many again that are being closed.
        streams: 2 * (REQUESTS_MAX + NOTICES_MAX),
        arrived: NOTICES_MAX,
        frame_bytes: FRAME_BYTES_MAX,
        // As over QUIC.
        unread_bytes: 4 * (TRACKER_FRAME_BYTES_MAX + LENGTH_BYTES),
        unsent_bytes: TRACKER_FRAME_BYTES_MAX + LENGTH_BYTES,
        // Longer than over QUIC, because pings come every ten seconds and both ends send them. A
        // tracker that was killed is noticed at once: the system ends its connections.
        idle: Duration::from_secs(30),
        ping_look: Some(Duration::from_secs(5)),
        linger: Duration::from_secs(1),
    },
};

pub(super) async fn connect(
    address: &TrackerAddress,
    remote: SocketAddr,
) -> Result<TrackerClient, ConnectError> {
    let mut tls = pinned_certificate::tls(address.fingerprint(), version::TRACKER_ALPN);
    // A configuration is made for each connection, so there is nothing to come back to.
    tls.resumption = rustls::client::Resumption::disabled();
    let connector = TlsConnector::from(Arc::new(tls));
    let connected = async {
        let socket = TcpStream::connect(remote).await?;
        TcpConnection::connect(&connector, socket, LIMITS).await
    };
    match connected.await {
        Ok(connection) => Ok(TrackerClient {
            connection: Connection::Tcp(connection),
            _endpoint: None,
            peer_socket: None,
            slots: Arc::new(Semaphore::new(REQUESTS_MAX)),
        }),
        Err(error) if is_wrong_certificate(&error) => Err(ConnectError::Certificate { remote }),
        Err(error) => Err(ConnectError::Failed {
            remote,
            reason: format!("over TCP: {error}"),
        }),
    }
}

fn is_wrong_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.is_some_and(pinned_certificate::is_refused)
}
