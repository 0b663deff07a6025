//! Random inputs, nonsense included: the core never panics and its rules hold after each.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::{Extent, Priority};
use antiphon_protocol::{BitRate, ByteCount, ChunkIndex, ChunkSet, Geometry, QueryId, Span};
use antiphon_swarm::node::input::{
    Budget, Command, Expected, FetchEvent, Keep, Message, NeighborEvent, RenditionSpec, Restored,
    StoreEvent, TrackerEvent,
};
use antiphon_swarm::{
    Duration, FetchId, Input, Instant, NodeConfig, NodeCore, Output, PeerKey, PlayId, RenditionKey,
    UploadId, invariants,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn rendition() -> impl Strategy<Value = RenditionKey> {
    prop_oneof![9 => 0_u32..6, 1 => any::<u32>()].prop_map(RenditionKey)
}

fn peer() -> impl Strategy<Value = PeerKey> {
    prop_oneof![12 => 0_u32..70, 1 => any::<u32>()].prop_map(PeerKey)
}

fn chunk() -> impl Strategy<Value = ChunkIndex> {
    prop_oneof![9 => 0_u32..200, 1 => any::<u32>()].prop_map(ChunkIndex)
}

fn span() -> impl Strategy<Value = Span> {
    (0_u32..300, 1_u32..=64)
        .prop_map(|(first, count)| Span::new(ChunkIndex(first), count).expect("legal"))
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        6 => (0_u64..5_000_000).prop_map(Duration::from_micros),
        1 => Just(Duration::MAX),
        1 => Just(Duration::ZERO),
    ]
}

fn code() -> impl Strategy<Value = ErrorCode> {
    any::<u16>().prop_map(|code| ErrorCode(code % 24))
}

fn extent() -> impl Strategy<Value = Extent> {
    prop_oneof![
        Just(Extent::Full),
        Just(Extent::Gone),
        vec(any::<u8>(), 0..70).prop_map(Extent::Partial),
    ]
}

/// The spec belongs to the key: a driver never tells two for one.
fn spec_of(rendition: RenditionKey) -> RenditionSpec {
    let bytes = 1 + u64::from(rendition.0 % 7) * 600_001;
    RenditionSpec {
        geometry: Geometry::new(ByteCount(bytes)).expect("legal"),
        bit_rate: BitRate(160_000 * (rendition.0 % 3)),
    }
}

fn restore((rendition, chunks, idle, keep): (RenditionKey, u32, Duration, Keep)) -> Command {
    let spec = spec_of(rendition);
    let mut held = ChunkSet::empty(spec.geometry);
    for at in 0..chunks {
        held.insert(ChunkIndex(at));
    }
    Command::Restore(vec![Restored {
        rendition,
        spec,
        held: Some(held),
        idle,
        keep,
    }])
}

fn keep() -> impl Strategy<Value = Keep> {
    let all = [Keep::Cached, Keep::Placed, Keep::Pinned];
    proptest::sample::select(all.to_vec())
}

fn command() -> impl Strategy<Value = Command> {
    let budget = (any::<u32>(), 0_u64..20_000_000, any::<bool>());
    prop_oneof![
        2 => (rendition(), 0_u32..250, duration(), keep()).prop_map(restore),
        4 => rendition().prop_map(|rendition| Command::Introduce {
            rendition,
            spec: spec_of(rendition),
        }),
        4 => (rendition(), chunk()).prop_map(|(rendition, from)| Command::Play {
            play: PlayId(1),
            rendition,
            from,
        }),
        3 => (chunk(), any::<bool>()).prop_map(|(chunk, playing)| Command::Playhead {
            chunk,
            playing,
        }),
        1 => chunk().prop_map(|to| Command::Seek { to }),
        1 => Just(Command::Stop),
        2 => vec((rendition(), any::<u16>()), 0..4).prop_map(|next| Command::Expect {
            next: next
                .into_iter()
                .map(|(rendition, chance_permille)| Expected { rendition, chance_permille })
                .collect(),
        }),
        1 => rendition().prop_map(|rendition| Command::Pin { rendition }),
        1 => rendition().prop_map(|rendition| Command::Place { rendition }),
        1 => rendition().prop_map(|rendition| Command::Unpin { rendition }),
        1 => budget.prop_map(|(rate, disk, uploads)| Command::Budget(Budget {
            upload: BitRate(rate),
            disk: ByteCount(disk),
            uploads,
        })),
    ]
}

fn neighbor_event() -> impl Strategy<Value = NeighborEvent> {
    prop_oneof![
        6 => (any::<bool>(), duration(), any::<u8>(), any::<bool>()).prop_map(
            |(outbound, rtt, spans_in_flight, uploads)| NeighborEvent::Connected {
                outbound,
                rtt,
                spans_in_flight,
                uploads: uploads || spans_in_flight > 100,
            }
        ),
        1 => Just(NeighborEvent::DialFailed),
        1 => Just(NeighborEvent::Disconnected { code: None }),
        1 => duration().prop_map(NeighborEvent::Rtt),
        1 => Just(NeighborEvent::Misbehaved),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let query = || (0_u64..100).prop_map(QueryId);
    prop_oneof![
        3 => vec((rendition(), extent()), 0..40).prop_map(|holdings| Message::Have { holdings }),
        1 => (query(), rendition(), any::<u8>()).prop_map(|(query, rendition, hops)| {
            Message::Find { query, rendition, hops }
        }),
        1 => (query(), rendition(), vec(peer(), 0..20)).prop_map(|(query, rendition, holders)| {
            Message::Found { query, rendition, holders }
        }),
        1 => vec(rendition(), 0..40).prop_map(|renditions| Message::Interest { renditions: renditions.into() }),
        1 => code().prop_map(|code| Message::Bye { code }),
    ]
}

/// Fetch ids are small, so that many hit a request in flight.
fn fetch() -> impl Strategy<Value = Input> {
    let event = prop_oneof![
        1 => Just(FetchEvent::Accepted),
        4 => chunk().prop_map(|until| FetchEvent::Verified { until }),
        2 => (any::<u64>(), chunk()).prop_map(|(micros, until)| FetchEvent::Arrived {
            first: Instant::from_micros(micros),
            until,
        }),
        4 => Just(FetchEvent::Done),
        1 => (code(), duration()).prop_map(|(code, retry_after)| FetchEvent::Declined {
            code,
            retry_after,
        }),
        1 => Just(FetchEvent::Corrupt),
        1 => Just(FetchEvent::Failed),
    ];
    (0_u64..200, event).prop_map(|(fetch, event)| Input::Fetch {
        fetch: FetchId(fetch),
        event,
    })
}

fn tracker() -> impl Strategy<Value = TrackerEvent> {
    let holders = vec((peer(), any::<bool>()), 0..20);
    prop_oneof![
        4 => (rendition(), holders)
            .prop_map(|(rendition, holders)| TrackerEvent::Holders { rendition, holders }),
        1 => Just(TrackerEvent::Unreachable),
        1 => Just(TrackerEvent::Reachable),
        1 => duration().prop_map(|again_after| TrackerEvent::Announced { again_after }),
        1 => Just(TrackerEvent::AnnounceAll),
    ]
}

fn store() -> impl Strategy<Value = StoreEvent> {
    prop_oneof![
        (rendition(), span()).prop_map(|(rendition, span)| StoreEvent::Lost { rendition, span }),
        Just(StoreEvent::Full),
        Just(StoreEvent::Writable),
        rendition().prop_map(|rendition| StoreEvent::Evicted { rendition }),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let asked = (0_u64..20, peer(), rendition(), span(), 0_usize..4);
    let priority = [
        Priority::Urgent,
        Priority::Current,
        Priority::Prefetch,
        Priority::Background,
    ];
    prop_oneof![
        5 => command().prop_map(Input::Command),
        5 => (peer(), neighbor_event()).prop_map(|(peer, event)| Input::Neighbor { peer, event }),
        3 => (peer(), message()).prop_map(|(peer, message)| Input::Message { peer, message }),
        3 => asked.prop_map(move |(upload, peer, rendition, span, at)| Input::SpanAsked {
            upload: UploadId(upload),
            peer,
            rendition,
            span,
            priority: priority[at],
            deadline: Duration::ZERO,
        }),
        1 => (0_u64..20, any::<u64>(), any::<bool>()).prop_map(|(upload, sent, complete)| {
            Input::UploadEnded { upload: UploadId(upload), sent: ByteCount(sent), complete }
        }),
        8 => fetch(),
        3 => tracker().prop_map(Input::Tracker),
        1 => store().prop_map(Input::Store),
        3 => Just(Input::Timeout),
    ]
}

/// Mostly moments, at times hours, so that a run may last a week.
fn step() -> impl Strategy<Value = (Duration, Input)> {
    let wait = prop_oneof![
        12 => 0_u64..100_000,
        4 => 0_u64..3_000_000,
        1 => 0_u64..36_000_000_000,
    ];
    (wait.prop_map(Duration::from_micros), input())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_inputs_leave_a_sound_state(steps in vec(step(), 1..300), seed: [u8; 32]) {
        let mut core = NodeCore::new(NodeConfig::antiphon(), seed);
        let mut now = Instant::START;
        for (wait, input) in steps {
            let end = now + wait;
            // The deadlines in between, as a driver keeps them.
            let mut timeouts = 0;
            while let Some(due) = core.poll_timeout().filter(|due| *due <= end) {
                now = due.max(now);
                core.handle(now, Input::Timeout);
                while core.poll_output().is_some() {}
                prop_assert_eq!(invariants::check(&core), Ok(()));
                timeouts += 1;
                if timeouts > 50 {
                    break;
                }
            }
            now = end;
            core.handle(now, input);
            let mut outputs = 0;
            while let Some(output) = core.poll_output() {
                if let Output::Fetch { span, rendition, .. } = output {
                    prop_assert!(spec_of(rendition).geometry.contains(span));
                }
                outputs += 1;
            }
            prop_assert!(outputs < 500, "{} outputs of one input", outputs);
            prop_assert_eq!(invariants::check(&core), Ok(()));
        }
    }
}
