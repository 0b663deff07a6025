//! The floor: one stream of plain quinn, defaults, nothing verified, nothing kept.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::certificate;

/// Serves `data` on every stream that asks.
///
/// # Errors
/// If there is no socket.
pub fn serve(data: Bytes) -> anyhow::Result<(quinn::Endpoint, Value)> {
    let (config, der) = certificate::server()?;
    let endpoint = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
    let address = json!({ "address": endpoint.local_addr()?, "certificate": der });
    let incoming = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = incoming.accept().await {
            tokio::spawn(answer(incoming, data.clone()));
        }
    });
    Ok((endpoint, address))
}

async fn answer(incoming: quinn::Incoming, data: Bytes) -> anyhow::Result<()> {
    let connection = incoming.await?;
    let (mut send, mut recv) = connection.accept_bi().await?;
    recv.read_to_end(ASK_BYTES_MAX).await?;
    send.write_chunk(data).await?;
    send.finish()?;
    connection.closed().await;
    Ok(())
}

/// Reads everything the other side has.
///
/// # Errors
/// If the connection fails.
pub async fn fetch(
    address: Value,
    ready: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(f64, u64)> {
    let server: SocketAddr = serde_json::from_value(address["address"].clone())?;
    let der = serde_json::from_value(address["certificate"].clone())?;
    let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    let connection = endpoint
        .connect_with(certificate::client(der)?, server, certificate::SERVER_NAME)?
        .await
        .context("no connection")?;
    ready().await?;
    let start = Instant::now();
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(b"all").await?;
    send.finish()?;
    let mut bytes = 0;
    while let Some(chunk) = recv.read_chunk(READ_BYTES, true).await? {
        bytes += chunk.bytes.len() as u64;
    }
    Ok((start.elapsed().as_secs_f64(), bytes))
}

/// As large as anybody's read buffer here.
const READ_BYTES: usize = 64 * 1024;
const ASK_BYTES_MAX: usize = 16;
