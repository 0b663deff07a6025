//! First bytes over a long path: how long until the first 16 KiB are there and verified.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_bench::delay::DelayProxy;
use antiphon_bench::engine::{libp2p_stream, origin, peers};
use antiphon_bench::memory_sink::{CountingSink, NothingHeld};
use antiphon_bench::payload;
use antiphon_bench::process::{self, Second};
use antiphon_bench::report::{Report, Target};
use antiphon_bench::statistics::{median, percentile};
use antiphon_node::origin_client::{OriginClient, OriginClientStats};
use antiphon_node::peers::PeerEvent;
use antiphon_node::span_io::ChunkSink;
use antiphon_protocol::{ChunkIndex, Geometry, Span};
use antiphon_swarm::node::input::FetchEvent;
use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const ONE_WAY: Duration = Duration::from_millis(20);
const SAMPLES: usize = 21;
/// A track of four minutes at the standard rung.
const TRACK_BYTES: usize = 5 << 20;
/// Whole tracks fetched; each takes a second.
const WHOLE_SAMPLES: usize = 7;
/// The head: 64 KiB are three seconds of it.
const HEAD_CHUNKS: u32 = 4;
/// A connection that says nothing for so long is gone; the next one resumes its session.
const IDLE: Duration = Duration::from_millis(400);
const PATIENCE: Duration = Duration::from_secs(20);

/// When the first chunk and the whole head were there, in milliseconds from the command.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct FirstBytes {
    first_chunk: f64,
    head: f64,
}

/// One cold node at the origin: its first connection, and one after that has been lost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct AtOrigin {
    full_handshake: FirstBytes,
    resumed: FirstBytes,
}

/// One cold node at a peer: from the dial, and, on another node, after it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct AtPeer {
    not_dialed: FirstBytes,
    dialed: FirstBytes,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = process::runtime()?;
    match arguments[..] {
        [] => measure(),
        ["serve", "origin"] => runtime.block_on(serve_origin()),
        ["serve", "peer"] => runtime.block_on(serve_peer()),
        ["fetch", "origin", address] => {
            let served: origin::Served = serde_json::from_str(address)?;
            process::report(&runtime.block_on(fetch_from_origin(&served))?)
        }
        ["fetch", "peer", address] => {
            let served: peers::Served = serde_json::from_str(address)?;
            process::report(&runtime.block_on(fetch_from_peer(&served))?)
        }
        ["serve", "raw"] => runtime.block_on(serve_raw()),
        ["whole", "peer", address] => {
            let address = serde_json::from_str(address)?;
            let (seconds, _) = runtime.block_on(peers::fetch(address, None, at_once))?;
            process::report(&seconds)
        }
        ["whole", "raw", address] => {
            let address = serde_json::from_str(address)?;
            let (seconds, _) = runtime.block_on(libp2p_stream::fetch(address, at_once))?;
            process::report(&seconds)
        }
        _ => bail!("usage: net"),
    }
}

async fn serve_origin() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let listen = origin::Listen {
        idle_timeout: Some(IDLE),
    };
    let (server, address) =
        origin::serve(&payload::random(TRACK_BYTES), folder.path(), listen).await?;
    process::report(&address)?;
    process::wait_for_end().await;
    drop(server);
    Ok(())
}

async fn serve_peer() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, address) = peers::serve(payload::random(TRACK_BYTES), Some(folder.path())).await?;
    process::report(&address)?;
    process::wait_for_end().await;
    drop(server);
    Ok(())
}

async fn serve_raw() -> anyhow::Result<()> {
    process::report(&libp2p_stream::serve(payload::random(TRACK_BYTES)).await?)?;
    process::wait_for_end().await;
    Ok(())
}

async fn at_once() -> anyhow::Result<()> {
    Ok(())
}

fn measure() -> anyhow::Result<()> {
    let mut report = Report::new("net");
    report.note("round trip of the emulated path", path_round_trip()?, "ms");

    let server = Second::of_this_program(&["serve", "origin"])?;
    let mut served: origin::Served = server.hear(PATIENCE)?;
    let proxy = DelayProxy::start(served.address, ONE_WAY)?;
    served.address = proxy.address();
    let samples: Vec<AtOrigin> = in_fresh_processes("origin", &serde_json::to_value(&served)?)?;
    add(
        &mut report,
        "origin, 0-RTT",
        Some(50.0),
        samples.iter().map(|s| s.resumed),
    )?;
    add(
        &mut report,
        "origin, new node",
        None,
        samples.iter().map(|s| s.full_handshake),
    )?;

    let server = Second::of_this_program(&["serve", "peer"])?;
    let mut served: peers::Served = server.hear(PATIENCE)?;
    let (_, address) = served.nodes.first_mut().context("no node serves")?;
    let proxy = DelayProxy::start(*address, ONE_WAY)?;
    *address = proxy.address();
    let address = serde_json::to_value(&served)?;
    let samples: Vec<AtPeer> = in_fresh_processes("peer", &address)?;
    add(
        &mut report,
        "dialed peer",
        Some(50.0),
        samples.iter().map(|s| s.dialed),
    )?;
    add(
        &mut report,
        "peer not dialed",
        None,
        samples.iter().map(|s| s.not_dialed),
    )?;
    let ours = whole_track("peer", &address)?;
    report.note("connected peer: 5 MiB verified, median", ours, "ms");
    let raw = raw_track()?;
    report.note("raw libp2p stream: 5 MiB, median", raw, "ms");
    report.finish()
}

/// The same bytes over a stream of libp2p's own transport on the same path.
fn raw_track() -> anyhow::Result<f64> {
    let server = Second::of_this_program(&["serve", "raw"])?;
    let mut address: Value = server.hear(PATIENCE)?;
    let port = address["address"]
        .as_str()
        .and_then(|at| at.split('/').nth(4));
    let port: u16 = port.context("no port")?.parse()?;
    let proxy = DelayProxy::start((Ipv4Addr::LOCALHOST, port).into(), ONE_WAY)?;
    let port = proxy.address().port();
    address["address"] = format!("/ip4/127.0.0.1/udp/{port}/quic-v1").into();
    whole_track("raw", &address)
}

/// Milliseconds for all of a track on a connection that is there.
fn whole_track(from: &str, address: &Value) -> anyhow::Result<f64> {
    let address = serde_json::to_string(address)?;
    let sample = |_| Second::of_this_program(&["whole", from, &address])?.hear::<f64>(PATIENCE);
    let seconds: Vec<f64> = (0..WHOLE_SAMPLES)
        .map(sample)
        .collect::<anyhow::Result<_>>()?;
    Ok(median(&seconds).context("no samples")? * 1e3)
}

fn in_fresh_processes<T: serde::de::DeserializeOwned>(
    what: &str,
    address: &Value,
) -> anyhow::Result<Vec<T>> {
    let address = serde_json::to_string(address)?;
    let sample = |_| Second::of_this_program(&["fetch", what, &address])?.hear(PATIENCE);
    (0..SAMPLES).map(sample).collect()
}

fn add(
    report: &mut Report,
    what: &str,
    at_most_ms: Option<f64>,
    samples: impl Iterator<Item = FirstBytes>,
) -> anyhow::Result<()> {
    let samples: Vec<FirstBytes> = samples.collect();
    let of = |time: fn(&FirstBytes) -> f64| samples.iter().map(time).collect::<Vec<_>>();
    let (first, head) = (of(|sample| sample.first_chunk), of(|sample| sample.head));
    let middle = median(&first).context("no samples")?;
    let measure = format!("{what}: first 16 KiB verified, median");
    match at_most_ms {
        Some(bound) => report.check(measure, middle, "ms", Target::AtMost(bound)),
        None => report.note(measure, middle, "ms"),
    }
    let late = percentile(&first, 95.0).context("no samples")?;
    report.note(format!("{what}: first 16 KiB verified, 95th"), late, "ms");
    let middle = median(&head).context("no samples")?;
    report.note(format!("{what}: head of 64 KiB, median"), middle, "ms");
    Ok(())
}

/// What the proxy really adds, so that the other figures can be read.
fn path_round_trip() -> anyhow::Result<f64> {
    let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let proxy = DelayProxy::start(server.local_addr()?, ONE_WAY)?;
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    client.connect(proxy.address())?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let mut samples = Vec::new();
    let mut buffer = [0; 1];
    for _ in 0..SAMPLES {
        let start = Instant::now();
        client.send(&[1])?;
        let (_, from) = server.recv_from(&mut buffer)?;
        server.send_to(&buffer, from)?;
        client.recv(&mut buffer)?;
        samples.push(milliseconds(start.elapsed()));
    }
    median(&samples).context("no samples")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn head(geometry: Geometry) -> anyhow::Result<Span> {
    Span::new(ChunkIndex(0), HEAD_CHUNKS.min(geometry.chunk_count())).context("an empty head")
}

fn first_bytes(start: Instant, sink: &CountingSink) -> anyhow::Result<FirstBytes> {
    let head = milliseconds(start.elapsed());
    let first = sink.take_first().context("no chunk came")?;
    Ok(FirstBytes {
        first_chunk: milliseconds(first.saturating_duration_since(start)),
        head,
    })
}

async fn fetch_from_origin(served: &origin::Served) -> anyhow::Result<AtOrigin> {
    let geometry = served.geometry()?;
    let span = head(geometry)?;
    let sink = Arc::new(CountingSink::default());
    let keeping = Arc::clone(&sink) as Arc<dyn ChunkSink>;
    let (client, mut events) = OriginClient::new(vec![served.origin()], keeping, None)?;
    let mut samples = Vec::new();
    for fetch in 0..2 {
        let start = Instant::now();
        client.fetch(origin::order(fetch, served, geometry, span));
        origin::ended(&mut events).await?;
        samples.push(first_bytes(start, &sink)?);
        // Long enough for both sides to have given the silent connection up.
        tokio::time::sleep(2 * IDLE).await;
    }
    let OriginClientStats {
        connections,
        zero_rtt_accepted,
        ..
    } = client.stats();
    ensure!(
        (connections, zero_rtt_accepted) == (2, 1),
        "of {connections} connections {zero_rtt_accepted} began with 0-RTT, not one of two"
    );
    match samples[..] {
        [full_handshake, resumed] => Ok(AtOrigin {
            full_handshake,
            resumed,
        }),
        _ => bail!("not two samples"),
    }
}

async fn fetch_from_peer(served: &peers::Served) -> anyhow::Result<AtPeer> {
    Ok(AtPeer {
        not_dialed: first_from_peer(served, false).await?,
        dialed: first_from_peer(served, true).await?,
    })
}

async fn first_from_peer(served: &peers::Served, dialed: bool) -> anyhow::Result<FirstBytes> {
    let geometry = served.geometry()?;
    let span = head(geometry)?;
    let sink = Arc::new(CountingSink::default());
    let keeping = Arc::clone(&sink) as Arc<dyn ChunkSink>;
    // The tracker's order: whoever dials is somebody new.
    let mut secret = [3; 32];
    secret[..4].copy_from_slice(&std::process::id().to_le_bytes());
    secret[4] = u8::from(dialed);
    let mut node = peers::Node::start(secret, keeping, Arc::new(NothingHeld)).await?;
    let &(peer, address) = served.nodes.first().context("no node serves")?;
    let mut start = Instant::now();
    node.dial(peer, address).await?;
    if dialed {
        // The data streams are opened behind the greeting, which takes a round trip more.
        tokio::time::sleep(6 * ONE_WAY).await;
        start = Instant::now();
    }
    node.handle
        .fetch(peers::order(0, peer, served, geometry, span));
    loop {
        let event = tokio::time::timeout(PATIENCE, node.events.recv()).await?;
        match event.context("the node ended")? {
            PeerEvent::Fetch {
                event: FetchEvent::Done,
                ..
            } => return first_bytes(start, &sink),
            PeerEvent::Fetch {
                event:
                    event @ (FetchEvent::Declined { .. } | FetchEvent::Corrupt | FetchEvent::Failed),
                ..
            } => bail!("the peer's answer: {event:?}"),
            _ => {}
        }
    }
}
