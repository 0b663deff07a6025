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
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|_| damaged())
}

fn store(path: &Path, value: &impl Serialize) -> Result<(), SessionError> {
    let failed = |source| SessionError::Io {
        path: path.to_owned(),
        source,
    };
    let bytes = serde_json::to_vec(value).map_err(|error| failed(error.into()))?;
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
