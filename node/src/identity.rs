//! The node's secret keys on disk: one pair for its device, one for its transport.
//!
//! Created on the first start, readable by their owner alone. A damaged file is an error, never
//! silently replaced: a new device would lose its session and its licenses.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use antiphon_protocol::NodeId;
use antiphon_protocol::identity::DeviceSecret;
use zeroize::{Zeroize, Zeroizing};

const DEVICE_FILE: &str = "device.key";
const TRANSPORT_FILE: &str = "transport.key";

/// The keys of this node.
pub struct Identity {
    /// Opens licenses, proves sessions.
    pub device: DeviceSecret,
    /// Ed25519 secret of the peer transport.
    pub transport: Zeroizing<[u8; 32]>,
    /// The public half of `transport`.
    pub node: NodeId,
}

impl Identity {
    /// Reads the keys from `folder`, creating what is missing.
    ///
    /// # Errors
    /// If the folder cannot be used or a key file is damaged.
    pub fn load_or_create(folder: &Path) -> Result<Self, IdentityError> {
        let device = secret_file(&folder.join(DEVICE_FILE), || {
            DeviceSecret::generate(&mut rand::rng()).to_bytes().to_vec()
        })?;
        let device: &[u8; 64] = device
            .as_slice()
            .try_into()
            .map_err(|_| damaged(folder, DEVICE_FILE))?;
        let device = DeviceSecret::from_bytes(device);
        let transport = secret_file(&folder.join(TRANSPORT_FILE), || {
            rand::random::<[u8; 32]>().to_vec()
        })?;
        let transport: [u8; 32] = transport
            .as_slice()
            .try_into()
            .map_err(|_| damaged(folder, TRANSPORT_FILE))?;
        let public = ed25519_dalek::SigningKey::from_bytes(&transport).verifying_key();
        Ok(Self {
            device,
            transport: Zeroizing::new(transport),
            node: NodeId(public.to_bytes()),
        })
    }
}

fn damaged(folder: &Path, file: &str) -> IdentityError {
    IdentityError::Damaged {
        path: folder.join(file),
    }
}

/// Reads a secret, or creates it atomically with mode 0600.
pub(crate) fn secret_file(
    path: &Path,
    create: impl FnOnce() -> Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let failed = |source| IdentityError::Io {
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => return Ok(Zeroizing::new(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = create();
    let written = write_private(path, &bytes);
    let kept = Zeroizing::new(bytes.clone());
    bytes.zeroize();
    written.map_err(failed)?;
    Ok(kept)
}

/// Replaces a private file atomically: temporary file, sync, rename, sync of the folder.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(folder)?.sync_all()
}

/// Why the node has no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot use the key file {path}: {source}; check the folder's owner and permissions")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not a key.
    #[error(
        "the key file {path} is damaged; restore it from a backup, or move it away and log in again"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_same_after_a_restart_and_private() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let first = Identity::load_or_create(folder.path()).expect("created");
        let second = Identity::load_or_create(folder.path()).expect("read");
        assert_eq!(first.node, second.node);
        assert_eq!(first.device.public(), second.device.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(DEVICE_FILE))
                .expect("there")
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_key_is_an_error_and_not_replaced() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        fs::write(folder.path().join(DEVICE_FILE), b"short").expect("written");
        assert!(matches!(
            Identity::load_or_create(folder.path()),
            Err(IdentityError::Damaged { .. })
        ));
        assert_eq!(
            fs::read(folder.path().join(DEVICE_FILE)).expect("there"),
            b"short"
        );
    }
}
