//! What one core of a tracker does: `open track` and `announce` a second, and how long they take.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use antiphon_bench::process::{self, Second};
use antiphon_bench::report::Report;
use antiphon_bench::statistics::{median, percentile};
use antiphon_node::tracker_client::{TrackerAddress, TrackerClient};
use antiphon_protocol::identity::{DeviceSecret, NodeSecret};
use antiphon_protocol::manifest::{Rendition, Rung, TrackManifest};
use antiphon_protocol::peer::Extent;
use antiphon_protocol::release::Release;
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::signed::Signed;
use antiphon_protocol::tracker::{AnnounceEntry, Password, TrackerReply, TrackerRequest};
use antiphon_protocol::{ByteCount, ContentId, Gain, TrackId};
use antiphon_tracker::{LimitsConfig, Tracker, TrackerConfig};
use anyhow::{Context, bail};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// Nodes, each with a connection and an account of its own.
const CLIENTS: usize = 8;
/// Requests each has under way when the tracker is to be busy; a client allows 16.
const DEPTH: usize = 8;
const TRACKS: u16 = 500;
const PHASE: Duration = Duration::from_secs(5);
/// What a node announces in one request when it comes online with a small cache.
const ENTRIES: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);
/// Far above what a measurement asks, so that limits are not what is measured.
const UNLIMITED: u32 = 100_000_000;

/// Where the tracker is.
#[derive(Debug, Serialize, Deserialize)]
struct Served {
    address: SocketAddr,
    fingerprint: [u8; 32],
}

/// What to ask for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Open,
    AnnounceOne,
    AnnounceMany,
}

/// How one kind of request went.
#[derive(Debug, Serialize, Deserialize)]
struct Phase {
    requests: usize,
    seconds: f64,
    /// Milliseconds; of at most [`LATENCIES_MAX`] requests.
    latencies: Vec<f64>,
}

/// Enough for percentiles.
const LATENCIES_MAX: usize = 20_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = process::runtime()?;
    match arguments[..] {
        [] => measure(),
        ["serve"] => runtime.block_on(serve()),
        ["ask", served] => runtime.block_on(ask(serde_json::from_str(served)?)),
        _ => bail!("usage: tracker"),
    }
}

fn measure() -> anyhow::Result<()> {
    let server = Second::of_this_program(&["serve"])?;
    let served: Served = server.hear(PATIENCE)?;
    let mut clients = Second::of_this_program(&["ask", &serde_json::to_string(&served)?])?;
    let _: String = clients.hear(PATIENCE)?;
    let mut report = Report::new("tracker");
    let kinds = [
        ("open track", Ask::Open),
        ("announce, 1 rendition", Ask::AnnounceOne),
        ("announce, 64 renditions", Ask::AnnounceMany),
    ];
    for (title, _) in kinds {
        let cpu = server.cpu_seconds()?;
        clients.say("busy")?;
        let busy: Phase = clients.hear(PATIENCE)?;
        let cpu = server.cpu_seconds()? - cpu;
        let requests = busy.requests as f64;
        report.note(
            format!("{title}, per core of the tracker"),
            requests / cpu,
            "1/s",
        );
        report.note(
            format!("{title}, {CLIENTS} nodes x {DEPTH}"),
            requests / busy.seconds,
            "1/s",
        );
        let late = percentile(&busy.latencies, 99.0).context("no requests")?;
        report.note(
            format!("{title}, {CLIENTS} nodes x {DEPTH}, 99th"),
            late,
            "ms",
        );
        clients.say("calm")?;
        let calm: Phase = clients.hear(PATIENCE)?;
        let middle = median(&calm.latencies).context("no requests")?;
        report.note(format!("{title}, one at a time, median"), middle, "ms");
        let late = percentile(&calm.latencies, 99.0).context("no requests")?;
        report.note(format!("{title}, one at a time, 99th"), late, "ms");
    }
    report.note("tracker", server.resident_mib()?, "MiB resident");
    report.finish()
}

async fn serve() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let releases = folder.path().join("releases");
    publish(&releases)?;
    let tracker = Tracker::start(TrackerConfig {
        data: folder.path().join("data"),
        releases,
        quic_listen: (Ipv4Addr::LOCALHOST, 0).into(),
        http_listen: (Ipv4Addr::LOCALHOST, 0).into(),
        open_registration: true,
        limits: LimitsConfig {
            connections: UNLIMITED,
            address_connections: UNLIMITED,
            address_handshakes_per_second: UNLIMITED,
            address_handshakes_burst: UNLIMITED,
            connection_requests_per_second: UNLIMITED,
            connection_requests_burst: UNLIMITED,
            account_requests_per_second: UNLIMITED,
            account_requests_burst: UNLIMITED,
            address_logins_per_minute: UNLIMITED,
            account_logins_per_minute: UNLIMITED,
            // Nobody is introduced here.
            ..LimitsConfig::default()
        },
        ..TrackerConfig::default()
    })
    .await?;
    process::report(&Served {
        address: tracker.quic_address(),
        fingerprint: tracker.certificate_fingerprint(),
    })?;
    process::wait_for_end().await;
    tracker.shutdown().await;
    Ok(())
}

/// A catalog as ingest leaves it.
fn publish(releases: &Path) -> anyhow::Result<()> {
    let key = SigningKey::from_bytes(&[9; 32]);
    std::fs::create_dir_all(releases)?;
    std::fs::write(releases.join("catalog.pub"), key.verifying_key().to_bytes())?;
    for number in 0..TRACKS {
        let manifest = manifest(number);
        let contents = manifest
            .renditions
            .iter()
            .map(|rendition| rendition.content);
        let release = Release {
            manifest: Signed::sign(&manifest, &key),
            keys: contents
                .map(|content| (content, ContentKey::new([4; 16])))
                .collect(),
        };
        let file = releases.join(format!("{}.release", manifest.track));
        std::fs::write(file, release.to_bytes())?;
    }
    Ok(())
}

fn track(number: u16) -> TrackId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&number.to_be_bytes());
    TrackId(id)
}

fn content(number: u16, rung: u8) -> ContentId {
    let mut id = [rung; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    ContentId(id)
}

/// Four minutes in three rungs.
fn manifest(number: u16) -> TrackManifest {
    let rendition = |(rung, mark): (Rung, u8)| Rendition {
        rung,
        content: content(number, mark),
        size: ByteCount(4_800_000),
        bit_rate: rung.nominal(),
        sample_rate: 44_100,
        channels: 2,
        frames: 44_100 * 240,
        setup_bytes: 4_000,
        seek_table: (0..240).map(|second| second * 20_000).collect(),
    };
    TrackManifest {
        track: track(number),
        version: 1,
        title: format!("Track {number}"),
        artist: format!("Artist {}", number / 10),
        album: format!("Album {}", number / 5),
        album_id: None,
        track_number: None,
        art: None,
        track_gain: Gain(0),
        album_gain: Gain(0),
        true_peak: Gain(-100),
        renditions: Rung::ALL.into_iter().zip(1..).map(rendition).collect(),
    }
}

async fn ask(served: Served) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(attached(&served, u8::try_from(number)?).await?);
    }
    // So that every answer names holders.
    for first in (0..TRACKS).step_by(ENTRIES) {
        for client in &clients {
            client.request(announce(first, ENTRIES)).await?;
        }
    }
    process::report(&"ready")?;
    for kind in [Ask::Open, Ask::AnnounceOne, Ask::AnnounceMany] {
        process::wait_for("busy").await?;
        process::report(&phase(&clients, kind, DEPTH).await?)?;
        process::wait_for("calm").await?;
        process::report(&phase(clients.get(..1).unwrap_or_default(), kind, 1).await?)?;
    }
    process::wait_for_end().await;
    Ok(())
}

async fn attached(served: &Served, number: u8) -> anyhow::Result<TrackerClient> {
    let host = served.address.ip().to_string();
    let address = TrackerAddress::new(host, served.address.port(), served.fingerprint);
    let client = TrackerClient::connect(&address).await?;
    let device = DeviceSecret::from_bytes(&[number + 1; 64]);
    let password = Password("antiphon-bench".to_owned());
    let name = format!("node{number}");
    let session = client.register(name, password, device.public()).await?;
    let node = NodeSecret::from_bytes(&[number + 1; 32]);
    let listening = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 7_701))];
    client
        .attach(session.token, &device, &node, listening)
        .await?;
    Ok(client)
}

/// Asks for [`PHASE`], `depth` requests of each client under way.
async fn phase(clients: &[TrackerClient], kind: Ask, depth: usize) -> anyhow::Result<Phase> {
    let start = Instant::now();
    let mut tasks = Vec::new();
    for lane in 0..clients.len() * depth {
        let client = clients
            .get(lane % clients.len())
            .context("a client")?
            .clone();
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            let mut number = lane as u16;
            while start.elapsed() < PHASE {
                number = number.wrapping_mul(31).wrapping_add(7) % TRACKS;
                let asked = Instant::now();
                answered(client.request(request(kind, number)).await?)?;
                latencies.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let (requests, seconds) = (latencies.len(), start.elapsed().as_secs_f64());
    let every = latencies.len().div_ceil(LATENCIES_MAX).max(1);
    Ok(Phase {
        requests,
        seconds,
        latencies: latencies.into_iter().step_by(every).collect(),
    })
}

fn request(kind: Ask, number: u16) -> TrackerRequest {
    match kind {
        Ask::Open => TrackerRequest::Open {
            track: track(number),
            rung: Rung::Standard,
        },
        Ask::AnnounceOne => announce(number, 1),
        Ask::AnnounceMany => announce(number, ENTRIES),
    }
}

fn announce(first: u16, entries: usize) -> TrackerRequest {
    let entry = |number| AnnounceEntry {
        content: content(number % TRACKS, 2),
        extent: Extent::Full,
    };
    TrackerRequest::Announce {
        entries: (first..).take(entries).map(entry).collect(),
    }
}

/// A refusal is fast and no result.
fn answered(reply: TrackerReply) -> anyhow::Result<()> {
    match reply {
        TrackerReply::Opened(_) | TrackerReply::Announced { .. } => Ok(()),
        other => bail!("not what was asked for: {other:?}"),
    }
}
