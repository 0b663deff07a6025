//! The HTTP side, spoken to byte by byte.

use std::collections::HashMap;
use std::net::SocketAddr;

use antiphon_origin::server::{Origin, OriginConfig};
use antiphon_protocol::{ArtId, ErrorCode, Millis};
use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stage::{Stage, capability, check, own_bytes, span, within};

struct Response {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Response {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn code(&self) -> u64 {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert!(!body["message"].as_str().unwrap().is_empty());
        body["code"].as_u64().unwrap()
    }
}

async fn raw(to: SocketAddr, request: &str) -> Response {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.expect("a head");
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Response {
        status,
        headers,
        body: answer[end + 4..].to_vec(),
    }
}

async fn get(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response {
    request(to, "GET", path, headers).await
}

async fn request(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let extra: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: o\r\nconnection: close\r\n{extra}\r\n");
    raw(to, &head).await
}

#[tokio::test]
async fn a_span_is_the_same_as_over_quic_and_may_be_kept_for_ever() {
    let stage = Stage::new();
    let music = stage.add(3_000_000, 1);
    let origin = stage.start().await;
    let to = origin.http_address();
    for (first, count) in [(0, 1), (0, 64), (120, 64), (183, 1)] {
        let path = format!("/v1/content/{}/spans/{first}-{count}", music.content);
        let answer = get(to, &path, &[]).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        assert!(answer.header("cache-control").contains("immutable"));
        let span = span(first, count);
        let bytes = check(&music, span, &answer.body).expect("genuine bytes");
        assert!(bytes == own_bytes(&music, span));
        let tag = answer.header("etag").to_owned();
        let again = get(to, &path, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    let metrics = origin.metrics();
    assert_eq!(metrics.http_requests, 8);
    assert!(metrics.http_bytes > 128 * 16_384);
}

#[tokio::test]
async fn ciphertext_can_be_read_in_any_range() {
    let stage = Stage::new();
    let music = stage.add(1_000_000, 1);
    let origin = stage.start().await;
    let to = origin.http_address();
    let path = format!("/v1/content/{}", music.content);
    let whole = get(to, &path, &[]).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("accept-ranges"), "bytes");
    assert!(whole.body == music.bytes);
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=0-", 0..1_000_000),
        ("bytes=300000-899999", 300_000..900_000),
        ("bytes=999999-", 999_999..1_000_000),
        ("bytes=999990-2000000", 999_990..1_000_000),
        ("bytes=-10", 999_990..1_000_000),
        ("bytes=-2000000", 0..1_000_000),
    ] {
        let part = get(to, &path, &[("range", range)]).await;
        assert_eq!(part.status, 206, "{range}");
        let about = format!("bytes {}-{}/1000000", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), about);
        assert_eq!(part.header("content-length"), part.body.len().to_string());
        assert!(part.body == music.bytes[expected], "{range}");
    }
    for range in ["bytes=1000000-", "bytes=-0"] {
        let none = get(to, &path, &[("range", range)]).await;
        assert_eq!(none.status, 416, "{range}");
        assert_eq!(none.header("content-range"), "bytes */1000000");
    }
    for range in ["bytes=5-3", "bytes=0-1,4-5", "chunks=0-1", "bytes=x-"] {
        let ignored = get(to, &path, &[("range", range)]).await;
        assert_eq!((ignored.status, ignored.body.len()), (200, 1_000_000));
    }
    let tag = whole.header("etag").to_owned();
    for (known, status) in [(tag.as_str(), 206), ("\"other\"", 200)] {
        let headers = [("range", "bytes=0-9"), ("if-range", known)];
        assert_eq!(get(to, &path, &headers).await.status, status);
    }
}

#[tokio::test]
async fn outboard_art_and_head_requests_are_answered() {
    let stage = Stage::new();
    let music = stage.add(1_000_000, 1);
    let picture = [&[0xff, 0xd8, 0xff, 0xe0][..], &[5; 400_000]].concat();
    let art = ArtId(*blake3::hash(&picture).as_bytes());
    let folder = stage.dir.path().join("objects/art");
    std::fs::write(folder.join(art.to_string()), &picture).unwrap();
    let origin = stage.start().await;
    let to = origin.http_address();
    let outboard = get(to, &format!("/v1/content/{}/outboard", music.content), &[]).await;
    let on_disk = std::fs::read(stage.object(music.content, "obao")).unwrap();
    assert_eq!((outboard.status, outboard.body), (200, on_disk));
    let shown = get(to, &format!("/v1/art/{art}"), &[]).await;
    assert_eq!(shown.header("content-type"), "image/jpeg");
    assert_eq!(shown.header("x-content-type-options"), "nosniff");
    assert!(shown.status == 200 && shown.body == picture);
    let path = format!("/v1/content/{}", music.content);
    let head = request(to, "HEAD", &path, &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), "1000000");
}

#[tokio::test]
async fn what_is_not_there_is_told_as_json() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let origin = stage.start().await;
    let to = origin.http_address();
    let id = music.content;
    let unknown = "ab".repeat(32);
    for (path, status, code) in [
        (format!("/v1/content/{unknown}"), 404, ErrorCode::NOT_FOUND),
        (
            format!("/v1/content/{unknown}/spans/0-1"),
            404,
            ErrorCode::NOT_FOUND,
        ),
        (format!("/v1/art/{unknown}"), 404, ErrorCode::NOT_FOUND),
        (
            format!("/v1/content/{id}/spans/6-2"),
            400,
            ErrorCode::INVALID,
        ),
        (
            format!("/v1/content/{id}/spans/0-65"),
            400,
            ErrorCode::INVALID,
        ),
        (
            format!("/v1/content/{id}/spans/a-b"),
            400,
            ErrorCode::INVALID,
        ),
        ("/v1/content/zz".to_owned(), 400, ErrorCode::INVALID),
        ("/".to_owned(), 404, ErrorCode::NOT_FOUND),
        ("/v2/content".to_owned(), 404, ErrorCode::NOT_FOUND),
    ] {
        let answer = get(to, &path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.code(), u64::from(code.0), "{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let posted = request(to, "POST", &format!("/v1/content/{id}"), &[]).await;
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn no_path_leads_out_of_the_objects() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let secret = "the tracker's own";
    std::fs::write(stage.dir.path().join("secret"), secret).unwrap();
    std::fs::write(stage.dir.path().join("objects/secret"), secret).unwrap();
    let origin = stage.start().await;
    for path in [
        "/v1/content/../secret",
        "/v1/content/../../secret",
        "/v1/content/..%2fsecret",
        "/v1/content/..%2f..%2fsecret",
        "/v1/content/%2e%2e/%2e%2e/secret",
        "/v1/content/..%5csecret",
        "/v1/content/secret%00",
        "/v1/art/..%2fsecret",
        "/v1/art/%2e%2e%2fsecret",
        "/v1/art/..%252fsecret",
        "/v1/art//etc/passwd",
        "/v1/art/%ff%fe",
        "//etc/passwd",
        "/../secret",
        &format!("/v1/content/{}/../../../secret", music.content),
        &format!("/v1/content/{}%2f..%2f..%2fsecret", music.content),
        &format!("/v1/content/{}.enc", music.content),
        &format!("/v1/content/{}/spans/..%2f0-1", music.content),
    ] {
        let answer = get(origin.http_address(), path, &[]).await;
        assert!((400..500).contains(&answer.status), "{path}");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(!body.contains(secret) && !body.contains("root:"), "{path}");
    }
}

#[tokio::test]
async fn capabilities_are_asked_for_music_but_not_for_covers() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let art = ArtId([3; 32]);
    let folder = stage.dir.path().join("objects/art");
    std::fs::write(folder.join(art.to_string()), b"picture").unwrap();
    let tracker = SigningKey::from_bytes(&[1; 32]);
    let forger = SigningKey::from_bytes(&[2; 32]);
    let origin = Origin::start(OriginConfig {
        capability_key: Some(tracker.verifying_key().to_bytes()),
        ..stage.config()
    })
    .await
    .unwrap();
    let to = origin.http_address();
    let bearer = |key: &SigningKey, seconds: i64| {
        let bytes = capability(key, seconds).to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("Bearer {hex}")
    };
    let good = bearer(&tracker, 600);
    for path in ["", "/outboard", "/spans/0-1"] {
        let path = format!("/v1/content/{}{path}", music.content);
        let refused = get(to, &path, &[]).await;
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.code(), u64::from(ErrorCode::CAPABILITY.0));
        for bad in [
            bearer(&tracker, -3_600),
            bearer(&forger, 600),
            format!("{good}00"),
            good[..60].to_owned(),
            "Bearer".to_owned(),
            "Basic YTpi".to_owned(),
        ] {
            let refused = get(to, &path, &[("authorization", &bad)]).await;
            assert_eq!(refused.status, 401, "{path} {bad}");
        }
        let given = get(to, &path, &[("authorization", &good)]).await;
        assert_eq!(given.status, 200, "{path}");
    }
    assert_eq!(
        get(to, &format!("/v1/art/{art}"), &[]).await.body,
        b"picture"
    );
}

#[tokio::test]
async fn slow_and_oversized_requests_are_cut_off() {
    let stage = Stage::new();
    let origin = Origin::start(OriginConfig {
        request_timeout: Millis(200),
        ..stage.config()
    })
    .await
    .unwrap();
    let to = origin.http_address();
    // A head that never ends: the connection is closed, with or without an answer.
    let mut slow = TcpStream::connect(to).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: o\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = within(slow.read_to_end(&mut answer)).await;
    // A silent connection too.
    let mut silent = TcpStream::connect(to).await.unwrap();
    let _ = within(silent.read_to_end(&mut answer)).await;
    let long = "a".repeat(20_000);
    let refused = get(to, "/livez", &[("x-long", &long)]).await;
    assert_eq!(refused.status, 431);
    let many: Vec<(String, String)> = (0..100)
        .map(|n| (format!("x-{n}"), "1".to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(get(to, "/livez", &many).await.status, 431);
    assert_eq!(get(to, "/livez", &[]).await.status, 200);
}

#[tokio::test]
async fn health_and_counters_are_shown() {
    let stage = Stage::new();
    let music = stage.add(100_000, 1);
    let origin = stage.start().await;
    let to = origin.http_address();
    assert_eq!(get(to, "/livez", &[]).await.status, 200);
    assert_eq!(get(to, "/readyz", &[]).await.status, 200);
    let path = format!("/v1/content/{}/spans/9-9", music.content);
    get(to, &path, &[]).await;
    let text = String::from_utf8(get(to, "/metrics", &[]).await.body).unwrap();
    assert!(text.contains("antiphon_origin_requests_total{transport=\"http\"} 1\n"));
    assert!(text.contains("antiphon_origin_refused_total{code=\"13\"} 1\n"));
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_takes_no_new_ones() {
    let stage = Stage::new();
    let origin = stage.start().await;
    let to = origin.http_address();
    let mut idle = TcpStream::connect(to).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: o\r\n\r\n")
        .await
        .unwrap();
    let mut first = [0; 12];
    within(idle.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    within(origin.shutdown()).await;
    let mut rest = Vec::new();
    let _ = within(idle.read_to_end(&mut rest)).await;
    assert!(TcpStream::connect(to).await.is_err());
}
