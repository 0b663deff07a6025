//! What libp2p itself costs: one raw stream over its QUIC transport with its defaults.

use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder};
use libp2p_stream::Behaviour;
use serde_json::{Value, json};

const PROTOCOL: StreamProtocol = StreamProtocol::new("/antiphon-bench/raw/1");

fn swarm() -> anyhow::Result<Swarm<Behaviour>> {
    let builder = SwarmBuilder::with_new_identity().with_tokio().with_quic();
    Ok(builder.with_behaviour(|_| Behaviour::new())?.build())
}

/// Serves `data` on every stream that asks.
///
/// # Errors
/// If there is no socket.
pub async fn serve(data: Bytes) -> anyhow::Result<Value> {
    let mut swarm = swarm()?;
    let mut incoming = swarm.behaviour().new_control().accept(PROTOCOL)?;
    swarm.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let peer = *swarm.local_peer_id();
    tokio::spawn(swarm.for_each(|_| async {}));
    tokio::spawn(async move {
        while let Some((_, mut stream)) = incoming.next().await {
            let data = data.clone();
            tokio::spawn(async move {
                let mut ask = [0; 3];
                stream.read_exact(&mut ask).await?;
                stream.write_all(&data).await?;
                stream.close().await
            });
        }
    });
    Ok(json!({ "address": address, "peer": peer.to_string() }))
}

/// Reads everything the other side has.
///
/// # Errors
/// If the connection fails.
pub async fn fetch(
    address: Value,
    ready: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(f64, u64)> {
    let server: Multiaddr = serde_json::from_value(address["address"].clone())?;
    let peer: PeerId = address["peer"].as_str().context("no peer")?.parse()?;
    let mut swarm = swarm()?;
    let mut control = swarm.behaviour().new_control();
    swarm.dial(
        server
            .with_p2p(peer)
            .map_err(|_| anyhow::anyhow!("another peer's address"))?,
    )?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => break,
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    }
    tokio::spawn(swarm.for_each(|_| async {}));
    let mut stream = control.open_stream(peer, PROTOCOL).await?;
    ready().await?;
    let start = Instant::now();
    stream.write_all(b"all").await?;
    stream.flush().await?;
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok((start.elapsed().as_secs_f64(), bytes)),
            count => bytes += count as u64,
        }
    }
}

/// As large as anybody's read buffer here.
const READ_BYTES: usize = 64 * 1024;
