//! The thread that everything between nodes runs on.
//!
//! One thread moves a span through socket, connection and stream without waking another: a third
//! fewer thread switches than on a pool, as few as one raw stream (measured, with what is stored
//! together). It is far more than a line brings, and the player and the driver have theirs. Serving
//! reads files elsewhere; fetching writes them here, which the system's cache takes at once.

use std::fmt;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::swarm_parts::Parts;
use super::swarm_task::{self, Started};
use super::{PeerTransportConfig, StartError, limits};
use crate::span_io::{ChunkSink, SpanSource};

/// What the thread is to run.
struct Work {
    parts: Parts,
    sink: Arc<dyn ChunkSink>,
    source: Arc<dyn SpanSource>,
    told: oneshot::Sender<Result<Started, StartError>>,
}

/// The thread before the transport starts: it drives what was opened on it already. Dropped, it
/// ends.
pub(super) struct NetworkThread {
    runtime: Handle,
    work: oneshot::Sender<Work>,
    ended: CancellationToken,
}

impl NetworkThread {
    pub(super) fn start() -> Result<Self, StartError> {
        let system = |error: std::io::Error| StartError::Thread(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(system)?;
        let handle = runtime.handle().clone();
        let (work, works) = oneshot::channel();
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let body = move || {
            // Even if it panics.
            let _end = end;
            run(&runtime, works);
            // Whoever still reads a file is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("antiphon-peers".to_owned());
        thread.spawn(body).map_err(system)?;
        Ok(Self {
            runtime: handle,
            work,
            ended,
        })
    }

    /// Set when nothing is driven any more.
    pub(super) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// What is opened while the guard lives is driven by this thread.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }
}

impl fmt::Debug for NetworkThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkThread")
    }
}

/// Starts the transport on the thread of its sockets. The thread ends a moment after the transport
/// has been told to stop.
pub(super) async fn start(
    config: PeerTransportConfig,
    sink: Arc<dyn ChunkSink>,
    source: Arc<dyn SpanSource>,
) -> Result<Started, StartError> {
    let lost = || StartError::Thread("it ended".to_owned());
    let (thread, parts) = Parts::of(config);
    let (told, tell) = oneshot::channel();
    let work = Work {
        parts,
        sink,
        source,
        told,
    };
    thread.work.send(work).map_err(|_| lost())?;
    tell.await.map_err(|_| lost())?
}

fn run(runtime: &Runtime, work: oneshot::Receiver<Work>) {
    runtime.block_on(async {
        let Ok(work) = work.await else {
            return;
        };
        match swarm_task::prepare(work.parts, work.sink, work.source).await {
            Ok((started, transport)) => {
                // Nobody waits any more: the handle is dropped, which stops the transport.
                let _ = work.told.send(Ok(started));
                transport.await;
                // The last packets are on their way.
                sleep(limits::FAREWELL).await;
            }
            Err(error) => {
                let _ = work.told.send(Err(error));
            }
        }
    });
}
