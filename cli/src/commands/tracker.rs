//! `antiphon tracker`.

use antiphon_tracker::{Fingerprint, OriginEntry, Tracker, TrackerConfig};
use anyhow::Context as _;

use super::service::{hex, named, until_told_to_end};
use crate::args::TrackerArgs;
use crate::exit::Misconfigured;
use crate::output;

/// Runs the tracker until told to end.
pub async fn run(args: TrackerArgs) -> anyhow::Result<()> {
    let releases = args.library.join("releases");
    if !releases.is_dir() {
        let path = args.library.display();
        return Err(Misconfigured::error(format!(
            "there is no library at {path}; make one with `antiphon ingest MUSIC --library {path}`"
        )));
    }
    let loopback = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let config = TrackerConfig {
        data: args.data,
        releases,
        quic_listen: if args.init { loopback } else { args.listen },
        http_listen: if args.init { loopback } else { args.http },
        open_registration: args.open_registration,
        origins: args
            .origins
            .iter()
            .map(|text| origin(text))
            .collect::<Result<_, _>>()?,
        ..TrackerConfig::default()
    };
    let tracker = Tracker::start(config)
        .await
        .context("the tracker cannot start")?;
    let name = named(tracker.quic_address(), tracker.certificate_fingerprint());
    let key = hex(&tracker.signing_key());
    if args.service.json {
        output::json(&serde_json::json!({
            "ready": "tracker", "tracker": name, "tracker_key": key, "tracks": tracker.tracks(),
            "http": tracker.http_address().to_string(),
        }))?;
    } else if args.init {
        output::result(&format!("made; start the origin with: --tracker-key {key}"))?;
    } else {
        let tracks = tracker.tracks();
        output::result(&format!(
            "the tracker listens, with {tracks} tracks\n  listeners: --tracker {name}\n  origins: --tracker-key {key}"
        ))?;
    }
    if !args.init {
        until_told_to_end(args.service.until_stdin_closes).await?;
    }
    tracker.shutdown().await;
    Ok(())
}

fn origin(text: &str) -> anyhow::Result<OriginEntry> {
    let wrong = || {
        Misconfigured::error(format!(
            "--origin {text:?} is not host:port#fingerprint; `antiphon origin` prints it"
        ))
    };
    let (host, certificate) = text.split_once('#').ok_or_else(wrong)?;
    let certificate = Fingerprint::try_from(certificate.to_owned()).map_err(|_| wrong())?;
    Ok(OriginEntry {
        host: host.to_owned(),
        certificate,
    })
}
