//! TLS towards an origin: the certificate is known by its hash, no authority is asked.

use std::sync::Arc;

use antiphon_protocol::version::ORIGIN_ALPN;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// The name in the handshake's session store; the certificate's name is not looked at.
pub(super) const SERVER_NAME: &str = "origin.antiphon";

/// TLS for the one origin whose certificate has the BLAKE3 `fingerprint`. Sessions live in what is
/// returned, so each origin keeps its own for as long as it is known.
pub(super) fn client_config(fingerprint: [u8; 32]) -> Result<Arc<QuicClientConfig>, Error> {
    let provider = default_provider();
    let verifier = PinnedCertificate {
        fingerprint,
        algorithms: provider.signature_verification_algorithms,
    };
    let mut tls = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ORIGIN_ALPN.to_vec()];
    tls.enable_early_data = true;
    tls.enable_sni = false;
    tls.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    QuicClientConfig::try_from(tls)
        .map(Arc::new)
        .map_err(|_| Error::General("TLS has no cipher that QUIC can start with".to_owned()))
}

/// There is one name a store.
const SESSIONS_MAX: usize = 2;

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
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC has no TLS 1.2".to_owned()))
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
