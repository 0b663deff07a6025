//! The origin's certificate: self-signed, made on first start, known to nodes by its hash.
//!
//! Nodes learn the BLAKE3 of the certificate from the tracker, so no authority is involved.
//! Not here: the certificates of the tracker's public web side.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// A certificate and the key it speaks for.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// Reads the certificate in `state`, making it where there is none.
    pub(crate) fn load_or_create(state: &Path) -> Result<Self, CertificateError> {
        let path = state.join(FILE);
        let wrap = |source| CertificateError::Io {
            path: path.clone(),
            source,
        };
        let pem = match read(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(&path).map_err(wrap)?;
                read(&path).map_err(wrap)?
            }
            Err(error) => return Err(wrap(error)),
        };
        let damaged = |_| CertificateError::Damaged(path.clone());
        Ok(Self {
            der: CertificateDer::from_pem_slice(&pem).map_err(damaged)?,
            key: PrivateKeyDer::from_pem_slice(&pem).map_err(damaged)?,
        })
    }

    /// What nodes know the origin by.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        *blake3::hash(&self.der).as_bytes()
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut pem = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize));
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut pem)?;
    Ok(pem)
}

/// Writes key and certificate as one file, so that no crash leaves one without the other.
fn create(path: &Path) -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
    let pem = Zeroizing::new(made.signing_key.serialize_pem() + &made.cert.pem());
    let dir = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let staged = path.with_extension("new");
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&staged)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    File::open(dir)?.sync_all()
}

/// The name in the certificate. Nobody checks it: nodes compare the whole certificate's hash.
const NAME: &str = "origin.antiphon";
const FILE: &str = "origin.pem";
/// A P-256 key and certificate take under 1 KiB.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why there is no certificate to start with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The file system said no.
    #[error("{}: {source}; the origin keeps its certificate there and must be able to read and write it", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is no certificate with its key.
    #[error("{}: not a certificate with its key; restore it from a backup, or remove it to get a new one (nodes then need the new fingerprint)", .0.display())]
    Damaged(PathBuf),
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_certificate_survives_and_its_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = Certificate::load_or_create(&state).unwrap().fingerprint();
        assert_eq!(
            Certificate::load_or_create(&state).unwrap().fingerprint(),
            first
        );
        let mode = fs::metadata(state.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = Certificate::load_or_create(&dir.path().join("other")).unwrap();
        assert_ne!(other.fingerprint(), first);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "garbage").unwrap();
        assert!(matches!(
            Certificate::load_or_create(dir.path()),
            Err(CertificateError::Damaged(_))
        ));
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), b"garbage");
    }
}
