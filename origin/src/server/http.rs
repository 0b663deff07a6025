//! The HTTP side: the second way in, and the one that caches in front can use.
//!
//! Plain HTTP is enough: content is ciphertext and every span proves itself. An operator who wants
//! TLS or HTTP/2 puts a proxy in front. Not here: anything that could not also be cached.

mod answer;
mod connection;
mod error;
mod range;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::timeout::TimeoutLayer;

use self::connection::Unstalled;
use super::answering::{Answering, duration};
use super::config::OriginConfig;

/// The running HTTP side.
pub(crate) struct HttpSide {
    tasks: TaskTracker,
}

impl HttpSide {
    /// Serves HTTP on `listener` until `stop`.
    pub(crate) fn start(
        config: &OriginConfig,
        listener: TcpListener,
        answering: Arc<Answering>,
        stop: CancellationToken,
    ) -> Self {
        let tasks = TaskTracker::new();
        let server = Server {
            places: Arc::new(Semaphore::new(config.http_connections_max)),
            router: router(Arc::clone(&answering), duration(config.store_timeout)),
            answering,
            stop,
            tasks: tasks.clone(),
        };
        tokio::spawn(server.run(listener));
        Self { tasks }
    }

    /// Lets running answers end until `deadline`. Idle connections have already been told.
    pub(crate) async fn drain(self, deadline: Instant) {
        self.tasks.close();
        if timeout_at(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!("HTTP answers were still running at the end of the drain time");
        }
    }
}

fn router(answering: Arc<Answering>, store_timeout: Duration) -> Router {
    Router::new()
        .route("/v1/content/{id}", get(answer::content))
        .route("/v1/content/{id}/outboard", get(answer::outboard))
        .route("/v1/content/{id}/spans/{span}", get(answer::span))
        .route("/v1/art/{id}", get(answer::art))
        .route("/livez", get(answer::livez))
        .route("/readyz", get(answer::readyz))
        .route("/metrics", get(answer::metrics))
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        // Until the answer's head: a rendition's two objects are looked at and one is read.
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            store_timeout * 3,
        ))
        .with_state(answering)
}

struct Server {
    places: Arc<Semaphore>,
    router: Router,
    answering: Arc<Answering>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    async fn run(self, listener: TcpListener) {
        let stop = self.stop.clone();
        let accepting = async {
            // Without a free place nobody is accepted: newcomers wait in the system's queue.
            while let Ok(place) = Arc::clone(&self.places).acquire_owned().await {
                match listener.accept().await {
                    Ok((stream, _)) => self.serve(stream, place),
                    Err(error) => {
                        tracing::warn!(%error, "an HTTP connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = accepting => {}
        }
    }

    fn serve(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        self.answering.metrics.http_connections.add(1);
        let _ = stream.set_nodelay(true);
        let stop = self.stop.clone();
        let io = TokioIo::new(Unstalled::new(stream, self.answering.send_timeout));
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.answering.request_timeout)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEADER_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(io, service);
        self.tasks.spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP connection broke");
            }
            drop(place);
        });
    }
}

/// A browser sends about 20. Guess.
const HEADERS_MAX: usize = 64;
/// A bearer capability is 300 bytes; browsers send up to 4 KiB of others. Guess.
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// What one connection buffers in and out, beside the pieces themselves.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// When the system has no file handles left, trying again at once would only burn time. Guess.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
