//! `antiphon origin`.

use antiphon_origin::server::{ObjectsLocation, Origin, OriginConfig};
use antiphon_protocol::NodeId;
use anyhow::Context as _;

use super::service::{named, until_told_to_end};
use crate::args::OriginArgs;
use crate::exit::Misconfigured;
use crate::output;

/// Runs the origin until told to end.
pub async fn run(args: OriginArgs) -> anyhow::Result<()> {
    let objects = args.library.join("objects");
    if !objects.is_dir() {
        let path = args.library.display();
        return Err(Misconfigured::error(format!(
            "there is no library at {path}; make one with `antiphon ingest MUSIC --library {path}`"
        )));
    }
    // An Ed25519 public key has the form of a node's id: 64 hexadecimal digits.
    let key = args
        .tracker_key
        .map(|text| text.parse::<NodeId>())
        .transpose();
    let key = key.map_err(|error| Misconfigured::error(format!("--tracker-key: {error}")))?;
    let config = OriginConfig {
        objects: ObjectsLocation::Folder(objects),
        state: args.data,
        listen: args.listen,
        capability_key: key.map(|key| key.0),
        ..OriginConfig::default()
    };
    let origin = Origin::start(config)
        .await
        .context("the origin cannot start")?;
    let name = named(origin.quic_address(), origin.certificate_fingerprint());
    if args.service.json {
        output::json(&serde_json::json!({
            "ready": "origin", "origin": name, "listen": origin.quic_address().to_string(),
        }))?;
    } else {
        output::result(&format!(
            "the origin listens; tell the tracker: --origin {name}"
        ))?;
    }
    until_told_to_end(args.service.until_stdin_closes).await?;
    origin.shutdown().await;
    Ok(())
}
