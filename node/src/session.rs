//! The login of this machine, kept between runs: tracker, account and access token.
//!
//! Not here: accounts themselves, and connections that last (see [`crate::tracker_client`]).

use std::path::{Path, PathBuf};

use antiphon_protocol::tracker::{AccessToken, Attached, Password};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::identity::{Identity, IdentityError, write_private};
use crate::tracker_client::{ConnectError, RequestError, TrackerAddress, TrackerClient};

const SESSION_FILE: &str = "session";
const NETWORK_FILE: &str = "network";

/// A login.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Session {
    /// `host:port#fingerprint`.
    pub tracker: String,
    /// The account's name.
    pub user: String,
    /// Good for this device alone.
    pub token: AccessToken,
}

/// Who logs in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account's name.
    pub user: String,
    /// Its password.
    pub password: Password,
    /// Whether to make the account if it does not exist.
    pub register: bool,
}

impl Session {
    /// The session kept in `data`, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn load(data: &Path) -> Result<Option<Self>, SessionError> {
        load(&data.join(SESSION_FILE))
    }

    /// Logs in at `tracker` with this machine's keys and keeps the session.
    ///
    /// # Errors
    /// If the tracker cannot be reached or refuses, or the folder cannot be written.
    pub async fn log_in(
        data: &Path,
        tracker: &TrackerAddress,
        credentials: Credentials,
    ) -> Result<Self, SessionError> {
        let identity = Identity::load_or_create(data)?;
        let device = identity.device.public();
        let client = TrackerClient::connect(tracker).await?;
        let Credentials {
            user,
            password,
            register,
        } = credentials;
        let made = if register {
            client
                .register(user.clone(), password.clone(), device)
                .await
        } else {
            client.login(user.clone(), password.clone(), device).await
        };
        let made = match made {
            // Registering again with the right password is logging in.
            Err(RequestError::Refused { code, .. })
                if register && code == antiphon_protocol::ErrorCode::NAME_TAKEN =>
            {
                client.login(user.clone(), password, device).await
            }
            made => made,
        };
        client.close();
        let session = Self {
            tracker: tracker.to_string(),
            user,
            token: made?.token,
        };
        store(&data.join(SESSION_FILE), &session)?;
        Ok(session)
    }
}

/// What the tracker told at the latest attach, if it ever did.
pub(crate) fn load_network(data: &Path) -> Result<Option<Attached>, SessionError> {
    load(&data.join(NETWORK_FILE))
}

/// Keeps what the tracker told.
pub(crate) fn store_network(data: &Path, attached: &Attached) -> Result<(), SessionError> {
    store(&data.join(NETWORK_FILE), attached)
}

/// Largest of these files.
const FILE_BYTES_MAX: usize = 64 * 1024;

fn load<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, SessionError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(SessionError::Io {
                path: path.to_owned(),
                source,
            });
        }
    };
    let damaged = || SessionError::Damaged {
        path: path.to_owned(),
    };
    if bytes.len() > FILE_BYTES_MAX {
        return Err(damaged());
    }
    postcard::from_bytes(&bytes)
        .map(Some)
        .map_err(|_| damaged())
}

fn store(path: &Path, value: &impl Serialize) -> Result<(), SessionError> {
    let failed = |source| SessionError::Io {
        path: path.to_owned(),
        source,
    };
    let bytes = postcard::to_stdvec(value).map_err(|error| failed(std::io::Error::other(error)))?;
    write_private(path, &Zeroizing::new(bytes)).map_err(failed)
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The machine's keys cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The tracker cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The tracker said no.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A file cannot be used.
    #[error("cannot use {path}: {source}; check the folder's owner and permissions")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is damaged.
    #[error("{path} is damaged; remove it and log in again")]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use antiphon_protocol::signed::Signed;
    use antiphon_protocol::ticket::{Capability, RegionClass, Ticket};
    use antiphon_protocol::tracker::Passes;
    use antiphon_protocol::{AccountId, Millis, NodeId, UnixSeconds};

    use super::*;

    #[test]
    fn what_the_tracker_told_is_the_same_after_a_restart() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let expires = UnixSeconds(1);
        let ticket = Ticket {
            node: NodeId([1; 32]),
            region: RegionClass(0),
            expires,
        };
        let attached = Attached {
            account: AccountId(3),
            tracker_key: [1; 32],
            catalog_key: [2; 32],
            origins: Vec::new(),
            passes: Passes {
                ticket: Signed::sign(&ticket, &key),
                capability: Signed::sign(&Capability { nonce: 5, expires }, &key),
                renew_after: Millis(9),
            },
            observed: SocketAddr::from(([127, 0, 0, 1], 4)),
            now: UnixSeconds(6),
        };
        let folder = tempfile::tempdir().expect("a scratch folder");
        store_network(folder.path(), &attached).expect("written");
        assert_eq!(load_network(folder.path()).expect("read"), Some(attached));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(folder.path().join(SESSION_FILE), [0xff; 5]).expect("written");
        let error = Session::load(folder.path()).expect_err("damaged");
        assert!(error.to_string().contains(SESSION_FILE), "{error}");
    }
}
