use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use antiphon_protocol::version::TRACKER_ALPN;
use futures_rustls::client::TlsStream;
use futures_rustls::{TlsAcceptor, TlsConnector};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::*;
use crate::muxed::MuxLimits;

const PATIENCE: Duration = Duration::from_secs(20);
const NAME: &str = "antiphon-tracker";
const LIMITS: TcpLimits = TcpLimits {
    handshake_bytes: 16 * 1024,
    tls_bytes: 64 * 1024,
    streams: MuxLimits {
        streams: 8,
        arrived: 4,
        frame_bytes: FRAME_BYTES_MAX,
        unread_bytes: 64 * 1024,
        unsent_bytes: 64 * 1024,
        idle: Duration::from_secs(30),
        ping_look: None,
        linger: Duration::from_secs(1),
    },
};

/// A server's socket, and TLS for both ends.
async fn server() -> (TcpListener, SocketAddr, TlsAcceptor, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a certificate and its key");
    server.alpn_protocols = vec![TRACKER_ALPN.to_vec()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![TRACKER_ALPN.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let at = listener.local_addr().expect("bound");
    (listener, at, Arc::new(server).into(), client)
}

async fn socket(listener: &TcpListener) -> TcpStream {
    listener.accept().await.expect("somebody comes").0
}

#[tokio::test]
async fn both_ends_have_the_same_channel_and_no_other_connection_has_it() {
    let (listener, at, acceptor, client) = server().await;
    let connector = TlsConnector::from(Arc::new(client));
    let mut channels = Vec::new();
    for _ in 0..2 {
        let dialed = async {
            let socket = TcpStream::connect(at).await?;
            TcpConnection::connect(&connector, socket, LIMITS).await
        };
        let accepted =
            async { TcpConnection::accept(&acceptor, socket(&listener).await, LIMITS).await };
        let (dialed, accepted) = tokio::join!(dialed, accepted);
        let dialed = Connection::Tcp(dialed.expect("a client"));
        let accepted = Connection::Tcp(accepted.expect("a server"));
        assert_eq!(dialed.channel(), accepted.channel());
        channels.extend(dialed.channel());

        let (mut send, mut receive) = dialed.open().await.expect("a stream");
        send.write_all(b"asked").await.expect("writes");
        send.finish().await.expect("finishes");
        let (mut back, mut asked) = accepted.accept().await.expect("a stream");
        let mut bytes = [0; 5];
        asked.read_exact(&mut bytes).await.expect("reads");
        assert_eq!(asked.read_some(&mut bytes).await, Err(Lost));
        back.write_all(b"reply").await.expect("writes");
        back.finish().await.expect("finishes");
        // What was written is still sent.
        accepted.close(0);
        receive.read_exact(&mut bytes).await.expect("reads");
        assert_eq!(&bytes, b"reply");
        timeout(PATIENCE, dialed.closed()).await.expect("in time");
        assert!(dialed.open().await.is_err());
    }
    assert_eq!(channels.len(), 2);
    assert_ne!(channels.first(), channels.last());
}

async fn dial(
    connector: &TlsConnector,
    at: SocketAddr,
) -> io::Result<TlsStream<Compat<TcpStream>>> {
    let socket = TcpStream::connect(at).await?;
    let name = ServerName::try_from(NAME).expect("a name");
    connector.connect(name, socket.compat()).await
}

#[tokio::test]
async fn whoever_names_no_protocol_is_not_served() {
    let (listener, at, acceptor, mut client) = server().await;
    client.alpn_protocols.clear();
    let connector = TlsConnector::from(Arc::new(client));
    let dialed = dial(&connector, at);
    let accepted =
        async { TcpConnection::accept(&acceptor, socket(&listener).await, LIMITS).await };
    let (dialed, accepted) = tokio::join!(dialed, accepted);
    assert!(dialed.is_ok() && accepted.is_err());
}

#[tokio::test]
async fn whoever_is_silent_after_the_handshake_is_given_up() {
    let (listener, at, acceptor, client) = server().await;
    let connector = TlsConnector::from(Arc::new(client));
    let dialed = dial(&connector, at);
    let mut limits = LIMITS;
    limits.streams.idle = Duration::from_millis(100);
    let accepted =
        async { TcpConnection::accept(&acceptor, socket(&listener).await, limits).await };
    let (_silent, accepted) = tokio::join!(dialed, accepted);
    let accepted = Connection::Tcp(accepted.expect("a server"));
    timeout(PATIENCE, accepted.closed()).await.expect("in time");
    assert!(accepted.accept().await.is_err());
}
