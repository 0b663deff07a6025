//! A certificate made on the spot, and a client that believes exactly it.

use anyhow::Context;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The only name in the certificate.
pub const SERVER_NAME: &str = "localhost";

/// A server configuration and the certificate (DER) that clients must be told.
///
/// # Errors
/// If no certificate can be made.
pub fn server() -> anyhow::Result<(quinn::ServerConfig, Vec<u8>)> {
    let made = rcgen::generate_simple_self_signed(vec![SERVER_NAME.to_owned()])?;
    let der = made.cert.der().to_vec();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = quinn::ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok((config, der))
}

/// A client configuration for that certificate.
///
/// # Errors
/// If it is none.
pub fn client(der: Vec<u8>) -> anyhow::Result<quinn::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(der))?;
    quinn::ClientConfig::with_root_certificates(roots.into()).context("no TLS verifier")
}
