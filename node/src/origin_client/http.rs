//! The way over HTTP, for networks that let no UDP through.

use std::io;
use std::time::Duration;

use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Capability;
use antiphon_protocol::verified::encoded_bytes;
use antiphon_protocol::{ErrorCode, Millis};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use super::FetchOrder;
use super::fetch::AttemptError;

/// A client with limits. It follows no redirects and uses no proxy: the node only talks to the
/// origins that the tracker named.
pub(super) fn client() -> io::Result<Client> {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .pool_max_idle_per_host(IDLE_PER_ORIGIN)
        .build()
        .map_err(io::Error::other)
}

/// Asks for the span; the body follows if the origin agrees.
pub(super) async fn ask(
    client: &Client,
    host: &str,
    capability: Option<&Signed<Capability>>,
    order: &FetchOrder,
) -> Result<Response, AttemptError> {
    let (first, count) = (order.span.first().0, order.span.count());
    let content = order.content;
    let url = format!("http://{host}/v1/content/{content}/spans/{first}-{count}");
    let mut request = client.get(url);
    if let Some(capability) = capability {
        let hex: String = capability
            .to_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        request = request.header(AUTHORIZATION, format!("Bearer {hex}"));
    }
    let response = request.send().await.map_err(|error| {
        tracing::debug!(%error, host, "the origin does not answer over HTTP");
        AttemptError::Unreachable
    })?;
    if response.status() != StatusCode::OK {
        return Err(declined(response).await);
    }
    let length = response.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let expected = encoded_bytes(order.geometry, order.span).0;
    if length.is_some_and(|length| length != expected) {
        return Err(AttemptError::Corrupt);
    }
    Ok(response)
}

/// What the origin says in a refusal's body.
#[derive(Deserialize)]
struct Refusal {
    code: ErrorCode,
}

async fn declined(mut response: Response) -> AttemptError {
    let seconds = response.headers().get(RETRY_AFTER);
    let seconds = seconds.and_then(|seconds| seconds.to_str().ok()?.parse::<u32>().ok());
    let retry_after = Millis(seconds.unwrap_or(0).saturating_mul(1_000)).clamped();
    let by_status = match response.status() {
        StatusCode::NOT_FOUND => ErrorCode::NOT_FOUND,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorCode::CAPABILITY,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::RATE_LIMITED,
        StatusCode::SERVICE_UNAVAILABLE => ErrorCode::BUSY,
        status if status.is_server_error() => ErrorCode::INTERNAL,
        // A redirect or anything else no origin sends: somebody is in between.
        status if !status.is_client_error() => return AttemptError::Unreachable,
        _ => ErrorCode::INVALID,
    };
    let mut body = Vec::new();
    while let Ok(Some(more)) = response.chunk().await {
        if body.len() + more.len() > REFUSAL_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&more);
    }
    let said = serde_json::from_slice::<Refusal>(&body);
    AttemptError::Declined {
        code: said.map_or(by_status, |refusal| refusal.code),
        retry_after,
    }
}

/// TCP repeats a lost first packet after one second, so two tolerate one loss.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// HTTP/1.1 has one request a connection at a time; more wait for a new one. Guess.
const IDLE_PER_ORIGIN: usize = 4;
/// A refusal takes about 60 bytes.
const REFUSAL_BYTES_MAX: usize = 1_024;
