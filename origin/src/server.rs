//! The origin server: gives everybody who may read any span of any rendition, over QUIC and HTTP.
//!
//! It is the anchor of the network: whatever peers do, a node that reaches it plays. It knows
//! content by its hash only; not here: accounts, titles, keys, swarm logic, ingest.
//!
//! Memory is bounded by the limits of [`OriginConfig`]: connections times their windows, answers
//! times two pieces, and the outboard cache.

mod answering;
mod certificate;
mod config;
mod gate;
mod http;
mod metrics;
mod objects;
mod piece;
mod quic;
mod recent;
mod refusal;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::answering::{Answering, duration};
use self::certificate::Certificate;
use self::gate::Gate;
use self::http::HttpSide;
use self::metrics::Metrics;
use self::objects::Objects;
use self::quic::QuicSide;

pub use certificate::CertificateError;
pub use config::{ObjectsLocation, OriginConfig};
pub use metrics::OriginMetrics;

/// The origin server.
#[derive(Debug)]
pub struct Origin;

/// An origin that serves. Dropping it stops it at once; [`RunningOrigin::shutdown`] is kinder.
pub struct RunningOrigin {
    address: SocketAddr,
    fingerprint: [u8; 32],
    drain_timeout: std::time::Duration,
    answering: Arc<Answering>,
    stop: CancellationToken,
    quic: Option<QuicSide>,
    http: Option<HttpSide>,
}

impl Origin {
    /// Starts an origin on the object store that `config` names. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the store, the certificate or the ports cannot be had, or a setting is impossible.
    pub async fn start(config: OriginConfig) -> Result<RunningOrigin, StartError> {
        let store = open_store(&config.objects)?;
        Self::start_on(config, store).await
    }

    /// Starts an origin on a store that is already open.
    ///
    /// # Errors
    /// As [`Origin::start`].
    pub async fn start_on(
        config: OriginConfig,
        store: Arc<dyn ObjectStore>,
    ) -> Result<RunningOrigin, StartError> {
        let key = config.capability_key.as_ref();
        let key = key
            .map(VerifyingKey::from_bytes)
            .transpose()
            .map_err(|_| StartError::CapabilityKey)?;
        let certificate = Certificate::load_or_create(&config.state)?;
        let (udp, tcp) = listen(config.listen)?;
        let address = udp.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let metrics = Arc::new(Metrics::default());
        let store_timeout = duration(config.store_timeout);
        let cache = config.outboard_cache;
        let objects = Objects::new(store, cache, store_timeout, Arc::clone(&metrics));
        let objects = Arc::new(objects);
        let answering = Answering::new(&config, objects, Gate::new(key), metrics);
        let answering = Arc::new(answering);
        let stop = CancellationToken::new();
        let quic = QuicSide::start(
            &config,
            &certificate,
            udp,
            Arc::clone(&answering),
            stop.clone(),
        )?;
        let http = HttpSide::start(&config, tcp, Arc::clone(&answering), stop.clone());
        Ok(RunningOrigin {
            address,
            fingerprint: certificate.fingerprint(),
            drain_timeout: duration(config.drain_timeout),
            answering,
            stop,
            quic: Some(quic),
            http: Some(http),
        })
    }
}

impl RunningOrigin {
    /// Where it serves QUIC (UDP).
    #[must_use]
    pub const fn quic_address(&self) -> SocketAddr {
        self.address
    }

    /// Where it serves HTTP (TCP); the port has the same number as for QUIC, because nodes are
    /// told one address.
    #[must_use]
    pub const fn http_address(&self) -> SocketAddr {
        self.address
    }

    /// BLAKE3 of the certificate (DER): how nodes know this origin.
    #[must_use]
    pub const fn certificate_fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// What has been counted so far.
    #[must_use]
    pub fn metrics(&self) -> OriginMetrics {
        self.answering.metrics.snapshot()
    }

    /// Takes nothing new, lets running answers end within the drain time, and stops.
    pub async fn shutdown(mut self) {
        let deadline = Instant::now() + self.drain_timeout;
        self.answering.leave();
        self.stop.cancel();
        let quic = self.quic.take();
        let http = self.http.take();
        let quic = async {
            if let Some(quic) = quic {
                quic.drain(deadline).await;
            }
        };
        let http = async {
            if let Some(http) = http {
                http.drain(deadline).await;
            }
        };
        tokio::join!(quic, http);
    }
}

impl Drop for RunningOrigin {
    fn drop(&mut self) {
        self.answering.leave();
        self.stop.cancel();
    }
}

impl std::fmt::Debug for RunningOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningOrigin")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn open_store(location: &ObjectsLocation) -> Result<Arc<dyn ObjectStore>, StartError> {
    let ObjectsLocation::Folder(folder) = location;
    let wrap = |source| StartError::Objects {
        folder: folder.clone(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(wrap)?;
    let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| wrap(error.into()))?;
    Ok(Arc::new(store))
}

/// Takes the UDP and the TCP port of the same number, any free one for port 0.
fn listen(address: SocketAddr) -> Result<(UdpSocket, tokio::net::TcpListener), StartError> {
    let mut attempts = if address.port() == 0 {
        PORT_ATTEMPTS
    } else {
        1
    };
    loop {
        attempts -= 1;
        match listen_once(address) {
            // The UDP port of the same number belongs to somebody else: take another.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
            result => return result.map_err(|source| StartError::Listen { address, source }),
        }
    }
}

fn listen_once(address: SocketAddr) -> io::Result<(UdpSocket, tokio::net::TcpListener)> {
    let tcp = TcpListener::bind(address)?;
    tcp.set_nonblocking(true)?;
    let udp = UdpSocket::bind(tcp.local_addr()?)?;
    Ok((udp, tokio::net::TcpListener::from_std(tcp)?))
}

/// Ports tried for port 0 until one is free for both TCP and UDP. Guess.
const PORT_ATTEMPTS: u32 = 16;

/// Why an origin did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The objects folder cannot be used.
    #[error("objects folder {}: {source}", folder.display())]
    Objects {
        /// The folder.
        folder: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The certificate cannot be read or made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The ports cannot be taken.
    #[error("cannot listen on {address} (UDP and TCP): {source}; is another origin running?")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The configured key is no Ed25519 public key.
    #[error("capability_key is not an Ed25519 public key; copy it from the tracker")]
    CapabilityKey,
    /// The certificate and its key do not fit.
    #[error("TLS refuses the certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS lacks the cipher that QUIC's first packets need.
    #[error("TLS has no cipher that QUIC can start with")]
    NoCipher,
}
