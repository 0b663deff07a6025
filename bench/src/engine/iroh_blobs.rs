//! iroh-blobs: the other maintained engine for verified streaming over QUIC in Rust.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::StreamExt;
use iroh::endpoint::presets;
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr, RelayMode};
use iroh_blobs::api::Store;
use iroh_blobs::get::request::{GetBlobItem, get_blob};
use iroh_blobs::store::{fs::FsStore, mem::MemStore};
use iroh_blobs::{ALPN, BlobsProtocol, Hash};
use serde_json::{Value, json};

async fn endpoint() -> anyhow::Result<Endpoint> {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::LOCALHOST, 0))?
        .bind()
        .await
        .context("iroh has no socket")
}

/// Serves `data` from its file store in `folder`, or from memory.
///
/// # Errors
/// If the store or the socket cannot be had.
pub async fn serve(data: Bytes, folder: Option<&Path>) -> anyhow::Result<(Router, Value)> {
    let store: Store = match folder {
        Some(folder) => FsStore::load(folder).await?.into(),
        None => MemStore::new().into(),
    };
    let tag = store.blobs().add_bytes(data).await?;
    let endpoint = endpoint().await?;
    let sockets = endpoint.bound_sockets();
    let socket = sockets.first().context("iroh has no socket")?;
    let address = EndpointAddr::new(endpoint.id()).with_ip_addr(*socket);
    let router = Router::builder(endpoint)
        .accept(ALPN, BlobsProtocol::new(&store, None))
        .spawn();
    Ok((router, json!({ "address": address, "hash": tag.hash })))
}

fn parsed(address: &Value) -> anyhow::Result<(EndpointAddr, Hash)> {
    Ok((
        serde_json::from_value(address["address"].clone())?,
        serde_json::from_value(address["hash"].clone())?,
    ))
}

/// Gets and verifies the blob and drops it.
///
/// # Errors
/// If the transfer fails.
pub async fn fetch_verified(
    address: Value,
    ready: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(f64, u64)> {
    let (server, hash) = parsed(&address)?;
    // The connection ends with its endpoint.
    let endpoint = endpoint().await?;
    let connection = endpoint.connect(server, ALPN).await?;
    ready().await?;
    let start = Instant::now();
    let mut items = get_blob(connection, hash);
    let mut bytes = 0;
    while let Some(item) = items.next().await {
        match item {
            GetBlobItem::Item(bao_tree::io::BaoContentItem::Leaf(leaf)) => {
                bytes += leaf.data.len() as u64;
            }
            GetBlobItem::Item(_) => {}
            GetBlobItem::Done(_) => return Ok((start.elapsed().as_secs_f64(), bytes)),
            GetBlobItem::Error(error) => bail!("iroh-blobs: {error}"),
        }
    }
    bail!("iroh-blobs ended early")
}

/// Gets and verifies the blob into its file store.
///
/// # Errors
/// If the transfer fails.
pub async fn fetch_stored(
    address: Value,
    folder: &Path,
    ready: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(f64, u64)> {
    let (server, hash) = parsed(&address)?;
    let store = FsStore::load(folder).await?;
    // The connection ends with its endpoint.
    let endpoint = endpoint().await?;
    let connection = endpoint.connect(server, ALPN).await?;
    ready().await?;
    let start = Instant::now();
    let stats = store.remote().fetch(connection, hash).await?;
    Ok((start.elapsed().as_secs_f64(), stats.payload_bytes_read))
}
