//! The HTTP side: whether the tracker lives, whether it is ready, and its metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::context::Context;
use crate::metrics::Gauges;

/// Nothing here takes longer unless it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Nothing here has a body.
const BODY_BYTES_MAX: usize = 1_024;

/// Serves until the tracker stops.
pub(crate) async fn run(context: Arc<Context>, listener: TcpListener) {
    let stop = context.stop.clone();
    let routes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            ANSWER_TIMEOUT,
        ))
        .with_state(context);
    let served = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the HTTP side ended");
    }
}

async fn ready(State(context): State<Arc<Context>>) -> (StatusCode, &'static str) {
    if context.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    } else if context.catalog_key.get().is_none() {
        let text = "no catalog key yet: ingest something\n";
        (StatusCode::SERVICE_UNAVAILABLE, text)
    } else if context.store.answers().await {
        (StatusCode::OK, "ready\n")
    } else {
        let text = "the database does not answer\n";
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let counts = context.swarms.count().await;
    let gauges = Gauges {
        tracks: context.catalog.len() as u64,
        nodes: counts.nodes as u64,
        swarm_entries: counts.entries as u64,
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    (
        [(header::CONTENT_TYPE, kind)],
        context.metrics.exposition(gauges),
    )
}
