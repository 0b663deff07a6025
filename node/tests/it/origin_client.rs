//! The client of the origin against a real origin over real sockets.
#![allow(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use antiphon_node::origin_client::{FetchOrder, OriginClient, OriginEvent};
use antiphon_node::span_io::{ChunkSink, SinkError};
use antiphon_origin::server::{ObjectsLocation, Origin, OriginConfig, RunningOrigin};
use antiphon_protocol::signed::Signed;
use antiphon_protocol::ticket::Capability;
use antiphon_protocol::tracker::OriginAddress;
use antiphon_protocol::verified::{PARENT_BYTES, hash_content};
use antiphon_protocol::{
    ByteCount, CHUNK_BYTES, ChunkIndex, ContentId, ErrorCode, Geometry, Span, UnixSeconds,
};
use antiphon_swarm::FetchId;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::OriginRoute;
use ed25519_dalek::SigningKey;
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;

use crate::delay_proxy::DelayProxy;

const PATIENCE: Duration = Duration::from_secs(20);
const ROUTES: [OriginRoute; 2] = [OriginRoute::Quic, OriginRoute::Http];

/// Keeps what arrives; refuses chunks when told so.
#[derive(Default)]
struct Kept {
    chunks: Mutex<HashMap<(ContentId, u32), Vec<u8>>>,
    parents: Mutex<HashMap<(ContentId, u64), [u8; PARENT_BYTES]>>,
    full: bool,
}

impl ChunkSink for Kept {
    fn put_parent(&self, content: ContentId, outboard_offset: u64, node: &[u8; PARENT_BYTES]) {
        let mut parents = self.parents.lock().unwrap();
        parents.insert((content, outboard_offset), *node);
    }

    fn put_chunk(
        &self,
        content: ContentId,
        chunk: ChunkIndex,
        data: &[u8],
    ) -> Result<bool, SinkError> {
        if self.full {
            return Err(SinkError::Write);
        }
        let mut chunks = self.chunks.lock().unwrap();
        Ok(chunks.insert((content, chunk.0), data.to_vec()).is_none())
    }
}

struct Music {
    bytes: Vec<u8>,
    outboard: Vec<u8>,
    content: ContentId,
    geometry: Geometry,
}

struct Stage {
    dir: TempDir,
    music: Music,
}

impl Stage {
    fn new(bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut data = vec![0; bytes];
        blake3::Hasher::new().finalize_xof().fill(&mut data);
        let geometry = Geometry::new(ByteCount(bytes as u64)).unwrap();
        let (content, outboard) = hash_content(geometry, &data[..]).unwrap();
        let stage = Self {
            dir,
            music: Music {
                bytes: data,
                outboard,
                content,
                geometry,
            },
        };
        std::fs::create_dir_all(stage.object("enc").parent().unwrap()).unwrap();
        std::fs::write(stage.object("enc"), &stage.music.bytes).unwrap();
        std::fs::write(stage.object("obao"), &stage.music.outboard).unwrap();
        stage
    }

    fn object(&self, kind: &str) -> PathBuf {
        let name = format!("objects/content/{}.{kind}", self.music.content);
        self.dir.path().join(name)
    }

    fn config(&self) -> OriginConfig {
        OriginConfig {
            objects: ObjectsLocation::Folder(self.dir.path().join("objects")),
            state: self.dir.path().join("state"),
            listen: ([127, 0, 0, 1], 0).into(),
            ..OriginConfig::default()
        }
    }

    async fn start(&self) -> RunningOrigin {
        Origin::start(self.config()).await.unwrap()
    }

    fn order(&self, fetch: u64, route: OriginRoute, first: u32, count: u32) -> FetchOrder {
        FetchOrder {
            fetch: FetchId(fetch),
            route,
            content: self.music.content,
            geometry: self.music.geometry,
            span: Span::new(ChunkIndex(first), count).unwrap(),
            deadline: antiphon_swarm::Duration::from_secs(10),
        }
    }
}

fn address(origin: &RunningOrigin) -> OriginAddress {
    at(origin.quic_address(), origin)
}

fn at(address: SocketAddr, origin: &RunningOrigin) -> OriginAddress {
    OriginAddress {
        host: address.to_string(),
        certificate: origin.certificate_fingerprint(),
    }
}

/// An address where nobody answers: the ports are taken and never read.
struct Nobody {
    _udp: std::net::UdpSocket,
    address: OriginAddress,
}

impl Nobody {
    fn new() -> Self {
        let udp = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = OriginAddress {
            host: udp.local_addr().unwrap().to_string(),
            certificate: [0; 32],
        };
        Self { _udp: udp, address }
    }
}

fn client(origins: Vec<OriginAddress>) -> (OriginClient, Receiver<OriginEvent>, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let sink = Arc::clone(&kept) as Arc<dyn ChunkSink>;
    let (client, events) = OriginClient::new(origins, sink, None).unwrap();
    (client, events, kept)
}

async fn next(events: &mut Receiver<OriginEvent>) -> OriginEvent {
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    event.expect("an event in time").expect("an open channel")
}

/// Fetches and returns all events of the fetch.
async fn fetch(
    client: &OriginClient,
    events: &mut Receiver<OriginEvent>,
    order: FetchOrder,
) -> Vec<FetchEvent> {
    client.fetch(order);
    let mut seen = Vec::new();
    loop {
        let OriginEvent { fetch, event } = next(events).await;
        assert_eq!(fetch, order.fetch);
        seen.push(event);
        if !matches!(event, FetchEvent::Accepted | FetchEvent::Verified { .. }) {
            return seen;
        }
    }
}

async fn outcome(
    client: &OriginClient,
    events: &mut Receiver<OriginEvent>,
    order: FetchOrder,
) -> FetchEvent {
    *fetch(client, events, order).await.last().unwrap()
}

/// What a refused fetch must end with.
fn declined(event: FetchEvent) -> ErrorCode {
    match event {
        FetchEvent::Declined { code, .. } => code,
        event => panic!("expected a refusal, got {event:?}"),
    }
}

#[tokio::test]
async fn spans_arrive_verified_in_order_over_both_routes() {
    for route in ROUTES {
        let stage = Stage::new(2_000_000);
        let origin = stage.start().await;
        let (client, mut events, kept) = client(vec![address(&origin)]);
        for (fetch_id, first, count) in [(1, 0, 64), (2, 64, 59), (3, 122, 1)] {
            let order = stage.order(fetch_id, route, first, count);
            let mut expected = vec![FetchEvent::Accepted];
            expected.extend(
                (first + 1..=first + count).map(|until| FetchEvent::Verified {
                    until: ChunkIndex(until),
                }),
            );
            expected.push(FetchEvent::Done);
            assert_eq!(fetch(&client, &mut events, order).await, expected);
        }
        let chunks = kept.chunks.lock().unwrap();
        let source = stage.music.bytes.chunks(CHUNK_BYTES as usize);
        assert_eq!(chunks.len(), source.len());
        for (index, own) in (0..).zip(source) {
            assert!(chunks[&(stage.music.content, index)] == own);
        }
        for ((_, offset), node) in kept.parents.lock().unwrap().iter() {
            let own = &stage.music.outboard[*offset as usize..][..PARENT_BYTES];
            assert_eq!(node, own);
        }
        assert_eq!(
            client.stats().connections,
            u64::from(route == OriginRoute::Quic)
        );
    }
}

#[tokio::test]
async fn when_quic_fails_the_client_says_so_and_http_works_when_told() {
    let stage = Stage::new(100_000);
    let origin = stage.start().await;
    // The way over UDP leads nowhere; TCP of the same address is the origin's.
    let mut wrong = address(&origin);
    wrong.certificate = [1; 32];
    let (client, mut events, kept) = client(vec![wrong]);
    let quic = outcome(
        &client,
        &mut events,
        stage.order(1, OriginRoute::Quic, 0, 7),
    )
    .await;
    assert_eq!(quic, FetchEvent::Failed);
    assert!(kept.chunks.lock().unwrap().is_empty());
    let http = outcome(
        &client,
        &mut events,
        stage.order(2, OriginRoute::Http, 0, 7),
    )
    .await;
    assert_eq!(http, FetchEvent::Done);
    assert_eq!(kept.chunks.lock().unwrap().len(), 7);
}

#[tokio::test]
async fn silence_is_a_failure_within_the_deadline_for_connecting() {
    let stage = Stage::new(100_000);
    let nobody = Nobody::new();
    let (client, mut events, _) = client(vec![nobody.address.clone()]);
    let started = Instant::now();
    // Many wait for the same attempt, not one after the other.
    for fetch in 0..20 {
        client.fetch(stage.order(fetch, OriginRoute::Quic, 0, 1));
    }
    for _ in 0..20 {
        assert_eq!(next(&mut events).await.event, FetchEvent::Failed);
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(900), "gave up after {took:?}");
    assert!(took < Duration::from_secs(5), "gave up after {took:?}");
    let refused = outcome(
        &client,
        &mut events,
        stage.order(20, OriginRoute::Http, 0, 1),
    )
    .await;
    assert_eq!(refused, FetchEvent::Failed);
}

#[tokio::test]
async fn the_next_origin_is_asked_and_a_failed_one_is_avoided_for_a_while() {
    let stage = Stage::new(100_000);
    let origin = stage.start().await;
    let nobody = Nobody::new();
    let (client, mut events, _) = client(vec![nobody.address.clone(), address(&origin)]);
    let first = outcome(
        &client,
        &mut events,
        stage.order(1, OriginRoute::Quic, 0, 7),
    )
    .await;
    assert_eq!(first, FetchEvent::Done);
    let failed = client.stats().connections_failed;
    assert_eq!(failed, 1);
    let again = outcome(
        &client,
        &mut events,
        stage.order(2, OriginRoute::Quic, 0, 7),
    )
    .await;
    assert_eq!(again, FetchEvent::Done);
    assert_eq!(client.stats().connections_failed, failed);
}

#[tokio::test]
async fn refusals_come_with_their_code_over_both_routes() {
    let stage = Stage::new(100_000);
    let tracker = SigningKey::from_bytes(&[1; 32]);
    let origin = Origin::start(OriginConfig {
        capability_key: Some(tracker.verifying_key().to_bytes()),
        ..stage.config()
    })
    .await
    .unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let expires = UnixSeconds(now.as_secs() + 600);
    let good = Signed::sign(&Capability { nonce: 1, expires }, &tracker);
    for route in ROUTES {
        let (client, mut events, kept) = client(vec![address(&origin)]);
        let bare = outcome(&client, &mut events, stage.order(1, route, 0, 1)).await;
        assert_eq!(declined(bare), ErrorCode::CAPABILITY);
        client.set_capability(Some(good.clone()));
        let mut unknown = stage.order(2, route, 0, 1);
        unknown.content = ContentId([7; 32]);
        let unknown = outcome(&client, &mut events, unknown).await;
        assert_eq!(declined(unknown), ErrorCode::NOT_FOUND);
        let outside = outcome(&client, &mut events, stage.order(3, route, 7, 1)).await;
        assert_eq!(declined(outside), ErrorCode::INVALID);
        assert!(kept.chunks.lock().unwrap().is_empty());
        let done = outcome(&client, &mut events, stage.order(4, route, 0, 7)).await;
        assert_eq!(done, FetchEvent::Done);
    }
}

#[tokio::test]
async fn damage_at_the_origin_is_seen_and_never_kept() {
    for route in ROUTES {
        let stage = Stage::new(300_000);
        let mut damaged = stage.music.bytes.clone();
        damaged[5 * 16_384 + 3] ^= 0x80;
        std::fs::write(stage.object("enc"), damaged).unwrap();
        let origin = stage.start().await;
        let (client, mut events, kept) = client(vec![address(&origin)]);
        let seen = fetch(&client, &mut events, stage.order(1, route, 0, 19)).await;
        assert_eq!(seen.last(), Some(&FetchEvent::Corrupt));
        let until = FetchEvent::Verified {
            until: ChunkIndex(5),
        };
        assert_eq!(seen[seen.len() - 2], until);
        assert_eq!(client.stats().corrupt, 1);
        let chunks = kept.chunks.lock().unwrap();
        assert_eq!(chunks.len(), 5);
        for ((_, index), data) in chunks.iter() {
            let start = *index as usize * 16_384;
            assert!(data[..] == stage.music.bytes[start..start + 16_384]);
        }
    }
}

#[tokio::test]
async fn a_rendition_of_another_size_is_not_believed() {
    for route in ROUTES {
        let stage = Stage::new(300_000);
        let origin = stage.start().await;
        let (client, mut events, kept) = client(vec![address(&origin)]);
        // The last chunk of what the manifest says is longer than that of what is served.
        let mut order = stage.order(1, route, 18, 1);
        order.geometry = Geometry::new(ByteCount(300_001)).unwrap();
        let end = outcome(&client, &mut events, order).await;
        assert_eq!(end, FetchEvent::Corrupt);
        assert!(kept.chunks.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_store_that_is_full_fails_the_fetch() {
    let stage = Stage::new(300_000);
    let origin = stage.start().await;
    let full = Arc::new(Kept {
        full: true,
        ..Kept::default()
    });
    let (client, mut events) = OriginClient::new(vec![address(&origin)], full, None).unwrap();
    for (fetch, route) in (0..).zip(ROUTES) {
        let end = outcome(&client, &mut events, stage.order(fetch, route, 0, 2)).await;
        assert_eq!(end, FetchEvent::Failed);
    }
}

#[tokio::test]
async fn a_canceled_fetch_is_silent_and_stops_the_origin() {
    let stage = Stage::new(2_000_000);
    let origin = stage.start().await;
    // Nothing is taken from the channel, so the fetches cannot get far.
    let proxy = DelayProxy::start(origin.quic_address(), Duration::from_millis(20));
    let proxy = proxy.await.unwrap();
    let (client, mut events, _) = client(vec![at(proxy.address(), &origin)]);
    let order = stage.order(1, OriginRoute::Quic, 0, 64);
    client.fetch(order);
    while next(&mut events).await.event == FetchEvent::Accepted {}
    client.cancel(order.fetch);
    let last = outcome_of(
        &client,
        &mut events,
        stage.order(2, OriginRoute::Quic, 0, 1),
    )
    .await;
    assert_eq!(last, FetchEvent::Done);
    // The origin hears of both a moment later.
    let heard = tokio::time::timeout(PATIENCE, async {
        let counted = || {
            (
                origin.metrics().answers_complete,
                origin.metrics().answers_broken,
            )
        };
        while counted() != (1, 1) {
            tokio::task::yield_now().await;
        }
    });
    heard.await.expect("one answer complete, one stopped");
}

/// As [`outcome`], skipping what was in the channel of other fetches; none of it may be an end.
async fn outcome_of(
    client: &OriginClient,
    events: &mut Receiver<OriginEvent>,
    order: FetchOrder,
) -> FetchEvent {
    client.fetch(order);
    loop {
        let OriginEvent { fetch, event } = next(events).await;
        let ended = !matches!(event, FetchEvent::Accepted | FetchEvent::Verified { .. });
        assert!(!ended || fetch == order.fetch, "{fetch:?} was canceled");
        if ended {
            return event;
        }
    }
}

#[tokio::test]
async fn a_lost_connection_comes_back_with_zero_rtt_and_a_restart_costs_no_fetch() {
    let stage = Stage::new(2_000_000);
    let origin = Origin::start(OriginConfig {
        idle_timeout: antiphon_protocol::Millis(150),
        ..stage.config()
    })
    .await
    .unwrap();
    let proxy = DelayProxy::start(origin.quic_address(), Duration::from_millis(50));
    let proxy = proxy.await.unwrap();
    let (client, mut events, _) = client(vec![at(proxy.address(), &origin)]);
    client.warm();
    let warm = outcome(
        &client,
        &mut events,
        stage.order(1, OriginRoute::Quic, 0, 1),
    )
    .await;
    assert_eq!(warm, FetchEvent::Done);
    assert_eq!(client.stats().connections, 1);
    assert_eq!(client.stats().zero_rtt_offered, 0);
    // The connection idles out on both sides: at the earliest after three times its own guess of
    // how long an answer takes.
    proxy.silent_for(Duration::from_millis(1_500)).await;
    proxy.reset();
    let started = Instant::now();
    let back = outcome(
        &client,
        &mut events,
        stage.order(2, OriginRoute::Quic, 0, 4),
    )
    .await;
    let (took, round_trips) = (started.elapsed(), proxy.round_trips());
    println!("head after reconnecting with 0-RTT: {round_trips} round trip, {took:?} at 100 ms");
    assert_eq!(back, FetchEvent::Done);
    assert_eq!(round_trips, 1);
    assert_eq!(client.stats().zero_rtt_offered, 1);
    proxy.silent_for(Duration::from_millis(500)).await;
    assert_eq!(client.stats().zero_rtt_accepted, 1);

    // A restarted origin does not know the session: the fetch is asked again by itself.
    let address = origin.quic_address();
    origin.shutdown().await;
    let again = OriginConfig {
        listen: address,
        ..stage.config()
    };
    let restarted = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(origin) = Origin::start(again.clone()).await {
                break origin;
            }
            tokio::task::yield_now().await;
        }
    });
    let _restarted = restarted.await.expect("the port comes free");
    let after = outcome(
        &client,
        &mut events,
        stage.order(3, OriginRoute::Quic, 0, 4),
    )
    .await;
    assert_eq!(after, FetchEvent::Done);
    assert_eq!(client.stats().zero_rtt_offered, 2);
    assert_eq!(client.stats().zero_rtt_accepted, 1);
}

#[tokio::test]
async fn origins_can_be_replaced_and_those_that_stay_keep_their_connection() {
    let stage = Stage::new(100_000);
    let (first, second) = (stage.start().await, stage.start().await);
    let (client, mut events, _) = client(vec![]);
    let order = |fetch| stage.order(fetch, OriginRoute::Quic, 0, 7);
    let nobody = outcome(&client, &mut events, order(1)).await;
    assert_eq!(nobody, FetchEvent::Failed);
    client.set_origins(vec![address(&first)]);
    assert_eq!(
        outcome(&client, &mut events, order(2)).await,
        FetchEvent::Done
    );
    client.set_origins(vec![address(&first), address(&second)]);
    assert_eq!(
        outcome(&client, &mut events, order(3)).await,
        FetchEvent::Done
    );
    assert_eq!(client.stats().connections, 1);
    client.set_origins(vec![address(&second)]);
    assert_eq!(
        outcome(&client, &mut events, order(4)).await,
        FetchEvent::Done
    );
    assert_eq!(second.metrics().quic_requests, 1);
}
