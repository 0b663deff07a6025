//! What the tests of the server stand on: a folder with music, and a bare QUIC client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use antiphon_origin::server::{ObjectsLocation, Origin, OriginConfig, RunningOrigin};
use antiphon_protocol::codec::{self, LENGTH_BYTES};
use antiphon_protocol::origin::{OriginReply, OriginRequest};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Capability;
use antiphon_protocol::verified::{SpanVerifier, hash_content};
use antiphon_protocol::version::ORIGIN_ALPN;
use antiphon_protocol::{ByteCount, ChunkIndex, ContentId, ErrorCode, Geometry, Span, UnixSeconds};
use ed25519_dalek::SigningKey;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, TransportConfig, VarInt};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; a test that waits for it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that an origin can serve.
pub struct Stage {
    pub dir: TempDir,
}

/// A rendition in it.
pub struct Music {
    pub bytes: Vec<u8>,
    pub content: ContentId,
    pub geometry: Geometry,
}

impl Stage {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("objects/content")).unwrap();
        std::fs::create_dir_all(dir.path().join("objects/art")).unwrap();
        Self { dir }
    }

    pub fn add(&self, bytes: usize, seed: u8) -> Music {
        let mut data = vec![0; bytes];
        blake3::Hasher::new_keyed(&[seed; 32])
            .finalize_xof()
            .fill(&mut data);
        let geometry = Geometry::new(ByteCount(bytes as u64)).unwrap();
        let (content, outboard) = hash_content(geometry, &data[..]).unwrap();
        std::fs::write(self.object(content, "enc"), &data).unwrap();
        std::fs::write(self.object(content, "obao"), outboard).unwrap();
        Music {
            bytes: data,
            content,
            geometry,
        }
    }

    pub fn object(&self, content: ContentId, kind: &str) -> PathBuf {
        let objects = self.dir.path().join("objects/content");
        objects.join(format!("{content}.{kind}"))
    }

    pub fn config(&self) -> OriginConfig {
        OriginConfig {
            objects: ObjectsLocation::Folder(self.dir.path().join("objects")),
            state: self.dir.path().join("state"),
            listen: ([127, 0, 0, 1], 0).into(),
            ..OriginConfig::default()
        }
    }

    pub async fn start(&self) -> RunningOrigin {
        Origin::start(self.config()).await.unwrap()
    }
}

pub fn span(first: u32, count: u32) -> Span {
    Span::new(ChunkIndex(first), count).unwrap()
}

pub fn capability(key: &SigningKey, seconds_from_now: i64) -> Signed<Capability> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expires = UnixSeconds(now.as_secs().saturating_add_signed(seconds_from_now));
    Signed::sign(&Capability { nonce: 7, expires }, key)
}

/// A bare QUIC client: the settings of a node, none of its cares.
pub struct Client {
    pub endpoint: Endpoint,
    pub config: ClientConfig,
}

impl Client {
    pub fn new(fingerprint: [u8; 32]) -> Self {
        Self::with_window(fingerprint, 1024 * 1024)
    }

    /// A client that lets `window` unread bytes come on each stream.
    pub fn with_window(fingerprint: [u8; 32], window: u32) -> Self {
        let provider = Arc::new(ring::default_provider());
        let verifier = Pinned(fingerprint, Arc::clone(&provider));
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        tls.alpn_protocols = vec![ORIGIN_ALPN.to_vec()];
        tls.enable_early_data = true;
        let mut transport = TransportConfig::default();
        transport
            .receive_window(VarInt::from_u32(4 * window))
            .stream_receive_window(VarInt::from_u32(window));
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport));
        Self {
            endpoint: Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap(),
            config,
        }
    }

    pub fn connecting(&self, to: SocketAddr) -> quinn::Connecting {
        let config = self.config.clone();
        self.endpoint
            .connect_with(config, to, "origin.antiphon")
            .unwrap()
    }

    pub async fn connect(&self, to: SocketAddr) -> Connection {
        within(self.connecting(to)).await.unwrap()
    }
}

/// Fails the test if the future takes too long.
pub async fn within<F: IntoFuture>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("the test's patience is over")
}

pub fn request(music: &Music, span: Span) -> OriginRequest {
    OriginRequest::Span {
        capability: None,
        content: music.content,
        span,
    }
}

/// Sends a request and reads the reply's header.
pub async fn ask(connection: &Connection, request: &OriginRequest) -> (OriginReply, RecvStream) {
    send(connection, &codec::encode(request)).await
}

pub async fn send(connection: &Connection, bytes: &[u8]) -> (OriginReply, RecvStream) {
    let (mut send, mut recv) = within(connection.open_bi()).await.unwrap();
    send.write_all(bytes).await.unwrap();
    // The origin may have answered and stopped reading already.
    let _ = send.finish();
    let reply = read_reply(&mut recv).await;
    (reply, recv)
}

pub async fn read_reply(recv: &mut RecvStream) -> OriginReply {
    let mut header = [0; LENGTH_BYTES];
    within(recv.read_exact(&mut header)).await.unwrap();
    let mut payload = vec![0; codec::payload_len::<OriginReply>(header).unwrap()];
    within(recv.read_exact(&mut payload)).await.unwrap();
    codec::decode(&payload).unwrap()
}

pub async fn refusal(connection: &Connection, request: &OriginRequest) -> ErrorCode {
    match ask(connection, request).await.0 {
        OriginReply::Refuse { code, .. } => code,
        accept @ OriginReply::Accept { .. } => panic!("expected a refusal, got {accept:?}"),
    }
}

/// Fetches a span and checks it; the bytes of its chunks if it is genuine.
pub async fn fetch(connection: &Connection, music: &Music, span: Span) -> Option<Vec<u8>> {
    let (reply, mut recv) = ask(connection, &request(music, span)).await;
    let OriginReply::Accept { size, encoded } = reply else {
        panic!("refused: {reply:?}");
    };
    assert_eq!(size, music.geometry.size());
    let bytes = within(recv.read_to_end(4 << 20)).await.unwrap();
    assert_eq!(bytes.len() as u64, encoded.0);
    check(music, span, &bytes)
}

pub fn check(music: &Music, span: Span, mut encoded: &[u8]) -> Option<Vec<u8>> {
    let mut verifier = SpanVerifier::new(music.content, music.geometry, span);
    let mut data = Vec::new();
    while let Some(item) = verifier.wanted() {
        let (now, later) = encoded.split_at(item.bytes());
        verifier.accept(now).ok()?;
        if matches!(item, antiphon_protocol::verified::Item::Chunk { .. }) {
            data.extend_from_slice(now);
        }
        encoded = later;
    }
    assert!(encoded.is_empty());
    Some(data)
}

pub fn own_bytes(music: &Music, span: Span) -> &[u8] {
    let range = music.geometry.byte_range(span);
    &music.bytes[range.start as usize..range.end as usize]
}

#[derive(Debug)]
struct Pinned([u8; 32], Arc<CryptoProvider>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        assert_eq!(*blake3::hash(end_entity).as_bytes(), self.0);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("no TLS 1.2".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}
