//! Refusals as HTTP: a status for caches and proxies, a small JSON object for programs and people.

use antiphon_protocol::ErrorCode;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::server::refusal::Refusal;

/// What stands in the body of a refusal.
#[derive(Serialize)]
struct Body {
    code: ErrorCode,
    message: &'static str,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(Body {
            code: self.code,
            message: self.code.text(),
        });
        let mut response = (status(self.code), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == ErrorCode::CAPABILITY {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if self.retry_after.0 > 0 {
            let seconds = HeaderValue::from(self.retry_after.0.div_ceil(1_000));
            headers.insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::NOT_FOUND => StatusCode::NOT_FOUND,
        ErrorCode::CAPABILITY => StatusCode::UNAUTHORIZED,
        ErrorCode::INVALID | ErrorCode::MALFORMED => StatusCode::BAD_REQUEST,
        ErrorCode::TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::BUSY | ErrorCode::GOING_AWAY => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// For paths that lead nowhere.
pub(super) async fn no_such_path() -> Refusal {
    Refusal::NOT_FOUND
}

/// For methods other than `GET` and `HEAD`.
pub(super) async fn no_such_method() -> Response {
    let mut response = Refusal::INVALID.into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let allowed = HeaderValue::from_static("GET, HEAD");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}
