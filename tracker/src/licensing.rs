//! Licenses: written on the spot, recorded in groups.
//!
//! An id is 128 random bits, so it cannot repeat whether or not its record reached the disk.

use std::time::Duration;

use antiphon_protocol::license::{License, LicenseError, Rights, Terms};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::{LicenseId, TrackId};
use ed25519_dalek::SigningKey;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accounts::Session;
use crate::catalog::PlayableTrack;
use crate::clock;
use crate::store::Store;
use crate::store::licenses::{LicenseRow, LicenseRows};

/// Records waiting for the disk: about a second at full speed; beyond it opens are refused.
const QUEUE: usize = 8_192;
/// Records in one transaction.
const BATCH: usize = 1_024;
/// Pause after a failed write.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Time between removals of old records.
const PRUNE_INTERVAL: Duration = Duration::from_secs(3_600);
/// Failed writes in a row at the end, after which the records are given up.
const FINAL_ATTEMPTS: u32 = 3;

/// Writes licenses.
pub(crate) struct Licensing {
    lease_secs: u32,
    grace_secs: u32,
    records: mpsc::Sender<LicenseRow>,
}

impl Licensing {
    /// Starts the task that records; it ends, with everything written, after `stop`.
    pub(crate) fn start(
        store: &Store,
        lease_secs: u32,
        grace_secs: u32,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (records, queue) = mpsc::channel(QUEUE);
        let recorder = Recorder {
            rows: LicenseRows::new(store.clone()),
            queue,
            batch: Vec::with_capacity(BATCH),
        };
        let licensing = Self {
            lease_secs,
            grace_secs,
            records,
        };
        (licensing, tokio::spawn(recorder.run(stop)))
    }

    /// A license of `track` for the session's device.
    pub(crate) fn issue(
        &self,
        session: &Session,
        track: TrackId,
        playable: &PlayableTrack,
        key: &SigningKey,
    ) -> Result<Signed<License>, IssueError> {
        let mut rng = rand::rng();
        let mut id = LicenseId([0; 16]);
        rand::Rng::fill_bytes(&mut rng, &mut id.0);
        let issued = clock::now();
        let terms = Terms {
            id,
            device: session.device_id,
            track,
            rights: Rights {
                stream: true,
                offline: true,
            },
            issued,
            lease_secs: self.lease_secs,
            grace_secs: self.grace_secs,
        };
        // The record has its place before the license exists: none leaves unrecorded.
        let place = self.records.try_reserve().map_err(|_| IssueError::Behind)?;
        let license = License::seal(terms, &session.device, &playable.keys, &mut rng)?;
        place.send(LicenseRow {
            id,
            account: session.account,
            device: session.device_id,
            track,
            issued,
        });
        Ok(Signed::sign(&license, key))
    }
}

/// Why no license was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// The disk does not keep up, or the tracker stops.
    #[error("license records wait for the disk")]
    Behind,
    /// The device's key.
    #[error(transparent)]
    License(#[from] LicenseError),
}

struct Recorder {
    rows: LicenseRows,
    queue: mpsc::Receiver<LicenseRow>,
    batch: Vec<LicenseRow>,
}

impl Recorder {
    async fn run(mut self, stop: CancellationToken) {
        let mut prune = tokio::time::interval(PRUNE_INTERVAL);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                taken = self.queue.recv_many(&mut self.batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    while !self.write().await && !stop.is_cancelled() {
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
                _ = prune.tick() => self.prune().await,
            }
        }
        self.finish().await;
    }

    /// Writes what is left; new records are refused from here on.
    async fn finish(&mut self) {
        self.queue.close();
        let mut failed = 0;
        loop {
            if self.batch.is_empty() && self.queue.recv_many(&mut self.batch, BATCH).await == 0 {
                return;
            }
            if !self.write().await {
                failed += 1;
                if failed == FINAL_ATTEMPTS {
                    let lost = self.batch.len() + self.queue.len();
                    tracing::error!(lost, "license records could not be written");
                    return;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    async fn write(&mut self) -> bool {
        match self.rows.insert_all(&self.batch).await {
            Ok(()) => {
                self.batch.clear();
                true
            }
            Err(error) => {
                tracing::error!(%error, waiting = self.batch.len(), "cannot record licenses");
                false
            }
        }
    }

    async fn prune(&self) {
        match self.rows.prune(clock::now()).await {
            Ok(rows) => tracing::debug!(rows, "forgot old license records"),
            Err(error) => tracing::warn!(%error, "cannot forget old license records"),
        }
    }
}
