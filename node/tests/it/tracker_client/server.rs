//! A small tracker, over QUIC and TCP, that speaks the codec and is in different moods.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use antiphon_node::peers::Outlets;
use antiphon_node::tracker_client::{
    LinkEvent, TrackerAddress, TrackerClient, TrackerLink, TrackerLinkConfig,
};
use antiphon_protocol::codec;
use antiphon_protocol::identity::{DeviceSecret, NodeSecret};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::{Capability, RegionClass, Ticket};
use antiphon_protocol::tracker::{AccessToken, Attached, Passes, TrackerReply, TrackerRequest};
use antiphon_protocol::{AccountId, ErrorCode, Millis, UnixSeconds, version};
use antiphon_transport::connection::{
    Connection, FRAME_BYTES_MAX, ReceiveStream, SendStream, TcpConnection, TcpLimits,
};
use antiphon_transport::muxed::MuxLimits;
use ed25519_dalek::SigningKey;
use futures_rustls::TlsAcceptor;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const TOKEN: AccessToken = AccessToken([6; 32]);
pub const NO: Millis = Millis(7);

pub fn device() -> DeviceSecret {
    DeviceSecret::from_bytes(&[3; 64])
}

pub fn node() -> NodeSecret {
    NodeSecret::from_bytes(&[5; 32])
}

pub fn attached() -> Attached {
    let key = SigningKey::from_bytes(&[1; 32]);
    let expires = UnixSeconds(1_800_000_000);
    let region = RegionClass(1);
    Attached {
        account: AccountId(1),
        tracker_key: key.verifying_key().to_bytes(),
        catalog_key: [2; 32],
        origins: Vec::new(),
        passes: Passes {
            ticket: Signed::sign(
                &Ticket {
                    node: node().id(),
                    region,
                    expires,
                },
                &key,
            ),
            capability: Signed::sign(&Capability { nonce: 1, expires }, &key),
            renew_after: Millis(600_000),
        },
        observed: SocketAddr::from(([127, 0, 0, 1], 1)),
        now: UnixSeconds(1),
    }
}

/// What the server in a test does; the tests change it while it runs.
#[derive(Clone, Copy, PartialEq)]
pub enum Mood {
    Honest,
    LogsOut,
    Silent,
    Oversized,
    Garbage,
}

/// What a connection may cost the server.
pub const TCP: TcpLimits = TcpLimits {
    handshake_bytes: 16 * 1024,
    tls_bytes: 64 * 1024,
    streams: MuxLimits {
        streams: 64,
        arrived: 32,
        frame_bytes: FRAME_BYTES_MAX,
        unread_bytes: 1024 * 1024,
        unsent_bytes: 1024 * 1024,
        idle: Duration::from_secs(30),
        ping_look: None,
        linger: Duration::from_secs(1),
    },
};

pub struct Server {
    pub address: TrackerAddress,
    pub endpoint: quinn::Endpoint,
    config: quinn::ServerConfig,
    acceptor: TlsAcceptor,
    /// Until it is served.
    tcp: Option<TcpListener>,
    pub serves_tcp: Option<JoinHandle<()>>,
    pub mood: watch::Sender<Mood>,
    seen: mpsc::Sender<Connection>,
    pub connections: mpsc::Receiver<Connection>,
}

impl Server {
    /// Over QUIC alone.
    pub fn start() -> Self {
        let mut server = Self::unserved();
        server.tcp = None;
        server.let_udp_through();
        server
    }

    /// Over TCP alone.
    pub fn start_walled() -> Self {
        let mut server = Self::unserved();
        let tcp = server.tcp.take().expect("it is new");
        let (acceptor, mood) = (server.acceptor.clone(), server.mood.subscribe());
        let served = accept_tcp(tcp, acceptor, mood, server.seen.clone());
        server.serves_tcp = Some(tokio::spawn(served));
        server
    }

    pub fn unserved() -> Self {
        let certified =
            rcgen::generate_simple_self_signed(vec!["tracker".to_owned()]).expect("a certificate");
        let der = certified.cert.der().clone();
        let fingerprint = *blake3::hash(&der).as_bytes();
        let key =
            rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .expect("a certificate and its key");
        tls.alpn_protocols = vec![version::TRACKER_ALPN.to_vec()];
        let quic = quinn::crypto::rustls::QuicServerConfig::try_from(tls.clone());
        let config = quinn::ServerConfig::with_crypto(Arc::new(quic.expect("TLS 1.3")));
        let (tcp, endpoint) = both_ports();
        let port = endpoint.local_addr().expect("bound").port();
        let mood = watch::Sender::new(Mood::Honest);
        let (seen, connections) = mpsc::channel(16);
        tokio::spawn(accept(endpoint.clone(), mood.subscribe(), seen.clone()));
        Self {
            address: TrackerAddress::new("127.0.0.1".to_owned(), port, fingerprint),
            endpoint,
            config,
            acceptor: Arc::new(tls).into(),
            tcp: Some(tcp),
            serves_tcp: None,
            mood,
            seen,
            connections,
        }
    }

    pub fn let_udp_through(&self) {
        self.endpoint.set_server_config(Some(self.config.clone()));
    }

    /// What comes to an endpoint that is no server gets no answer.
    pub fn keep_udp_out(&self) {
        self.endpoint.set_server_config(None);
    }

    pub async fn client(&self) -> TrackerClient {
        TrackerClient::connect(&self.address)
            .await
            .expect("the server answers")
    }

    pub fn link(&self) -> (TrackerLink, mpsc::Receiver<LinkEvent>) {
        self.link_from(Outlets::default())
    }

    pub fn link_from(&self, outlets: Outlets) -> (TrackerLink, mpsc::Receiver<LinkEvent>) {
        TrackerLink::start(TrackerLinkConfig {
            address: self.address.clone(),
            token: TOKEN,
            device: Arc::new(device()),
            node: Arc::new(node()),
            addresses: Vec::new(),
            outlets,
        })
    }
}

/// A port that is free over both. Nothing comes back from it yet.
fn both_ports() -> (TcpListener, quinn::Endpoint) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let at = tcp.local_addr().expect("bound");
        if let Ok(endpoint) = quinn::Endpoint::client(at) {
            return (tcp, endpoint);
        }
    }
}

async fn accept(
    endpoint: quinn::Endpoint,
    mood: watch::Receiver<Mood>,
    seen: mpsc::Sender<Connection>,
) {
    while let Some(incoming) = endpoint.accept().await {
        if let Ok(connection) = incoming.await {
            serve(Connection::Quic(connection), &mood, &seen);
        }
    }
}

async fn accept_tcp(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    mood: watch::Receiver<Mood>,
    seen: mpsc::Sender<Connection>,
) {
    listener.set_nonblocking(true).expect("a socket can");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    while let Ok((socket, _)) = listener.accept().await {
        if let Ok(connection) = TcpConnection::accept(&acceptor, socket, TCP).await {
            serve(Connection::Tcp(connection), &mood, &seen);
        }
    }
}

fn serve(connection: Connection, mood: &watch::Receiver<Mood>, seen: &mpsc::Sender<Connection>) {
    let _ = seen.try_send(connection.clone());
    let mood = mood.clone();
    tokio::spawn(async move {
        while let Ok((send, receive)) = connection.accept().await {
            tokio::spawn(answer(connection.clone(), *mood.borrow(), send, receive));
        }
    });
}

async fn answer(
    connection: Connection,
    mood: Mood,
    mut send: SendStream,
    mut receive: ReceiveStream,
) {
    let mut header = [0; codec::LENGTH_BYTES];
    receive.read_exact(&mut header).await.expect("a request");
    let length = codec::payload_len::<TrackerRequest>(header).expect("a legal length");
    let mut payload = vec![0; length];
    receive.read_exact(&mut payload).await.expect("a request");
    let request = codec::decode(&payload).expect("a legal request");
    let bytes = match mood {
        Mood::Silent => {
            connection.closed().await;
            return;
        }
        Mood::Oversized => u32::MAX.to_le_bytes().to_vec(),
        Mood::Garbage => vec![2, 0, 0, 0, 0xee, 0xee],
        Mood::LogsOut => codec::encode(&no(ErrorCode::UNAUTHENTICATED)),
        Mood::Honest => codec::encode(&honest(&connection, request)),
    };
    let _ = send.write_all(&bytes).await;
    let _ = send.finish().await;
    let _ = send.safe_to_close().await;
}

pub fn no(code: ErrorCode) -> TrackerReply {
    TrackerReply::Refused {
        code,
        retry_after: NO,
    }
}

fn honest(connection: &Connection, request: TrackerRequest) -> TrackerReply {
    match request {
        TrackerRequest::Register { name, .. } if name == "taken" => no(ErrorCode::NAME_TAKEN),
        TrackerRequest::Login { password, .. } if password.0 != "secret words" => {
            no(ErrorCode::LOGIN)
        }
        TrackerRequest::Register { .. } | TrackerRequest::Login { .. } => TrackerReply::Session {
            account: AccountId(1),
            token: TOKEN,
            expires: UnixSeconds(9),
        },
        TrackerRequest::AttachNode {
            token,
            proof,
            node: named,
            node_proof,
            ..
        } => {
            let channel = connection.channel().expect("an exporter");
            // Signatures of Ed25519 are deterministic: the right proof is the same bytes.
            let proven = proof == device().prove(&channel) && node_proof == node().prove(&channel);
            match proven && token == TOKEN && named == node().id() {
                true => TrackerReply::Attached(Box::new(attached())),
                false => no(ErrorCode::UNAUTHENTICATED),
            }
        }
        TrackerRequest::Leave => TrackerReply::Left,
        TrackerRequest::Search { limit, .. } => TrackerReply::Tracks {
            tracks: Vec::new(),
            more: limit % 2 == 0,
        },
        _ => no(ErrorCode::INVALID),
    }
}
