//! The thread that everything between nodes runs on.
//!
//! One thread moves a span through socket, connection and stream without waking another: a third
//! fewer thread switches than on a pool, as few as one raw stream (measured, with what is stored
//! together). It is far more than a line brings, and the player and the driver have theirs. Serving
//! reads files elsewhere; fetching writes them here, which the system's cache takes at once.

use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::swarm_task::{self, Started};
use super::{PeerTransportConfig, StartError, limits};
use crate::span_io::{ChunkSink, SpanSource};

/// Starts the thread. It ends a moment after the transport has been told to stop.
pub(super) async fn start(
    config: PeerTransportConfig,
    sink: Arc<dyn ChunkSink>,
    source: Arc<dyn SpanSource>,
) -> Result<Started, StartError> {
    let system = |error: std::io::Error| StartError::Thread(error.to_string());
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(system)?;
    let (told, tell) = oneshot::channel();
    let work = move || {
        run(&runtime, config, sink, source, told);
        // Whoever still reads a file is not waited for.
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name("antiphon-peers".to_owned());
    thread.spawn(work).map_err(system)?;
    let lost = |_| StartError::Thread("it ended".to_owned());
    tell.await.map_err(lost)?
}

fn run(
    runtime: &Runtime,
    config: PeerTransportConfig,
    sink: Arc<dyn ChunkSink>,
    source: Arc<dyn SpanSource>,
    told: oneshot::Sender<Result<Started, StartError>>,
) {
    runtime.block_on(async {
        match swarm_task::prepare(config, sink, source).await {
            Ok((started, transport)) => {
                // Nobody waits any more: the handle is dropped, which stops the transport.
                let _ = told.send(Ok(started));
                transport.await;
                // The last packets are on their way.
                sleep(limits::FAREWELL).await;
            }
            Err(error) => {
                let _ = told.send(Err(error));
            }
        }
    });
}
