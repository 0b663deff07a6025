//! TLS between nodes, under QUIC and over TCP alike: libp2p's certificates, our order of ciphers.
//!
//! Not here: whether the peer is the one dialed; the swarm compares that.

mod identity;

use std::sync::Arc;

use libp2p::PeerId;
use libp2p::identity::Keypair;
use libp2p_tls::certificate;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use self::identity::PeerVerifier;

/// rustls wants a name although nobody sends or looks at it.
pub(super) const SERVER_NAME: &str = "peer";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("no certificate for the node's key: {0}")]
    Certificate(#[from] certificate::GenError),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A node's certificate, and what it makes of TLS.
pub(super) struct PeerTls {
    own: Arc<SingleCertAndKey>,
}

impl PeerTls {
    /// rustls' own check of a pair fails on libp2p's critical extension, so it is left out.
    pub(super) fn new(keypair: &Keypair) -> Result<Self, TlsError> {
        let (certificate, key) = certificate::generate(keypair)?;
        let key = provider().key_provider.load_private_key(key)?;
        let pair = CertifiedKey::new(vec![certificate], key);
        let own = Arc::new(SingleCertAndKey::from(pair));
        Ok(Self { own })
    }

    pub(super) fn server(&self, alpn: &[u8]) -> Result<ServerConfig, TlsError> {
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(PeerVerifier))
            .with_cert_resolver(Arc::<SingleCertAndKey>::clone(&self.own));
        tls.alpn_protocols = vec![alpn.to_vec()];
        // Every connection proves the key anew, and nothing is kept for strangers.
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        tls.send_tls13_tickets = 0;
        Ok(tls)
    }

    pub(super) fn client(&self, alpn: &[u8]) -> Result<ClientConfig, TlsError> {
        let mut tls = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PeerVerifier))
            .with_client_cert_resolver(Arc::<SingleCertAndKey>::clone(&self.own));
        tls.alpn_protocols = vec![alpn.to_vec()];
        tls.enable_sni = false;
        // Sessions are kept by server name, and that is the same for all peers.
        tls.resumption = Resumption::disabled();
        Ok(tls)
    }
}

/// The peer behind the certificate of a finished handshake.
pub(super) fn peer_of(chain: &[CertificateDer<'_>]) -> Option<PeerId> {
    let parsed = certificate::parse(chain.first()?).ok()?;
    Some(parsed.peer_id())
}

/// AES first: on raw streams 537 MB a CPU second instead of 335 with ChaCha20 first (measured, a
/// processor with AES instructions).
fn provider() -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}
