//! TLS towards a server that is known by its certificate's fingerprint.
//!
//! Signatures of the handshake are checked by the crypto provider as usual; only the chain of
//! authorities is replaced by one comparison.

use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// TLS 1.3 that speaks `alpn` to the server with this BLAKE3 fingerprint only.
pub(crate) fn tls(fingerprint: [u8; 32], alpn: &[u8]) -> rustls::ClientConfig {
    let provider = default_provider();
    let verifier = PinnedCertificate {
        fingerprint,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has the cipher suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.to_vec()];
    // The name is not looked at, so nobody on the way needs to read it either.
    tls.enable_sni = false;
    tls
}

/// That TLS for QUIC.
pub(crate) fn quic(tls: rustls::ClientConfig) -> Arc<QuicClientConfig> {
    let quic = QuicClientConfig::try_from(tls).expect("TLS 1.3 has QUIC's initial cipher suite");
    Arc::new(quic)
}

/// Whether a handshake failed because the server showed another certificate.
pub(crate) fn is_wrong_certificate(error: &quinn::ConnectionError) -> bool {
    let quinn::ConnectionError::TransportError(error) = error else {
        return false;
    };
    error.code == quinn::TransportErrorCode::crypto(ACCESS_DENIED)
}

/// The same without QUIC.
pub(crate) fn is_refused(error: &Error) -> bool {
    *error == REFUSAL
}

const REFUSAL: Error = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);

/// The TLS alert that rustls makes of our own verifier's refusal.
const ACCESS_DENIED: u8 = 49;

/// Believes exactly one certificate.
#[derive(Debug)]
struct PinnedCertificate {
    fingerprint: [u8; 32],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if blake3::hash(end_entity) == self.fingerprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(REFUSAL)
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("there is no TLS 1.2 here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
