//! Inputs of a node that plays one track, by hand.

use antiphon_protocol::{BitRate, ByteCount, ChunkIndex, Geometry};
use antiphon_swarm::node::input::{Command, NeighborEvent, RenditionSpec, TrackerEvent};
use antiphon_swarm::{Duration, Input, Instant, NodeCore, PeerKey, PlayId, RenditionKey};

pub const TRACK: RenditionKey = RenditionKey(1);

pub fn introduce() -> Input {
    let spec = RenditionSpec {
        geometry: Geometry::new(ByteCount(4_000_000)).expect("legal"),
        bit_rate: BitRate(160_000),
    };
    let rendition = TRACK;
    Input::Command(Command::Introduce { rendition, spec })
}

pub const fn play() -> Input {
    Input::Command(Command::Play {
        play: PlayId(1),
        rendition: TRACK,
        from: ChunkIndex(0),
    })
}

/// Sound comes out, from the start.
pub const fn sounds() -> Input {
    let (chunk, playing) = (ChunkIndex(0), true);
    Input::Command(Command::Playhead { chunk, playing })
}

/// The tracker names these as having all of it.
pub fn named(holders: impl IntoIterator<Item = u32>) -> Input {
    let holders = holders.into_iter().map(|peer| (PeerKey(peer), true));
    Input::Tracker(TrackerEvent::Holders {
        rendition: TRACK,
        holders: holders.collect(),
    })
}

/// A dial came through to somebody who uploads.
pub const fn connected(peer: PeerKey) -> Input {
    let event = NeighborEvent::Connected {
        outbound: true,
        rtt: Duration::from_millis(10),
        spans_in_flight: 4,
        uploads: true,
    };
    Input::Neighbor { peer, event }
}

/// The next moment the core wants, but not after `most`.
pub fn due(core: &NodeCore, most: Instant) -> Instant {
    core.poll_timeout().map_or(most, |due| due.min(most))
}
