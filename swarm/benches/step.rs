//! What one input costs at 10, 100 and 1,000 of what a node may hold or hear of.

use antiphon_protocol::peer::{Extent, Priority};
use antiphon_protocol::{BitRate, ByteCount, ChunkIndex, Geometry, Span};
use antiphon_swarm::node::input::{
    Command, Keep, Message, NeighborEvent, RenditionSpec, Restored, TrackerEvent,
};
use antiphon_swarm::registry::{Held, PeerProfile, RegistryConfig};
use antiphon_swarm::{
    Duration, Input, Instant, NodeConfig, NodeCore, PeerKey, PlayId, RenditionKey, SwarmRegistry,
    UploadId,
};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

const SIZES: [u32; 3] = [10, 100, 1_000];

fn spec() -> RenditionSpec {
    RenditionSpec {
        geometry: Geometry::new(ByteCount(4_000_000)).expect("a legal size"),
        bit_rate: BitRate(160_000),
    }
}

/// As a node does: one input, all that follows.
fn tell(core: &mut NodeCore, now: Instant, input: Input) {
    core.handle(now, input);
    while core.poll_output().is_some() {}
}

/// A node with `size` cached renditions and as many neighbors as it may have of `size`.
fn node(size: u32) -> NodeCore {
    let mut core = NodeCore::new(NodeConfig::antiphon(), [1; 32]);
    let restored = (0..size).map(|key| Restored {
        rendition: RenditionKey(key),
        spec: spec(),
        held: None,
        idle: Duration::ZERO,
        keep: Keep::Cached,
    });
    let command = Command::Restore(restored.collect());
    tell(&mut core, Instant::START, Input::Command(command));
    for peer in 0..size.min(50) {
        let event = NeighborEvent::Connected {
            outbound: true,
            rtt: Duration::from_millis(10),
            spans_in_flight: 2,
            uploads: true,
        };
        tell(
            &mut core,
            Instant::START,
            Input::Neighbor {
                peer: PeerKey(peer),
                event,
            },
        );
    }
    core
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("node");
    for size in SIZES {
        let mut core = node(size);
        let mut now = 0;
        group.bench_function(BenchmarkId::new("idle timeout", size), |bencher| {
            bencher.iter(|| {
                now += 1;
                tell(&mut core, Instant::from_micros(now), Input::Timeout);
            });
        });
        let mut upload = 0;
        group.bench_function(BenchmarkId::new("span asked and sent", size), |bencher| {
            bencher.iter(|| {
                now += 100_000;
                upload += 1;
                let asked = Input::SpanAsked {
                    upload: UploadId(upload),
                    peer: PeerKey(1),
                    rendition: RenditionKey(size / 2),
                    span: Span::new(ChunkIndex(0), 16).expect("legal"),
                    priority: Priority::Current,
                    deadline: Duration::from_secs(10),
                };
                tell(&mut core, Instant::from_micros(now), asked);
                let ended = Input::UploadEnded {
                    upload: UploadId(upload),
                    sent: ByteCount(16 * 16_384),
                    complete: true,
                };
                tell(&mut core, Instant::from_micros(now), ended);
            });
        });
    }
    group.finish();
}

fn plays(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("play");
    for size in SIZES {
        group.bench_function(BenchmarkId::new("play with ten holders", size), |bencher| {
            bencher.iter_batched_ref(
                || node(size),
                |core| {
                    let rendition = RenditionKey(5_000);
                    let introduce = Command::Introduce {
                        rendition,
                        spec: spec(),
                    };
                    tell(core, Instant::START, Input::Command(introduce));
                    let holders = (0..10).map(|peer| (PeerKey(peer), true)).collect();
                    let holders = TrackerEvent::Holders { rendition, holders };
                    tell(core, Instant::START, Input::Tracker(holders));
                    let (play, from) = (PlayId(1), ChunkIndex(0));
                    let play = Command::Play {
                        play,
                        rendition,
                        from,
                    };
                    tell(core, Instant::START, Input::Command(play));
                    let holdings = vec![(rendition, Extent::Full)];
                    let message = Message::Have { holdings };
                    tell(
                        core,
                        Instant::START,
                        Input::Message {
                            peer: PeerKey(1),
                            message,
                        },
                    );
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn registry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    for size in SIZES {
        let mut registry = SwarmRegistry::new(RegistryConfig::default(), [1; 32]);
        let rendition = RenditionKey(1);
        for peer in 0..size {
            let profile = PeerProfile {
                region: (peer % 5) as u8,
                prefix: peer,
                uploads: true,
            };
            registry.join(Instant::START, PeerKey(peer), profile);
            registry.announce(Instant::START, PeerKey(peer), rendition, Some(Held::Full));
        }
        group.bench_function(BenchmarkId::new("lookup", size), |bencher| {
            bencher.iter(|| registry.lookup(Instant::START, PeerKey(3), rendition, 10));
        });
        group.bench_function(BenchmarkId::new("announce", size), |bencher| {
            let (peer, held) = (PeerKey(size / 2), Some(Held::Full));
            bencher.iter(|| registry.announce(Instant::START, peer, rendition, held));
        });
    }
    group.finish();
}

criterion_group!(benches, steps, plays, registry);
criterion_main!(benches);
