//! The data streams to one neighbor: a few long-lived ones, one request at a time on each.
//!
//! Opening a stream negotiates its protocol, which costs several times a request on an open one.
//! So some are opened before they are needed, and all go back here after a request.

use std::sync::{Arc, Mutex, PoisonError};

use libp2p::swarm::ConnectionId;
use libp2p::{PeerId, Stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::behaviour::{Open, StreamKind};
use super::hub::Command;
use super::limits::{DATA_STREAMS_MAX, DATA_STREAMS_READY};

pub(super) struct StreamPool {
    peer: PeerId,
    connection: ConnectionId,
    commands: mpsc::Sender<Command>,
    idle: Mutex<Vec<Stream>>,
    /// One permit a stream that may be in use.
    permits: Arc<Semaphore>,
}

/// A stream in use. Dropped, it is closed; [`StreamPool::give_back`] keeps it.
pub(super) struct Lease {
    pub stream: Stream,
    _permit: OwnedSemaphorePermit,
}

impl StreamPool {
    pub(super) fn new(
        peer: PeerId,
        connection: ConnectionId,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self {
            peer,
            connection,
            commands,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(DATA_STREAMS_MAX)),
        }
    }

    /// Opens the streams that the first requests will use.
    pub(super) async fn prepare(&self) {
        for _ in 0..DATA_STREAMS_READY {
            match self.open().await {
                Some(stream) => self.keep(stream),
                None => return,
            }
        }
    }

    /// A free stream, a new one, or the next that gets free; nothing if the connection is gone.
    pub(super) async fn take(&self) -> Option<Lease> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let idle = self.idle().pop();
        let stream = match idle {
            Some(stream) => stream,
            None => self.open().await?,
        };
        Some(Lease {
            stream,
            _permit: permit,
        })
    }

    /// Takes back a stream on which nothing is under way.
    pub(super) fn give_back(&self, lease: Lease) {
        self.keep(lease.stream);
    }

    fn keep(&self, stream: Stream) {
        let mut idle = self.idle();
        if idle.len() < DATA_STREAMS_MAX {
            idle.push(stream);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Stream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self) -> Option<Stream> {
        open(self.peer, self.connection, &self.commands, StreamKind::Data).await
    }
}

/// Opens a stream on one connection; nothing if the connection is gone.
pub(super) async fn open(
    peer: PeerId,
    connection: ConnectionId,
    commands: &mpsc::Sender<Command>,
    kind: StreamKind,
) -> Option<Stream> {
    let (opened, stream) = oneshot::channel();
    let command = Command::Open {
        peer,
        connection,
        open: Open { kind, opened },
    };
    commands.send(command).await.ok()?;
    stream.await.ok()
}
