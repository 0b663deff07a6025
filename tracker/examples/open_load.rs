//! How many tracks a second a tracker opens, over real QUIC on loopback, with everything in one
//! process. Run it in release: `cargo run --release -p antiphon-tracker --example open_load`.
//! Arguments: connections (default 8), requests under way on each (8), seconds (10).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use antiphon_protocol::manifest::Rung;
use antiphon_protocol::tracker::{TrackerReply, TrackerRequest};
use antiphon_tracker::LimitsConfig;
use anyhow::{Result, bail};

#[allow(dead_code)]
#[path = "../tests/it/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../tests/it/world.rs"]
mod world;

const TRACKS: u8 = 200;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut argument = |default| arguments.next().unwrap_or(Ok(default));
    let (connections, under_way, seconds) = (argument(8)?, argument(8)?, argument(10)?);

    let mut world = world::World::new()?;
    world.limits = LimitsConfig {
        connection_requests_per_second: u32::MAX,
        connection_requests_burst: u32::MAX,
        account_requests_per_second: u32::MAX,
        account_requests_burst: u32::MAX,
        ..world.limits
    };
    let mut tracks = Vec::new();
    for number in 0..TRACKS {
        let (manifest, _) = world.publish_track(number, &format!("Song {number}"))?;
        tracks.push(manifest.track);
    }
    let tracks = Arc::new(tracks);
    let tracker = world.start().await?;
    let opened = Arc::new(AtomicU64::new(0));
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..connections {
        let (client, ..) = world::node(&tracker, &format!("listener {connection}")).await?;
        let client = Arc::new(client);
        for lane in 0..under_way {
            let (client, tracks) = (Arc::clone(&client), Arc::clone(&tracks));
            let opened = Arc::clone(&opened);
            tasks.spawn(async move {
                for track in tracks.iter().cycle().skip(lane as usize) {
                    let request = TrackerRequest::Open {
                        track: *track,
                        rung: Rung::Standard,
                    };
                    match client.ask(&request).await? {
                        TrackerReply::Opened(_) => opened.fetch_add(1, Ordering::Relaxed),
                        other => bail!("not opened: {other:?}"),
                    };
                    if Instant::now() >= deadline {
                        break;
                    }
                }
                anyhow::Ok(())
            });
        }
    }
    let started = Instant::now();
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let opened = opened.load(Ordering::Relaxed);
    let rate = opened as f64 / started.elapsed().as_secs_f64();
    println!("{opened} opens, {rate:.0} a second (clients share the cores)");
    tracker.shutdown().await;
    Ok(())
}
