//! Measures the way from the origin to the node's store in bytes a second and bytes a CPU second.
//!
//! Everything runs in this process, so the CPU time is that of both sides. `bare` is what the
//! transport alone can do with the same client settings: a server that writes from memory and a
//! client that hashes what it reads. Run it as
//! `cargo run -p antiphon-node --profile dist --example origin_throughput`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_node::origin_client::{FetchOrder, OriginClient};
use antiphon_node::span_io::{ChunkSink, SinkError};
use antiphon_origin::server::{ObjectsLocation, Origin, OriginConfig};
use antiphon_protocol::tracker::OriginAddress;
use antiphon_protocol::verified::{PARENT_BYTES, hash_content};
use antiphon_protocol::{ByteCount, ChunkIndex, ContentId, Geometry, Span};
use antiphon_swarm::FetchId;
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::OriginRoute;
use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig, VarInt};

/// Bytes of a full span, and how many are fetched at a time and in all.
const SPAN_BYTES: usize = 64 * 16 * 1024;
const AT_A_TIME: u64 = 4;
const SPANS: u64 = 512;
const FILE_SPANS: u64 = 64;

struct Nowhere;

impl ChunkSink for Nowhere {
    fn put_parent(&self, _: ContentId, _: u64, _: &[u8; PARENT_BYTES]) {}

    fn put_chunk(&self, _: ContentId, _: ChunkIndex, _: &[u8]) -> Result<bool, SinkError> {
        Ok(true)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    for round in 1..=3 {
        println!("round {round}");
        runtime.block_on(measure("bare", bare()))?;
        runtime.block_on(measure("origin QUIC", origin(OriginRoute::Quic)))?;
        runtime.block_on(measure("origin HTTP", origin(OriginRoute::Http)))?;
    }
    Ok(())
}

type Outcome = Result<(Instant, Duration), Box<dyn std::error::Error>>;

async fn measure(
    name: &str,
    run: impl Future<Output = Outcome>,
) -> Result<(), Box<dyn std::error::Error>> {
    let (started, cpu_before) = run.await?;
    let took = started.elapsed().as_secs_f64();
    let cpu = (cpu_time()? - cpu_before).as_secs_f64();
    let megabytes = SPANS as f64 * SPAN_BYTES as f64 / 1e6;
    println!(
        "  {name:12} {:6.0} MB/s  {:6.0} MB per CPU second",
        megabytes / took,
        megabytes / cpu
    );
    Ok(())
}

async fn origin(route: OriginRoute) -> Outcome {
    let dir = tempfile::tempdir()?;
    let content_dir = dir.path().join("objects/content");
    std::fs::create_dir_all(&content_dir)?;
    let mut data = vec![0; FILE_SPANS as usize * SPAN_BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut data);
    let geometry = Geometry::new(ByteCount(data.len() as u64)).ok_or("a legal size")?;
    let (content, outboard) = hash_content(geometry, &data[..])?;
    std::fs::write(content_dir.join(format!("{content}.enc")), data)?;
    std::fs::write(content_dir.join(format!("{content}.obao")), outboard)?;
    let origin = Origin::start(OriginConfig {
        objects: ObjectsLocation::Folder(dir.path().join("objects")),
        state: dir.path().join("state"),
        listen: ([127, 0, 0, 1], 0).into(),
        ..OriginConfig::default()
    })
    .await?;
    let address = OriginAddress {
        host: origin.quic_address().to_string(),
        certificate: origin.certificate_fingerprint(),
    };
    let (client, mut events) = OriginClient::new(vec![address], Arc::new(Nowhere), None)?;
    let fetch = |number: u64| {
        let first = ChunkIndex((number % FILE_SPANS) as u32 * 64);
        client.fetch(FetchOrder {
            fetch: FetchId(number),
            route,
            content,
            geometry,
            span: Span::new(first, 64).expect("64 chunks are a span"),
            deadline: antiphon_swarm::Duration::from_secs(60),
        });
    };
    let begun = (Instant::now(), cpu_time()?);
    (0..AT_A_TIME).for_each(fetch);
    let (mut asked, mut done) = (AT_A_TIME, 0);
    while done < SPANS {
        match events.recv().await.ok_or("the client ended")?.event {
            FetchEvent::Accepted | FetchEvent::Verified { .. } => {}
            FetchEvent::Done => {
                done += 1;
                if asked < SPANS {
                    fetch(asked);
                    asked += 1;
                }
            }
            event => return Err(format!("a fetch ended with {event:?}").into()),
        }
    }
    Ok(begun)
}

async fn bare() -> Outcome {
    let made = rcgen::generate_simple_self_signed(["bare".to_owned()])?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let mut server = ServerConfig::with_single_cert(vec![made.cert.der().clone()], key)?;
    let mut transport = TransportConfig::default();
    transport.send_window(512 * 1024);
    server.transport_config(Arc::new(transport));
    let server = Endpoint::server(server, ([127, 0, 0, 1], 0).into())?;
    let address = server.local_addr()?;
    tokio::spawn(async move {
        while let Some(incoming) = server.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else {
                    return;
                };
                let span = Bytes::from(vec![7; SPAN_BYTES]);
                while let Ok((mut send, mut recv)) = connection.accept_bi().await {
                    let span = span.clone();
                    tokio::spawn(async move {
                        let _ = recv.read_to_end(16).await;
                        let _ = send.write_chunk(span).await;
                        let _ = send.finish();
                    });
                }
            });
        }
    });
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS13])?
    .with_root_certificates(roots)
    .with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(256 * 1024))
        .receive_window(VarInt::from_u32(1024 * 1024));
    config.transport_config(Arc::new(transport));
    let client = Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let connection = client.connect_with(config, address, "bare")?.await?;
    let begun = (Instant::now(), cpu_time()?);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..AT_A_TIME {
        let connection = connection.clone();
        readers.spawn(async move {
            let mut buffer = vec![0; 16 * 1024];
            for _ in 0..SPANS / AT_A_TIME {
                let (mut send, mut recv) = connection.open_bi().await?;
                send.write_all(b"span").await?;
                let _ = send.finish();
                for _ in 0..64 {
                    recv.read_exact(&mut buffer)
                        .await
                        .map_err(std::io::Error::other)?;
                    std::hint::black_box(blake3::hash(&buffer));
                }
            }
            Ok::<_, std::io::Error>(())
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader??;
    }
    Ok(begun)
}

/// User and system time of this process; Linux counts them in hundredths of a second.
fn cpu_time() -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut next = || -> Result<u64, Box<dyn std::error::Error>> {
        Ok(fields
            .next()
            .ok_or("too few fields in /proc/self/stat")?
            .parse()?)
    };
    Ok(Duration::from_millis((next()? + next()?) * 10))
}
