//! Bulk transfer between two processes on loopback, ours beside others, and the primitives of it.

use std::time::{Duration, Instant};

use antiphon_bench::engine::Engine;
use antiphon_bench::payload;
use antiphon_bench::process::{self, Second, own_cpu_seconds};
use antiphon_bench::report::{Report, Target};
use antiphon_bench::statistics::median;
use antiphon_protocol::seal::ContentKey;
use antiphon_protocol::verified::{SpanVerifier, encode_span, hash_content};
use antiphon_protocol::{ByteCount, CHUNK_BYTES, Geometry, Span};
use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest rendition is 576 MiB; this takes about a second and a half with most engines.
const MIB: usize = 512;
/// An odd number has a middle.
const ROUNDS: usize = 5;
/// For making stores and hashing everything.
const PATIENCE: Duration = Duration::from_secs(120);
const MEGABYTE: f64 = 1e6;

/// What the fetching process measured.
#[derive(Debug, Serialize, Deserialize)]
struct Fetched {
    seconds: f64,
    bytes: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => measure(MIB, ROUNDS, &Engine::ALL),
        ["only", engine, mib, rounds] => {
            measure(mib.parse()?, rounds.parse()?, &[engine_named(engine)?])
        }
        ["serve", engine, mib] => {
            process::runtime()?.block_on(serve(engine_named(engine)?, mib.parse()?))
        }
        ["fetch", engine, address] => {
            let address = serde_json::from_str(address)?;
            process::runtime()?.block_on(fetch(engine_named(engine)?, address))
        }
        ["primitives"] => {
            let mut report = Report::new("primitives");
            primitives(&mut report)?;
            report.finish()
        }
        _ => bail!("usage: transfer [primitives | only ENGINE MIB ROUNDS]"),
    }
}

fn engine_named(name: &str) -> anyhow::Result<Engine> {
    let names = Engine::ALL.map(Engine::name).join(", ");
    Engine::named(name).with_context(|| format!("no engine {name:?}; there are {names}"))
}

async fn serve(engine: Engine, mib: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ready = |address: Value| process::report(&address);
    let data = payload::random(mib << 20);
    engine
        .serve(data, folder.path(), ready, process::wait_for_end())
        .await
}

async fn fetch(engine: Engine, address: Value) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ready = async || {
        process::report(&"ready")?;
        process::wait_for("go").await
    };
    let (seconds, bytes) = engine.fetch(address, folder.path(), ready).await?;
    process::report(&Fetched { seconds, bytes })?;
    process::wait_for_end().await;
    Ok(())
}

/// What one engine did in all rounds.
#[derive(Debug, Default)]
struct Samples {
    per_second: Vec<f64>,
    per_cpu_second: Vec<f64>,
    serving_cpu_share: Vec<f64>,
}

fn measure(mib: usize, rounds: usize, engines: &[Engine]) -> anyhow::Result<()> {
    let mut samples: Vec<(Engine, Samples)> = engines
        .iter()
        .map(|engine| (*engine, Samples::default()))
        .collect();
    for round in 0..rounds {
        for turn in 0..engines.len() {
            // Another one begins each round, so that a machine that drifts is fair to all.
            let place = (round + turn) % engines.len();
            let (engine, samples) = samples.get_mut(place).context("no such engine")?;
            eprintln!("round {} of {rounds}: {}", round + 1, engine.title());
            run(*engine, mib, samples).with_context(|| engine.title().to_owned())?;
        }
    }
    let all = engines.len() == Engine::ALL.len();
    let mut report = Report::new(if all { "transfer" } else { "transfer-part" });
    for (engine, samples) in &samples {
        let title = engine.title();
        let none = || format!("{title}: no rounds");
        let speed = median(&samples.per_second).with_context(none)?;
        let cost = median(&samples.per_cpu_second).with_context(none)?;
        let share = median(&samples.serving_cpu_share).with_context(none)?;
        report.note(title, speed, "MB/s");
        match engine {
            Engine::OriginVerify => report.check(title, cost, "MB/CPU s", Target::AtLeast(394.0)),
            _ => report.note(title, cost, "MB/CPU s"),
        }
        report.note(format!("{title}: serving side"), share * 100.0, "% of CPU");
    }
    if all {
        compare(&mut report, &samples);
        primitives(&mut report)?;
    }
    report.finish()
}

/// The ratios that count, each from medians of the same run.
fn compare(report: &mut Report, samples: &[(Engine, Samples)]) {
    let cost = |engine| {
        let of = samples.iter().find(|(of, _)| *of == engine);
        of.and_then(|(_, samples)| median(&samples.per_cpu_second))
            .unwrap_or(f64::NAN)
    };
    let ours = cost(Engine::PeersStore);
    let ratio = |other| ours / cost(other);
    report.check(
        "peers stored / raw libp2p stream, per CPU s",
        ratio(Engine::Libp2p),
        "x",
        Target::AtLeast(0.9),
    );
    report.check(
        "peers stored / iroh-blobs verified, per CPU s",
        ratio(Engine::IrohVerify),
        "x",
        Target::Above(1.0),
    );
    report.check(
        "peers stored / iroh-blobs stored, per CPU s",
        ratio(Engine::IrohStore),
        "x",
        Target::Above(1.0),
    );
    report.note(
        "origin verified / raw quinn stream, per CPU s",
        cost(Engine::OriginVerify) / cost(Engine::Quinn),
        "x",
    );
}

fn run(engine: Engine, mib: usize, samples: &mut Samples) -> anyhow::Result<()> {
    let server = Second::of_this_program(&["serve", engine.name(), &mib.to_string()])?;
    let address: Value = server.hear(PATIENCE).context("the serving side")?;
    let address = serde_json::to_string(&address)?;
    let mut client = Second::of_this_program(&["fetch", engine.name(), &address])?;
    let _: String = client.hear(PATIENCE).context("the fetching side")?;
    let (serving, fetching) = (server.cpu_seconds()?, client.cpu_seconds()?);
    client.say("go")?;
    let fetched: Fetched = client.hear(PATIENCE).context("the fetching side")?;
    let serving = server.cpu_seconds()? - serving;
    let fetching = client.cpu_seconds()? - fetching;
    ensure!(
        fetched.bytes == (mib << 20) as u64,
        "{} of {} bytes arrived",
        fetched.bytes,
        mib << 20
    );
    let megabytes = fetched.bytes as f64 / MEGABYTE;
    samples.per_second.push(megabytes / fetched.seconds);
    samples
        .per_cpu_second
        .push(megabytes / (serving + fetching));
    samples
        .serving_cpu_share
        .push(serving / (serving + fetching));
    Ok(())
}

/// One thread, data in the cache as it is right after arrival.
fn primitives(report: &mut Report) -> anyhow::Result<()> {
    const CHUNK: usize = CHUNK_BYTES as usize;
    let geometry = Geometry::new(ByteCount::mib(1)).context("a legal size")?;
    let span =
        Span::new(antiphon_protocol::ChunkIndex(0), geometry.chunk_count()).context("a span")?;
    let mut data = payload::random(1 << 20).to_vec();
    let (content, outboard) = hash_content(geometry, &data[..])?;
    let mut encoded = Vec::new();
    encode_span(geometry, span, &outboard, &data, &mut encoded)?;

    let plain_hash = rate(data.len(), || {
        for chunk in data.chunks(CHUNK) {
            std::hint::black_box(blake3::hash(chunk));
        }
        Ok(())
    })?;
    let verify = rate(data.len(), || {
        let mut verifier = SpanVerifier::new(content, geometry, span);
        let mut rest = &encoded[..];
        while let Some(item) = verifier.wanted() {
            let (bytes, after) = rest.split_at(item.bytes());
            verifier.accept(bytes)?;
            rest = after;
        }
        Ok(())
    })?;
    let plain_cipher = rate(data.len(), || {
        use aes::cipher::{KeyIvInit, StreamCipher};
        for chunk in data.chunks_mut(CHUNK) {
            ctr::Ctr64BE::<aes::Aes128>::new(&[3; 16].into(), &[0; 16].into())
                .apply_keystream(chunk);
        }
        Ok(())
    })?;
    let key = ContentKey::new([3; 16]);
    let decrypt = rate(data.len(), || {
        for (index, chunk) in data.chunks_mut(CHUNK).enumerate() {
            key.apply((index * CHUNK) as u64, chunk);
        }
        Ok(())
    })?;
    report.note("plain BLAKE3, 16 KiB", plain_hash, "MB/s");
    report.note("verify a span", verify, "MB/s");
    report.check(
        "verify / plain BLAKE3",
        verify / plain_hash,
        "x",
        Target::AtLeast(0.9),
    );
    report.note("plain AES-128-CTR, 16 KiB", plain_cipher, "MB/s");
    report.note("decrypt chunks", decrypt, "MB/s");
    report.check(
        "decrypt / plain AES-128-CTR",
        decrypt / plain_cipher,
        "x",
        Target::AtLeast(0.9),
    );
    Ok(())
}

/// MB per CPU second of `work` on `bytes` bytes: the best of a few runs, as others may use the machine.
fn rate(bytes: usize, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    const RUNS: usize = 5;
    const RUN: Duration = Duration::from_millis(300);
    let mut best = 0.0_f64;
    for _ in 0..RUNS {
        let (start, cpu) = (Instant::now(), own_cpu_seconds()?);
        let mut times = 0_usize;
        while start.elapsed() < RUN {
            work()?;
            times += 1;
        }
        let cpu = own_cpu_seconds()? - cpu;
        best = best.max((times * bytes) as f64 / MEGABYTE / cpu);
    }
    Ok(best)
}
