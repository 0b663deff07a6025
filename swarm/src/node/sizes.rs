//! What a node costs in memory: the simulator runs a million of them in 5 GiB.

use antiphon_protocol::{BitRate, ByteCount, ChunkIndex, ChunkSet, Geometry};

use super::neighbors::Neighbor;
use super::wants::Wants;
use super::*;
use crate::key::{PeerKey, PlayId, RenditionKey};
use crate::node::input::{Command, Keep, NeighborEvent, RenditionSpec, Restored, TrackerEvent};

#[test]
fn an_idle_node_with_150_cached_renditions_takes_less_than_three_kib() {
    let shared = Arc::new(NodeConfig::antiphon());
    let mut core = NodeCore::new(Arc::clone(&shared), [1; 32]);
    let spec = RenditionSpec {
        geometry: Geometry::new(ByteCount(4_000_000)).expect("legal"),
        bit_rate: BitRate(160_000),
    };
    let restored = (0..150).map(|key| Restored {
        rendition: RenditionKey(key),
        spec,
        held: Some(ChunkSet::full(spec.geometry)),
        idle: Duration::ZERO,
        keep: Keep::Cached,
    });
    let command = Command::Restore(restored.collect());
    core.handle(Instant::START, Input::Command(command));
    while core.poll_output().is_some() {}
    let heap = core.heap_bytes();
    let all = size_of::<NodeCore>() + heap;
    assert!(
        size_of::<NodeCore>() <= 1_128,
        "{} bytes inline",
        size_of::<NodeCore>()
    );
    assert!(all <= 3 * 1_024, "{all} bytes, {heap} of them on the heap");
    assert_eq!(core.poll_timeout(), None, "an idle node needs no timer");
}

#[test]
fn a_neighbor_takes_at_most_96_bytes() {
    let bytes = [size_of::<Neighbor>(), size_of::<Wants>()];
    assert!(bytes.iter().sum::<usize>() <= 96, "{bytes:?}");
}

#[test]
fn an_idle_node_allocates_nothing_for_inputs_that_do_not_concern_it() {
    let mut core = NodeCore::new(NodeConfig::antiphon(), [1; 32]);
    let rtt = Duration::from_millis(1);
    let (outbound, spans_in_flight, uploads) = (false, 2, true);
    let event = NeighborEvent::Connected {
        outbound,
        rtt,
        spans_in_flight,
        uploads,
    };
    core.handle(
        Instant::START,
        Input::Neighbor {
            peer: PeerKey(1),
            event,
        },
    );
    while core.poll_output().is_some() {}
    let before = core.heap_bytes();
    for at in 0..1_000 {
        let event = NeighborEvent::Rtt(Duration::from_micros(at));
        core.handle(
            Instant::from_micros(at),
            Input::Neighbor {
                peer: PeerKey(1),
                event,
            },
        );
        core.handle(Instant::from_micros(at), Input::Timeout);
    }
    assert_eq!(core.heap_bytes(), before);
}

/// The holders of a track may be told before anything wants it, with its license. They are of use until
/// it was played, and no longer.
#[test]
fn holders_of_what_was_played_are_forgotten() {
    let mut core = NodeCore::new(NodeConfig::antiphon(), [1; 32]);
    let spec = RenditionSpec {
        geometry: Geometry::new(ByteCount(4_000_000)).expect("legal"),
        bit_rate: BitRate(160_000),
    };
    for key in 1..=2 {
        let rendition = RenditionKey(key);
        let holders = (1..=10).map(|peer| (PeerKey(peer), true)).collect();
        let told = TrackerEvent::Holders { rendition, holders };
        for input in [
            Input::Command(Command::Introduce { rendition, spec }),
            Input::Tracker(told),
            Input::Command(Command::Play {
                play: PlayId(key.into()),
                rendition,
                from: ChunkIndex(0),
            }),
        ] {
            core.handle(Instant::START, input);
        }
        assert_eq!(core.availability.of(rendition).len(), 10);
    }
    assert!(core.availability.of(RenditionKey(1)).is_empty());
}
