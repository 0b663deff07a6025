//! The tracker's own secrets, made on the first start and kept in `keys/` beside the database.
//!
//! There are no default secrets: a missing or damaged key beside an existing database stops the
//! start, because a new key in its place would lock everybody out silently.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rand::Rng;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use crate::private_file::{self, PrivateFileError};

/// First bytes of a key file: kind of file and version.
const MAGIC: &[u8; 8] = b"antkey\x00\x01";
const CHECKSUM_BYTES: usize = 8;
/// The name in the certificate. Nodes know the tracker by its fingerprint, not by this.
const CERTIFICATE_NAME: &str = "antiphon-tracker";

/// Everything secret, loaded.
pub(crate) struct Keys {
    /// Signs licenses, tickets and capabilities.
    pub signing: SigningKey,
    /// Daily swarm names are derived from it.
    pub epoch_master: Zeroizing<[u8; 32]>,
    /// Wraps rendition keys at rest.
    pub vault: Zeroizing<[u8; 32]>,
    /// The certificate's secret, PKCS#8.
    tls_key: Zeroizing<Vec<u8>>,
    certificate: CertificateDer<'static>,
}

impl Keys {
    /// Loads the keys under `folder`; makes missing ones only when `may_create`.
    pub(crate) fn load(folder: &Path, may_create: bool) -> Result<Self, KeysError> {
        private_file::create_folder(folder).map_err(|source| {
            KeysError::File(PrivateFileError::Io {
                path: folder.to_owned(),
                source,
            })
        })?;
        let signing = secret(&folder.join("tracker.key"), may_create)?;
        let epoch_master = secret(&folder.join("epoch.key"), may_create)?;
        let vault = secret(&folder.join("vault.key"), may_create)?;
        let (tls_key, certificate) = certificate(folder, may_create)?;
        Ok(Self {
            signing: SigningKey::from_bytes(&signing),
            epoch_master,
            vault,
            tls_key,
            certificate,
        })
    }

    /// What nodes recognize this tracker by.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        *blake3::hash(&self.certificate).as_bytes()
    }

    /// TLS 1.3 with our certificate, our protocol only, and no early data: requests to the
    /// tracker are not idempotent.
    pub(crate) fn tls(&self) -> Result<rustls::ServerConfig, KeysError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.tls_key.to_vec()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(KeysError::Tls)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .map_err(KeysError::Tls)?;
        config.alpn_protocols = vec![antiphon_protocol::version::TRACKER_ALPN.to_vec()];
        Ok(config)
    }
}

fn secret(path: &Path, may_create: bool) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let mut key = Zeroizing::new([0; 32]);
    match private_file::read(path)? {
        Some(bytes) => key.copy_from_slice(&unframe(path, &bytes, 32)?),
        None if may_create => {
            rand::rng().fill_bytes(key.as_mut_slice());
            private_file::write(path, &frame(key.as_slice()))?;
        }
        None => return Err(missing(path)),
    }
    Ok(key)
}

type CertificateParts = (Zeroizing<Vec<u8>>, CertificateDer<'static>);

/// Key and certificate lie in one file, so that there is never one without the other.
fn certificate(folder: &Path, may_create: bool) -> Result<CertificateParts, KeysError> {
    let path = folder.join("certificate.key");
    let damaged = || KeysError::Damaged { path: path.clone() };
    if let Some(bytes) = private_file::read(&path)? {
        let body = unframe(&path, &bytes, 0)?;
        let (length, rest) = body.split_at_checked(2).ok_or_else(damaged)?;
        let length = length.try_into().map_err(|_| damaged())?;
        let (key, der) = rest
            .split_at_checked(u16::from_le_bytes(length).into())
            .ok_or_else(damaged)?;
        let der = CertificateDer::from(der.to_vec());
        return Ok((Zeroizing::new(key.to_vec()), der));
    }
    if !may_create {
        return Err(missing(&path));
    }
    let made = rcgen::generate_simple_self_signed([CERTIFICATE_NAME.to_owned()])?;
    let key = Zeroizing::new(made.signing_key.serialize_der());
    let length = u16::try_from(key.len()).map_err(|_| damaged())?;
    let mut body = Zeroizing::new(length.to_le_bytes().to_vec());
    body.extend_from_slice(&key);
    body.extend_from_slice(made.cert.der());
    private_file::write(&path, &frame(&body))?;
    Ok((key, made.cert.der().clone()))
}

fn missing(path: &Path) -> KeysError {
    KeysError::Missing {
        path: path.to_owned(),
    }
}

fn frame(body: &[u8]) -> Zeroizing<Vec<u8>> {
    let checksum = blake3::hash(body);
    let capacity = MAGIC.len() + body.len() + CHECKSUM_BYTES;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(body);
    bytes.extend(checksum.as_bytes().iter().take(CHECKSUM_BYTES));
    bytes
}

/// The body of a key file; `length` zero accepts any.
fn unframe(path: &Path, bytes: &[u8], length: usize) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let damaged = || KeysError::Damaged {
        path: path.to_owned(),
    };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let split = rest.len().checked_sub(CHECKSUM_BYTES).ok_or_else(damaged)?;
    let (body, checksum) = rest.split_at_checked(split).ok_or_else(damaged)?;
    let intact = blake3::hash(body).as_bytes().starts_with(checksum);
    if !intact || (length != 0 && body.len() != length) {
        return Err(damaged());
    }
    Ok(Zeroizing::new(body.to_vec()))
}

/// Why the keys could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// A file is not what was written.
    #[error("the key file {path} is damaged; restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A database without its keys.
    #[error(
        "the key file {path} is missing although the database exists; restore it from a backup"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The certificate cannot be used.
    #[error("cannot use the tracker's certificate: {0}")]
    Tls(#[source] rustls::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_made_once_are_the_same_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let first = Keys::load(folder.path(), true).unwrap();
        let second = Keys::load(folder.path(), false).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_eq!(first.signing.to_bytes(), second.signing.to_bytes());
        assert_eq!(first.vault, second.vault);
        assert!(second.tls().is_ok());
    }

    #[test]
    fn a_damaged_or_missing_key_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        Keys::load(folder.path(), true).unwrap();
        for name in ["tracker.key", "epoch.key", "vault.key", "certificate.key"] {
            let path = folder.path().join(name);
            let good = std::fs::read(&path).unwrap();
            let mut bad = good.clone();
            bad[20] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let damaged = Keys::load(folder.path(), true);
            assert!(matches!(damaged, Err(KeysError::Damaged { .. })), "{name}");
            std::fs::remove_file(&path).unwrap();
            let missing = Keys::load(folder.path(), false);
            assert!(matches!(missing, Err(KeysError::Missing { .. })), "{name}");
            private_file::write(&path, &good).unwrap();
        }
        assert!(Keys::load(folder.path(), false).is_ok());
    }
}
