//! When a core wants to be woken: not for what came true meanwhile. One core, its inputs by hand.

use antiphon_protocol::{BitRate, ByteCount, ChunkIndex, Geometry};
use antiphon_swarm::node::input::{
    Command, Expected, FetchEvent, Keep, RenditionSpec, Restored, TrackerEvent,
};
use antiphon_swarm::{
    Duration, Input, Instant, NodeConfig, NodeCore, Output, PeerKey, PlayId, RenditionKey,
};

use crate::inputs::{TRACK, connected, introduce, named, play, sounds};

/// Long after every dial, lookup and announce of a play; the first ask what to keep comes after ten
/// minutes.
const LATER: Duration = Duration::from_secs(9 * 60);

fn node() -> NodeCore {
    let mut core = NodeCore::new(NodeConfig::antiphon(), [3; 32]);
    tell(
        &mut core,
        Instant::START,
        Input::Tracker(TrackerEvent::Reachable),
    );
    core
}

/// Hands an input over; whatever is fetched comes at once. The peers dialed.
fn tell(core: &mut NodeCore, now: Instant, input: Input) -> Vec<PeerKey> {
    let mut dialed = Vec::new();
    let mut inputs = vec![input];
    while let Some(input) = inputs.pop() {
        core.handle(now, input);
        while let Some(output) = core.poll_output() {
            match output {
                Output::Dial { peer } => dialed.push(peer),
                Output::Fetch { fetch, .. } => {
                    let event = FetchEvent::Done;
                    inputs.push(Input::Fetch { fetch, event });
                }
                _ => {}
            }
        }
    }
    dialed
}

/// All of it is on the disk.
fn restore(core: &mut NodeCore, now: Instant, rendition: RenditionKey) {
    let spec = RenditionSpec {
        geometry: Geometry::new(ByteCount(4_000_000)).expect("legal"),
        bit_rate: BitRate(160_000),
    };
    let restored = Restored {
        rendition,
        spec,
        held: None,
        idle: Duration::ZERO,
        keep: Keep::Cached,
    };
    tell(core, now, Input::Command(Command::Restore(vec![restored])));
    assert!(core.is_complete(rendition));
}

fn sleeps_at(core: &NodeCore, now: Instant) -> bool {
    core.poll_timeout().is_none_or(|due| due >= now + LATER)
}

#[test]
fn a_play_of_what_is_here_waits_for_nothing() {
    let (mut core, now) = (node(), Instant::START);
    restore(&mut core, now, TRACK);
    // The tracker hears of it.
    let now = now + Duration::from_secs(2);
    tell(&mut core, now, Input::Timeout);
    tell(&mut core, now, play());
    tell(&mut core, now, sounds());
    assert!(sleeps_at(&core, now), "{:?}", core.poll_timeout());
}

/// A track is expected that two nodes hold; who is dialed.
fn expect(core: &mut NodeCore, now: Instant) -> Vec<PeerKey> {
    tell(core, now, introduce());
    let expected = Expected {
        rendition: TRACK,
        chance_permille: 600,
    };
    let next = vec![expected];
    tell(core, now, Input::Command(Command::Expect { next }));
    tell(core, now, named([1, 2]))
}

#[test]
fn what_comes_in_one_moment_is_decided_together() {
    let (mut core, now) = (node(), Instant::START);
    for input in [introduce(), named([1, 2]), connected(PeerKey(1)), play()] {
        core.handle(now, input);
    }
    core.handle(now, Input::Command(Command::Stop));
    let outputs: Vec<_> = core::iter::from_fn(|| core.poll_output()).collect();
    let acts = |output: &Output| matches!(output, Output::Fetch { .. } | Output::Dial { .. });
    assert!(!outputs.iter().any(acts), "{outputs:?}");
    for input in [named([1, 2]), play()] {
        core.handle(now, input);
    }
    let outputs: Vec<_> = core::iter::from_fn(|| core.poll_output()).collect();
    assert!(outputs.iter().any(acts), "{outputs:?}");
}

/// Something else plays from the disk, and the head of what follows is asked for.
#[test]
fn a_next_head_that_has_come_wakes_nobody_for_the_origin() {
    let (mut core, now) = (node(), Instant::START);
    let rendition = RenditionKey(TRACK.0 + 1);
    restore(&mut core, now, rendition);
    let (play, from) = (PlayId(1), ChunkIndex(0));
    let play = Command::Play {
        play,
        rendition,
        from,
    };
    tell(&mut core, now, Input::Command(play));
    tell(&mut core, now, sounds());
    expect(&mut core, now);
    let now = now + Duration::from_millis(50);
    // What is fetched of the holder comes at once.
    tell(&mut core, now, connected(PeerKey(1)));
    assert!(sleeps_at(&core, now), "{:?}", core.poll_timeout());
}

#[test]
fn holders_that_came_are_not_waited_for() {
    let (mut core, now) = (node(), Instant::START);
    let dialed = expect(&mut core, now);
    assert_eq!(dialed, [PeerKey(1)], "one is enough before it plays");
    assert!(!sleeps_at(&core, now), "a dial may get no answer");
    let now = now + Duration::from_millis(50);
    tell(&mut core, now, connected(PeerKey(1)));
    assert!(sleeps_at(&core, now), "{:?}", core.poll_timeout());
}

#[test]
fn beside_a_dial_that_takes_long_another_is_tried() {
    let (mut core, now) = (node(), Instant::START);
    expect(&mut core, now);
    let soon = now + Duration::from_millis(900);
    assert_eq!(tell(&mut core, soon, Input::Timeout), []);
    let due = core.poll_timeout().expect("a dial is under way");
    assert_eq!(due, now + Duration::from_secs(1));
    assert_eq!(tell(&mut core, due, Input::Timeout), [PeerKey(2)]);
}
