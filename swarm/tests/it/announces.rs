//! What the tracker is told of, and when: one core, its inputs by hand.

use antiphon_protocol::peer::Extent;
use antiphon_protocol::{BitRate, ByteCount, ChunkSet, Geometry};
use antiphon_swarm::node::input::{
    Command, FetchEvent, Keep, RenditionSpec, Restored, TrackerEvent,
};
use antiphon_swarm::{
    Duration, FetchId, Input, Instant, NodeConfig, NodeCore, Output, PeerKey, RenditionKey,
};

use crate::inputs::{TRACK, connected, due, introduce, named, play, sounds};

/// What was in the cache before.
const OLD: RenditionKey = RenditionKey(9);

struct Listener {
    core: NodeCore,
    now: Instant,
    asked: Vec<FetchId>,
    evicted: Vec<RenditionKey>,
    announced: Vec<Vec<(RenditionKey, Extent)>>,
}

impl Listener {
    /// Plays a track of which the tracker names so many holders, with a disk of 6 MB.
    fn new(holders: u32) -> Self {
        let mut config = NodeConfig::antiphon();
        config.budget.disk = ByteCount(6_000_000);
        let mut listener = Self {
            core: NodeCore::new(config, [7; 32]),
            now: Instant::START,
            asked: Vec::new(),
            evicted: Vec::new(),
            announced: Vec::new(),
        };
        let geometry = Geometry::new(ByteCount(4_000_000)).expect("legal");
        let bit_rate = BitRate(160_000);
        let old = Restored {
            rendition: OLD,
            spec: RenditionSpec { geometry, bit_rate },
            held: Some(ChunkSet::full(geometry)),
            idle: Duration::from_secs(3_600),
            keep: Keep::Cached,
        };
        listener.tell(Input::Command(Command::Restore(vec![old])));
        listener.tell(Input::Tracker(TrackerEvent::Reachable));
        listener.announced.clear();
        listener.now += Duration::from_secs(10);
        listener.tell(introduce());
        listener.tell(named(1..=holders));
        listener.tell(play());
        listener.tell(sounds());
        listener.tell(connected(PeerKey(1)));
        listener
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Fetch { fetch, .. } => self.asked.push(fetch),
                Output::Evict { rendition } => self.evicted.push(rendition),
                Output::Announce { entries } => self.announced.push(entries),
                _ => {}
            }
        }
    }

    /// Everything that is asked for comes, until so many bytes are held of the track.
    fn listen_until(&mut self, bytes: u64) {
        let held = |listener: &Self| {
            let old = if listener.evicted.is_empty() {
                4_000_000
            } else {
                0
            };
            listener.core.held_bytes().0 - old
        };
        for _ in 0..4_000 {
            if held(self) >= bytes {
                return;
            }
            for fetch in core::mem::take(&mut self.asked) {
                if held(self) < bytes {
                    let event = FetchEvent::Done;
                    self.tell(Input::Fetch { fetch, event });
                }
            }
            self.wait(Duration::from_millis(200));
        }
        panic!("{} of {bytes} bytes came", held(self));
    }

    fn wait(&mut self, most: Duration) {
        self.now = due(&self.core, self.now + most);
        self.tell(Input::Timeout);
    }

    fn announces(&self, which: impl Fn(&(RenditionKey, Extent)) -> bool) -> bool {
        self.announced.iter().flatten().any(which)
    }
}

fn is_part(entry: &(RenditionKey, Extent)) -> bool {
    entry.0 == TRACK && matches!(entry.1, Extent::Partial(_))
}

#[test]
fn a_partial_copy_is_announced_where_few_complete_ones_are_known() {
    for (holders, announces) in [(4, true), (5, false)] {
        let mut listener = Listener::new(holders);
        listener.listen_until(2_000_000);
        assert_eq!(listener.announces(is_part), announces, "{holders} holders");
    }
}

#[test]
fn what_was_dropped_is_told_with_the_next_news() {
    let mut listener = Listener::new(6);
    listener.listen_until(3_000_000);
    assert_eq!(listener.evicted, [OLD]);
    assert!(listener.announced.is_empty(), "{:?}", listener.announced);
    listener.listen_until(4_000_000);
    assert!(listener.core.is_complete(TRACK));
    let all = vec![(TRACK, Extent::Full), (OLD, Extent::Gone)];
    assert_eq!(listener.announced, [all]);
}

#[test]
fn what_was_dropped_is_told_without_other_news_after_a_while() {
    let mut listener = Listener::new(6);
    listener.listen_until(3_000_000);
    let end = listener.now + Duration::from_secs(10 * 60);
    listener.tell(Input::Command(Command::Stop));
    while listener.now < end {
        listener.wait(Duration::from_secs(5));
    }
    assert_eq!(listener.announced, [vec![(OLD, Extent::Gone)]]);
}
