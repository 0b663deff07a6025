//! A node's side of the tracker protocol, as little of it as the tests need.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::codec::{self, LENGTH_BYTES};
use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::identity::{DeviceSecret, NodeSecret};
use antiphon_protocol::tracker::{
    AccessToken, Attached, Holder, Password, TrackerNotice, TrackerReply, TrackerRequest,
};
use antiphon_protocol::{ContentId, NodeId};
use antiphon_transport::connection::{Connection, FRAME_BYTES_MAX, TcpConnection, TcpLimits};
use antiphon_transport::muxed::MuxLimits;
use anyhow::{Context as _, Result, bail};
use futures_rustls::TlsConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

/// Longer than anything on loopback takes, and than the tracker's looks are apart.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a client of these tests may cost itself.
const TCP: TcpLimits = TcpLimits {
    handshake_bytes: 16 * 1024,
    tls_bytes: 64 * 1024,
    streams: MuxLimits {
        streams: 256,
        arrived: 4,
        frame_bytes: FRAME_BYTES_MAX,
        unread_bytes: 1024 * 1024,
        unsent_bytes: 1024 * 1024,
        idle: DEADLINE,
        ping_look: None,
        linger: Duration::from_secs(1),
    },
};

/// One connection of one device.
pub struct Client {
    pub link: Connection,
    pub device: DeviceSecret,
    pub transport: NodeSecret,
    /// What it says it is.
    pub node: NodeId,
    endpoint: Option<quinn::Endpoint>,
}

impl Client {
    /// Who holds `content`, as the tracker names them.
    pub async fn look_up(&self, content: ContentId) -> Result<Vec<Holder>> {
        let request = TrackerRequest::Lookup { content, limit: 10 };
        match self.ask(&request).await? {
            TrackerReply::Holders { holders, .. } => Ok(holders),
            other => bail!("no holders: {other:?}"),
        }
    }

    /// Connects as a new device.
    pub async fn connect(tracker: SocketAddr, fingerprint: [u8; 32]) -> Result<Self> {
        let device = DeviceSecret::generate(&mut rand::rng());
        Self::connect_as(tracker, fingerprint, device).await
    }

    pub async fn connect_as(
        tracker: SocketAddr,
        fingerprint: [u8; 32],
        device: DeviceSecret,
    ) -> Result<Self> {
        let tls = tls(fingerprint)?;
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)?;
        let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse()?)?;
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let connecting = endpoint.connect(tracker, "antiphon-tracker")?;
        let quic = tokio::time::timeout(DEADLINE, connecting).await??;
        Ok(Self::new(Connection::Quic(quic), device, Some(endpoint)))
    }

    /// Connects over TCP as a new device.
    pub async fn connect_tcp(tracker: SocketAddr, fingerprint: [u8; 32]) -> Result<Self> {
        let connector = TlsConnector::from(Arc::new(tls(fingerprint)?));
        let connected = async {
            let socket = tokio::net::TcpStream::connect(tracker).await?;
            TcpConnection::connect(&connector, socket, TCP).await
        };
        let connected = tokio::time::timeout(DEADLINE, connected).await??;
        let device = DeviceSecret::generate(&mut rand::rng());
        Ok(Self::new(Connection::Tcp(connected), device, None))
    }

    fn new(link: Connection, device: DeviceSecret, endpoint: Option<quinn::Endpoint>) -> Self {
        let transport = NodeSecret::generate(&mut rand::rng());
        Self {
            link,
            device,
            node: transport.id(),
            transport,
            endpoint,
        }
    }

    /// The connection of a client that came over QUIC.
    pub fn quic(&self) -> &quinn::Connection {
        match &self.link {
            Connection::Quic(quic) => quic,
            Connection::Tcp(_) => panic!("it came over TCP"),
        }
    }

    /// The socket of a client that came over QUIC.
    pub fn endpoint(&self) -> &quinn::Endpoint {
        self.endpoint.as_ref().expect("it came over QUIC")
    }

    /// One request, one reply.
    pub async fn ask(&self, request: &TrackerRequest) -> Result<TrackerReply> {
        self.ask_bytes(&codec::encode(request)).await
    }

    /// Any bytes, one reply.
    pub async fn ask_bytes(&self, frame: &[u8]) -> Result<TrackerReply> {
        let exchange = async {
            let (mut send, mut receive) = self.link.open().await?;
            // The tracker may have refused before it read everything.
            let _ = send.write_all(frame).await;
            let _ = send.finish().await;
            let mut header = [0; LENGTH_BYTES];
            receive.read_exact(&mut header).await?;
            let mut payload = vec![0; codec::payload_len::<TrackerReply>(header)?];
            receive.read_exact(&mut payload).await?;
            anyhow::Ok(codec::decode::<TrackerReply>(&payload)?)
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .context("no reply in time")?
    }

    /// The code of a refusal.
    pub async fn refusal(&self, request: &TrackerRequest) -> Result<ErrorCode> {
        match self.ask(request).await? {
            TrackerReply::Refused { code, .. } => Ok(code),
            other => bail!("{request:?} was answered: {other:?}"),
        }
    }

    pub fn login_request(&self, name: &str, password: &str) -> TrackerRequest {
        TrackerRequest::Login {
            name: name.to_owned(),
            password: Password(password.to_owned()),
            device: self.device.public(),
        }
    }

    pub fn register_request(&self, name: &str, password: &str) -> TrackerRequest {
        TrackerRequest::Register {
            name: name.to_owned(),
            password: Password(password.to_owned()),
            device: self.device.public(),
        }
    }

    pub async fn login(&self, name: &str, password: &str) -> Result<AccessToken> {
        token(self.ask(&self.login_request(name, password)).await?)
    }

    pub async fn register(&self, name: &str, password: &str) -> Result<AccessToken> {
        token(self.ask(&self.register_request(name, password)).await?)
    }

    /// The proof that this client's device opened this connection.
    pub fn proof(&self) -> ([u8; 32], [u8; 32]) {
        self.device.prove(&self.channel())
    }

    pub fn channel(&self) -> [u8; 32] {
        let channel = self.link.channel();
        channel.expect("the connection is established")
    }

    pub fn attach_request(&self, token: &AccessToken) -> TrackerRequest {
        self.attach_request_at(token, "0.0.0.0:7701")
    }

    /// With the one address that the node claims.
    pub fn attach_request_at(&self, token: &AccessToken, address: &str) -> TrackerRequest {
        TrackerRequest::AttachNode {
            token: token.clone(),
            proof: self.proof(),
            node: self.node,
            node_proof: self.transport.prove(&self.channel()),
            addresses: vec![address.parse().expect("an address")],
        }
    }

    /// As nodes attached before they had to prove who they are.
    pub fn former_attach_request(&self, token: &AccessToken) -> TrackerRequest {
        TrackerRequest::Attach {
            token: token.clone(),
            proof: self.proof(),
            node: self.node,
            addresses: ["0.0.0.0:0", "0.0.0.0:6666"]
                .map(|address| address.parse().expect("an address"))
                .to_vec(),
        }
    }

    /// The next notice of the tracker.
    pub async fn notice(&self) -> Result<TrackerNotice> {
        let notice = async {
            let mut stream = self.link.accept_one_way().await?;
            let mut header = [0; LENGTH_BYTES];
            stream.read_exact(&mut header).await?;
            let mut payload = vec![0; codec::payload_len::<TrackerNotice>(header)?];
            stream.read_exact(&mut payload).await?;
            let more = stream.read_some(&mut header).await;
            anyhow::ensure!(more.is_err(), "one frame and nothing else");
            anyhow::Ok(codec::decode(&payload)?)
        };
        tokio::time::timeout(DEADLINE, notice)
            .await
            .context("no notice in time")?
    }

    pub async fn attach(&self, token: &AccessToken) -> Result<Attached> {
        attached(self.ask(&self.attach_request(token)).await?)
    }

    pub async fn attach_formerly(&self, token: &AccessToken) -> Result<Attached> {
        attached(self.ask(&self.former_attach_request(token)).await?)
    }
}

fn attached(reply: TrackerReply) -> Result<Attached> {
    match reply {
        TrackerReply::Attached(attached) => Ok(*attached),
        other => bail!("not attached: {other:?}"),
    }
}

pub fn token(reply: TrackerReply) -> Result<AccessToken> {
    match reply {
        TrackerReply::Session { token, .. } => Ok(token),
        other => bail!("no session: {other:?}"),
    }
}

fn tls(fingerprint: [u8; 32]) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Pinned {
        fingerprint,
        provider: Arc::clone(&provider),
    });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![antiphon_protocol::version::TRACKER_ALPN.to_vec()];
    Ok(tls)
}

/// Trusts exactly one certificate.
#[derive(Debug)]
struct Pinned {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if blake3::hash(certificate) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("QUIC has TLS 1.3 only".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
