//! How many holders a play is given: one core, its inputs by hand.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::{BitRate, ByteCount, ChunkIndex, Geometry, Span};
use antiphon_swarm::node::input::{
    Command, FetchEvent, NeighborEvent, RenditionSpec, TrackerEvent,
};
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{
    Duration, FetchId, Input, Instant, NodeConfig, NodeCore, Output, PeerKey, PlayId, RenditionKey,
};

const TRACK: RenditionKey = RenditionKey(1);

/// How the holders answer.
#[derive(Clone, Copy, PartialEq)]
enum Conduct {
    Serves,
    IsBusy,
}

/// A node whose holders and origin all behave the same.
struct Listener {
    core: NodeCore,
    now: Instant,
    conduct: Conduct,
    dialed: Vec<PeerKey>,
    asked: Vec<(FetchId, Source, Span)>,
}

impl Listener {
    /// Plays a track that six nodes hold, whom it does not know yet.
    fn new(conduct: Conduct) -> Self {
        let mut listener = Self {
            core: NodeCore::new(NodeConfig::antiphon(), [7; 32]),
            now: Instant::START,
            conduct,
            dialed: Vec::new(),
            asked: Vec::new(),
        };
        let geometry = Geometry::new(ByteCount(4_000_000)).expect("legal");
        let bit_rate = BitRate(160_000);
        let spec = RenditionSpec { geometry, bit_rate };
        let rendition = TRACK;
        listener.tell(Input::Command(Command::Introduce { rendition, spec }));
        listener.tell(Input::Command(Command::Play {
            play: PlayId(1),
            rendition,
            from: ChunkIndex(0),
        }));
        let holders = (1..=6).map(|peer| (PeerKey(peer), true)).collect();
        listener.tell(Input::Tracker(TrackerEvent::Holders { rendition, holders }));
        let (chunk, playing) = (ChunkIndex(0), true);
        listener.tell(Input::Command(Command::Playhead { chunk, playing }));
        listener
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Dial { peer } => self.dialed.push(peer),
                Output::Fetch {
                    fetch,
                    source,
                    span,
                    ..
                } => self.asked.push((fetch, source, span)),
                _ => {}
            }
        }
    }

    /// Whoever was dialed is there.
    fn connect(&mut self) {
        for peer in self.dialed.clone() {
            let event = NeighborEvent::Connected {
                outbound: true,
                rtt: Duration::from_millis(10),
                spans_in_flight: 4,
                uploads: true,
            };
            self.tell(Input::Neighbor { peer, event });
        }
    }

    fn answer(&mut self) {
        for (fetch, source, span) in core::mem::take(&mut self.asked) {
            let busy = self.conduct == Conduct::IsBusy && matches!(source, Source::Peer(_));
            let event = if busy {
                let (code, retry_after) = (ErrorCode::BUSY, Duration::from_millis(300));
                FetchEvent::Declined { code, retry_after }
            } else {
                let until = span.end();
                let event = FetchEvent::Verified { until };
                self.tell(Input::Fetch { fetch, event });
                FetchEvent::Done
            };
            self.tell(Input::Fetch { fetch, event });
        }
    }

    /// Lets two seconds pass.
    fn listen(&mut self) {
        let end = self.now + Duration::from_secs(2);
        while self.now < end {
            self.answer();
            let next = self.now + Duration::from_millis(20);
            self.now = self.core.poll_timeout().map_or(next, |due| due.min(next));
            self.tell(Input::Timeout);
        }
    }
}

#[test]
fn two_holders_that_serve_are_enough() {
    let mut listener = Listener::new(Conduct::Serves);
    assert_eq!(listener.dialed, [PeerKey(1), PeerKey(2)]);
    listener.connect();
    listener.listen();
    assert_eq!(listener.dialed.len(), 2, "{:?}", listener.dialed);
}

#[test]
fn in_place_of_two_that_have_no_room_others_are_dialed() {
    let mut listener = Listener::new(Conduct::IsBusy);
    listener.connect();
    listener.listen();
    assert!(listener.dialed.len() >= 4, "{:?}", listener.dialed);
}

#[test]
fn while_none_of_two_can_be_reached_more_are_dialed() {
    let mut listener = Listener::new(Conduct::Serves);
    // The origin is silent, too.
    for _ in 0..100 {
        listener.asked.clear();
        let next = listener.now + Duration::from_millis(10);
        listener.now = listener
            .core
            .poll_timeout()
            .map_or(next, |due| due.min(next));
        listener.tell(Input::Timeout);
    }
    assert_eq!(listener.dialed.len(), 4, "{:?}", listener.dialed);
}
