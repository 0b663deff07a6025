//! The local API: how the terminal and a browser on this machine talk to a running node.
//!
//! HTTP on loopback. Every call carries the token of the data folder, and its `Host` must be this
//! machine's: so neither another user nor a web page of somebody else can call it. Not here: any
//! state; each call is a command to the driver.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use antiphon_protocol::TrackId;
use antiphon_protocol::catalog::TrackSummary;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::command::{CommandError, Control};
use crate::node::NodeHandle;
use crate::play_queue::Queued;

/// File in the data folder that holds the token, readable by its owner alone.
pub const TOKEN_FILE: &str = "api.token";

/// A track as the API tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiTrack {
    /// Its id, hexadecimal.
    pub track: String,
    /// Title.
    pub title: String,
    /// Artist.
    pub artist: String,
    /// Album.
    pub album: String,
    /// Length.
    pub duration_ms: u64,
}

impl From<&TrackSummary> for ApiTrack {
    fn from(summary: &TrackSummary) -> Self {
        Self {
            track: summary.track.to_string(),
            title: summary.title.clone(),
            artist: summary.artist.clone(),
            album: summary.album.clone(),
            duration_ms: summary.duration.0 / 1_000,
        }
    }
}

/// Body of `/v1/play` and `/v1/queue`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracksBody {
    /// Track ids, hexadecimal.
    pub tracks: Vec<String>,
}

/// Body of `/v1/seek` and `/v1/volume`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueBody {
    /// Milliseconds, or thousandths of full volume.
    pub value: u64,
}

#[derive(Deserialize)]
struct SearchQuery {
    q: String,
    limit: Option<u16>,
}

#[derive(Deserialize)]
struct CatalogQuery {
    after: Option<String>,
    limit: Option<u16>,
}

struct Shared {
    node: NodeHandle,
    token: String,
}

/// A running API.
pub(crate) struct Api {
    /// The address taken.
    pub(crate) address: SocketAddr,
    /// The server.
    pub(crate) task: JoinHandle<()>,
}

/// Serves the API at `address`.
pub(crate) async fn serve(
    address: SocketAddr,
    node: NodeHandle,
    token: String,
) -> std::io::Result<Api> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared { node, token });
    let app = routes().layer(middleware::from_fn_with_state(shared.clone(), guard));
    let app = app
        .layer(tower_http::limit::RequestBodyLimitLayer::new(1 << 20))
        .with_state(shared);
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the local API ended");
        }
    });
    Ok(Api { address, task })
}

fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/plays", get(plays))
        .route("/v1/ledger", get(ledger))
        .route("/v1/search", get(search))
        .route("/v1/catalog", get(catalog))
        .route("/v1/play", post(play))
        .route("/v1/queue", post(enqueue))
        .route("/v1/pin", post(pin))
        .route("/v1/pause", post(|state| control(state, Control::Pause)))
        .route("/v1/resume", post(|state| control(state, Control::Resume)))
        .route("/v1/next", post(|state| control(state, Control::Next)))
        .route(
            "/v1/previous",
            post(|state| control(state, Control::Previous)),
        )
        .route("/v1/stop", post(|state| control(state, Control::Stop)))
        .route("/v1/seek", post(seek))
        .route("/v1/volume", post(volume))
        .route("/v1/shutdown", post(shutdown))
}

/// Loopback host and token, or nothing happens.
async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match refusal(&shared, request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !header(header::HOST).is_some_and(is_loopback_host) {
        let text = "this API answers on the local machine only";
        return Some(problem(StatusCode::FORBIDDEN, text));
    }
    let bearer = header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let given = blake3::hash(bearer.unwrap_or_default().as_bytes());
    // Hashes compare in constant time, so the token cannot be guessed byte by byte.
    let wrong = given != blake3::hash(shared.token.as_bytes());
    wrong.then(|| {
        problem(
            StatusCode::UNAUTHORIZED,
            "the API token is missing or wrong",
        )
    })
}

fn is_loopback_host(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn problem(status: StatusCode, message: &str) -> Response {
    (status, Json(serde_json::json!({ "error": message }))).into_response()
}

fn answer<T: Serialize>(result: Result<T, CommandError>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            let status = match error {
                CommandError::TrackerUnreachable | CommandError::Gone => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                CommandError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::CONFLICT,
            };
            problem(status, &error.to_string())
        }
    }
}

fn ids(body: &TracksBody) -> Result<Vec<Queued>, Box<Response>> {
    let parsed = body.tracks.iter().map(|text| text.parse::<TrackId>());
    let parsed: Result<Vec<_>, _> = parsed.collect();
    match parsed {
        Ok(tracks) => Ok(tracks
            .into_iter()
            .map(|track| Queued {
                track,
                summary: None,
            })
            .collect()),
        Err(error) => Err(Box::new(problem(
            StatusCode::BAD_REQUEST,
            &error.to_string(),
        ))),
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.node.status().await)
}

async fn plays(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.node.plays().await)
}

async fn ledger(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.node.ledger().await)
}

async fn search(State(shared): State<Arc<Shared>>, Query(query): Query<SearchQuery>) -> Response {
    let found = shared
        .node
        .search(&query.q, query.limit.unwrap_or(50))
        .await;
    answer(found.map(|tracks| tracks.iter().map(ApiTrack::from).collect::<Vec<_>>()))
}

async fn catalog(State(shared): State<Arc<Shared>>, Query(query): Query<CatalogQuery>) -> Response {
    let after = match query.after.map(|text| text.parse::<TrackId>()).transpose() {
        Ok(after) => after,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let page = shared.node.catalog(after, query.limit.unwrap_or(100)).await;
    answer(page.map(|(tracks, more)| {
        let tracks: Vec<_> = tracks.iter().map(ApiTrack::from).collect();
        serde_json::json!({ "tracks": tracks, "more": more })
    }))
}

async fn play(State(shared): State<Arc<Shared>>, Json(body): Json<TracksBody>) -> Response {
    match ids(&body) {
        Ok(entries) => answer(shared.node.play(entries).await),
        Err(refusal) => *refusal,
    }
}

async fn enqueue(State(shared): State<Arc<Shared>>, Json(body): Json<TracksBody>) -> Response {
    match ids(&body) {
        Ok(entries) => answer(shared.node.enqueue(entries).await),
        Err(refusal) => *refusal,
    }
}

async fn pin(State(shared): State<Arc<Shared>>, Json(body): Json<TracksBody>) -> Response {
    let entries = match ids(&body) {
        Ok(entries) => entries,
        Err(refusal) => return *refusal,
    };
    for entry in entries {
        if let Err(error) = shared.node.pin(entry.track).await {
            return answer::<()>(Err(error));
        }
    }
    answer(Ok(()))
}

async fn control(State(shared): State<Arc<Shared>>, control: Control) -> Response {
    answer(shared.node.control(control).await)
}

async fn seek(State(shared): State<Arc<Shared>>, Json(body): Json<ValueBody>) -> Response {
    let to = Duration::from_millis(body.value);
    answer(shared.node.control(Control::Seek(to)).await)
}

async fn volume(State(shared): State<Arc<Shared>>, Json(body): Json<ValueBody>) -> Response {
    let level = body.value.min(1_000) as f32 / 1_000.0;
    answer(shared.node.control(Control::Volume(level)).await)
}

async fn shutdown(State(shared): State<Arc<Shared>>) -> Response {
    answer(shared.node.shutdown().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_hosts() {
        for host in [
            "localhost",
            "localhost:7700",
            "127.0.0.1:7700",
            "[::1]:7700",
            "127.0.0.9",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:7700",
            "10.0.0.1:7700",
            "localhost.evil",
            "",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
