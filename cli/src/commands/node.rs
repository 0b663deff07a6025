//! `antiphon node` and `antiphon seed`.

use std::path::PathBuf;

use antiphon_node::session::Credentials;
use antiphon_node::{Node, NodeConfig};
use antiphon_protocol::tracker::Password;
use antiphon_protocol::{BitRate, ByteCount, TrackId};
use anyhow::Context as _;

use super::service::until_told_to_end;
use crate::args::{NodeArgs, OwnNodeArgs, SeedArgs, ServiceArgs};
use crate::exit::Misconfigured;
use crate::folders;
use crate::output;

/// Runs a node until told to end.
pub async fn run(args: NodeArgs) -> anyhow::Result<()> {
    let mut config = config(&args.own)?;
    config.sink = Some(args.sink);
    config.api = Some(args.api);
    let node = Node::start(config, credentials(&args.own)?).await?;
    announce(&node, &args.service)?;
    serve(node, &args.service).await
}

/// Runs a seed until told to end.
pub async fn seed(args: SeedArgs) -> anyhow::Result<()> {
    let keep: Result<Vec<TrackId>, _> = args.keep.iter().map(|text| text.parse()).collect();
    let mut keep = keep.map_err(|error| Misconfigured::error(format!("--keep: {error}")))?;
    let mut config = config(&args.own)?;
    config.sink = None;
    config.api = Some(args.api);
    let node = Node::start(config, credentials(&args.own)?).await?;
    announce(&node, &args.service)?;
    if args.keep_all {
        let mut more = true;
        while more {
            let (page, further) = node.handle.catalog(keep.last().copied(), 100).await?;
            more = further && !page.is_empty();
            keep.extend(page.iter().map(|summary| summary.track));
        }
    }
    for track in &keep {
        node.handle.pin(*track).await?;
    }
    output::say(&format!("keeping {} tracks", keep.len()));
    serve(node, &args.service).await
}

async fn serve(node: Node, service: &ServiceArgs) -> anyhow::Result<()> {
    let handle = node.handle.clone();
    let told = until_told_to_end(service.until_stdin_closes);
    let ended = node.ended();
    tokio::pin!(ended);
    tokio::select! {
        // Ended through its API.
        () = &mut ended => return Ok(()),
        told = told => told?,
    }
    // It may have ended by itself in the same moment.
    let _ = handle.shutdown().await;
    ended.await;
    Ok(())
}

fn announce(node: &Node, service: &ServiceArgs) -> anyhow::Result<()> {
    let listening: Vec<String> = node.listening.iter().map(ToString::to_string).collect();
    let api = node.api.map(|address| address.to_string());
    if service.json {
        return output::json(&serde_json::json!({
            "ready": "node", "node": node.id.to_string(), "listening": listening, "api": api,
        }));
    }
    let listening = listening.join(", ");
    output::result(&format!(
        "the node runs; peers: {listening}, API: {}",
        api.unwrap_or_default()
    ))?;
    Ok(())
}

/// The configuration that the arguments of a node mean.
pub fn config(args: &OwnNodeArgs) -> anyhow::Result<NodeConfig> {
    let default = NodeConfig::default();
    let upload = args
        .upload_kbit
        .map(|kbit| BitRate(kbit.saturating_mul(1_000)));
    Ok(NodeConfig {
        data_folder: folders::data(args.data.clone())?,
        cache_folder: folders::cache(args.cache.clone())?,
        tracker: args.tracker.clone(),
        listen: vec![args.listen],
        api: None,
        upload: upload.unwrap_or(default.upload),
        uploads: upload.is_none_or(|rate| rate.0 > 0),
        cache_bytes: args
            .cache_mb
            .map(|megabytes| ByteCount(megabytes * 1_000_000)),
        placement_percent: args.placement,
        placement_after_secs: args.placement_after,
        rung: args.quality.into(),
        sink: None,
        origin_only: args.origin_only,
    })
}

/// Who logs in when there is no session yet.
pub fn credentials(args: &OwnNodeArgs) -> anyhow::Result<Option<Credentials>> {
    let Some(user) = args.user.clone() else {
        return Ok(None);
    };
    let password = password_from_environment()?.unwrap_or_default();
    Ok(Some(Credentials {
        user,
        password: Password(password),
        register: args.register,
    }))
}

/// `ANTIPHON_PASSWORD`, or the first line of the file that `ANTIPHON_PASSWORD_FILE` names.
pub fn password_from_environment() -> anyhow::Result<Option<String>> {
    if let Ok(password) = std::env::var("ANTIPHON_PASSWORD") {
        return Ok(Some(password));
    }
    let Some(file) = std::env::var_os("ANTIPHON_PASSWORD_FILE").map(PathBuf::from) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read the password from {}", file.display()))?;
    Ok(Some(text.lines().next().unwrap_or_default().to_owned()))
}
