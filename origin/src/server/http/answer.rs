//! What each path answers. Ids are parsed before they name anything, so no path can lead outside.

use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Capability;
use antiphon_protocol::{ArtId, ChunkIndex, ContentId, Span};
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use tokio::sync::OwnedSemaphorePermit;

use super::range::Wanted;
use crate::library::{art_path, content_path};
use crate::server::answering::Answering;
use crate::server::piece::{range_pieces, span_pieces};
use crate::server::refusal::Refusal;

type Answer = Result<Response, Response>;

/// An encoded span.
pub(super) async fn span(
    State(answering): State<Arc<Answering>>,
    Path((id, span)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let refuse = begin(&answering);
    let content: ContentId = parse(&id).map_err(&refuse)?;
    let span = parse_span(&span).ok_or(Refusal::INVALID).map_err(&refuse)?;
    let capability = capability(&headers).map_err(&refuse)?;
    let asked = answering.span(capability.as_ref(), content, span).await;
    let asked = asked.map_err(&refuse)?;
    let tag = format!("\"{content}.{}-{}\"", span.first().0, span.count());
    if is_known(&headers, &tag) {
        return Ok(unchanged(&tag));
    }
    let objects = Arc::clone(&answering.objects);
    let pieces = span_pieces(objects, asked.rendition, asked.span)
        .map_ok(|piece| stream::iter(piece.into_iter().map(Ok)))
        .try_flatten();
    let body = body(&answering, pieces, asked.place);
    let mut response = immutable(body, &tag, asked.encoded.0, BYTES);
    // The encoding is one unit: a part of it could not be checked.
    let none = HeaderValue::from_static("none");
    response.headers_mut().insert(header::ACCEPT_RANGES, none);
    Ok(response)
}

/// The ciphertext, or a range of it.
pub(super) async fn content(
    State(answering): State<Arc<Answering>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let refuse = begin(&answering);
    let content: ContentId = parse(&id).map_err(&refuse)?;
    let capability = capability(&headers).map_err(&refuse)?;
    let place = answering.admit(capability.as_ref()).map_err(&refuse)?;
    let rendition = answering.objects.rendition(content).await;
    let size = rendition.map_err(&refuse)?.geometry.size().0;
    let object = Object {
        path: content_path(content),
        tag: format!("\"{content}\""),
        size,
        kind: BYTES,
    };
    Ok(object.answer(&answering, &headers, place))
}

/// The inner nodes of the rendition's hash tree.
pub(super) async fn outboard(
    State(answering): State<Arc<Answering>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let refuse = begin(&answering);
    let content: ContentId = parse(&id).map_err(&refuse)?;
    let capability = capability(&headers).map_err(&refuse)?;
    let place = answering.admit(capability.as_ref()).map_err(&refuse)?;
    let rendition = answering.objects.rendition(content).await;
    let outboard = rendition.map_err(&refuse)?.outboard.clone();
    let tag = format!("\"{content}.outboard\"");
    if is_known(&headers, &tag) {
        return Ok(unchanged(&tag));
    }
    let bytes = outboard.len() as u64;
    let body = body(&answering, stream::iter([Ok(outboard)]), place);
    Ok(immutable(body, &tag, bytes, BYTES))
}

/// A cover. Browsers show it without a capability: it is no secret and not music.
pub(super) async fn art(
    State(answering): State<Arc<Answering>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let refuse = begin(&answering);
    let art: ArtId = parse(&id).map_err(&refuse)?;
    let place = answering.place().map_err(&refuse)?;
    let path = art_path(art);
    let size = answering.objects.size(&path).await.map_err(&refuse)?;
    let start = answering.objects.read(&path, 0..size.min(MAGIC_BYTES));
    let kind = picture_kind(&start.await.map_err(&refuse)?);
    let object = Object {
        path,
        tag: format!("\"{art}\""),
        size,
        kind,
    };
    Ok(object.answer(&answering, &headers, place))
}

/// Whether the process runs.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether requests can be answered.
pub(super) async fn readyz(State(answering): State<Arc<Answering>>) -> Response {
    if answering.is_leaving() {
        Refusal::GOING_AWAY.into_response()
    } else if answering.objects.answers().await {
        "ok\n".into_response()
    } else {
        let mut response = Refusal::INTERNAL.into_response();
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }
}

/// The counters.
pub(super) async fn metrics(State(answering): State<Arc<Answering>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, answering.metrics.snapshot().prometheus()).into_response()
}

/// Counts a request; returns how its refusal is counted and told.
fn begin(answering: &Arc<Answering>) -> impl Fn(Refusal) -> Response + use<> {
    answering.metrics.http_requests.add(1);
    let answering = Arc::clone(answering);
    move |refusal| {
        answering.metrics.refuse(refusal.code);
        refusal.into_response()
    }
}

/// An object that never changes and can be read in parts.
struct Object {
    path: ObjectPath,
    tag: String,
    size: u64,
    kind: &'static str,
}

impl Object {
    fn answer(
        self,
        answering: &Arc<Answering>,
        headers: &HeaderMap,
        place: OwnedSemaphorePermit,
    ) -> Response {
        if is_known(headers, &self.tag) {
            return unchanged(&self.tag);
        }
        // With If-Range of something else, the asker's part would not fit what we have.
        let same = header_text(headers, header::IF_RANGE).is_none_or(|tag| tag == self.tag);
        let range = header_text(headers, header::RANGE).filter(|_| same);
        match Wanted::of(range, self.size) {
            Wanted::Whole => self.send(answering, 0..self.size, place),
            Wanted::Part(part) => {
                let (first, last) = (part.start, part.end - 1);
                let about = format!("bytes {first}-{last}/{}", self.size);
                let mut response = self.send(answering, part, place);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(&mut response, header::CONTENT_RANGE, &about);
                response
            }
            Wanted::Unsatisfiable => {
                answering.metrics.refuse(Refusal::INVALID.code);
                let mut response = Refusal::INVALID.into_response();
                *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                let about = format!("bytes */{}", self.size);
                set(&mut response, header::CONTENT_RANGE, &about);
                response
            }
        }
    }

    fn send(
        &self,
        answering: &Arc<Answering>,
        range: Range<u64>,
        place: OwnedSemaphorePermit,
    ) -> Response {
        let bytes = range.end - range.start;
        let objects = Arc::clone(&answering.objects);
        let pieces = range_pieces(objects, self.path.clone(), range);
        let body = body(answering, pieces, place);
        let mut response = immutable(body, &self.tag, bytes, self.kind);
        set(&mut response, header::ACCEPT_RANGES, "bytes");
        response
    }
}

/// A body that is read while it is sent, and holds its place until then.
fn body(
    answering: &Arc<Answering>,
    pieces: impl Stream<Item = Result<Bytes, Refusal>> + Send + 'static,
    place: OwnedSemaphorePermit,
) -> Body {
    let answering = Arc::clone(answering);
    Body::from_stream(pieces.map(move |piece| {
        let _held = &place;
        let piece = piece.map_err(|refusal| std::io::Error::other(refusal.code.text()))?;
        answering.metrics.http_bytes.add(piece.len() as u64);
        Ok::<_, std::io::Error>(piece)
    }))
}

fn immutable(body: Body, tag: &str, bytes: u64, kind: &'static str) -> Response {
    let mut response = Response::new(body);
    set(&mut response, header::ETAG, tag);
    set(&mut response, header::CACHE_CONTROL, IMMUTABLE);
    set(&mut response, header::CONTENT_TYPE, kind);
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    response
}

fn unchanged(tag: &str) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    set(&mut response, header::ETAG, tag);
    set(&mut response, header::CACHE_CONTROL, IMMUTABLE);
    response
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether the asker has what `tag` names.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    header_text(headers, header::IF_NONE_MATCH).is_some_and(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    })
}

/// The capability in `Authorization: Bearer <hexadecimal>`, if there is one.
fn capability(headers: &HeaderMap) -> Result<Option<Signed<Capability>>, Refusal> {
    if !headers.contains_key(header::AUTHORIZATION) {
        return Ok(None);
    }
    header_text(headers, header::AUTHORIZATION)
        .and_then(|text| text.strip_prefix("Bearer "))
        .and_then(from_hex)
        .and_then(|bytes| Signed::from_bytes(&bytes).ok())
        .map(Some)
        .ok_or(Refusal::CAPABILITY)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

fn parse<T: FromStr>(id: &str) -> Result<T, Refusal> {
    id.parse().map_err(|_| Refusal::INVALID)
}

/// `{first}-{count}`, digits only, so that each span has exactly one address.
fn parse_span(text: &str) -> Option<Span> {
    let (first, count) = text.split_once('-')?;
    let number = |text: &str| -> Option<u32> {
        let value: u32 = text.parse().ok()?;
        (value.to_string() == text).then_some(value)
    };
    Span::new(ChunkIndex(number(first)?), number(count)?)
}

/// What the first bytes of a picture say it is; anything else is not shown by browsers.
fn picture_kind(start: &[u8]) -> &'static str {
    match start {
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => "image/webp",
        _ => BYTES,
    }
}

const BYTES: &str = "application/octet-stream";
const MAGIC_BYTES: u64 = 12;
/// Everything is named by its hash, so it can be kept for ever; a year is the longest in use.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_span_has_one_address() {
        assert_eq!(parse_span("3-4"), Span::new(ChunkIndex(3), 4));
        for bad in [
            "",
            "3",
            "3-",
            "-4",
            "03-4",
            "+3-4",
            "3-0",
            "3-65",
            "3-4-5",
            "4294967295-1",
        ] {
            assert_eq!(parse_span(bad), None, "{bad}");
        }
    }

    #[test]
    fn hexadecimal_is_read_whole_or_not_at_all() {
        assert_eq!(from_hex("00fF"), Some(vec![0, 255]));
        assert_eq!(from_hex(""), Some(vec![]));
        for bad in ["0", "0g", "zz", "é0"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
