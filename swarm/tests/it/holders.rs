//! How many holders a play is given: one core, its inputs by hand.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::{ChunkIndex, Span};
use antiphon_swarm::node::input::{FetchEvent, NeighborEvent, TrackerEvent};
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Duration, FetchId, Input, Instant, NodeConfig, NodeCore, Output, PeerKey};

use crate::inputs::{TRACK, connected, due, introduce, named, play, sounds};

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
    lookups: usize,
    asked: Vec<(FetchId, Source, Span)>,
}

impl Listener {
    /// Plays nothing yet.
    fn silent() -> Self {
        Self {
            core: NodeCore::new(NodeConfig::antiphon(), [7; 32]),
            now: Instant::START,
            conduct: Conduct::Serves,
            dialed: Vec::new(),
            lookups: 0,
            asked: Vec::new(),
        }
    }

    /// Plays a track that six nodes hold, whom it does not know yet.
    fn new(conduct: Conduct) -> Self {
        let mut listener = Self {
            conduct,
            ..Self::silent()
        };
        listener.tell(introduce());
        listener.tell(play());
        listener.tell(named(1..=6));
        listener.tell(sounds());
        listener
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Dial { peer } => self.dialed.push(peer),
                Output::Lookup { .. } => self.lookups += 1,
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
            self.tell(connected(peer));
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

    /// Everybody who is dialed cannot be reached; how many were.
    fn fail_dials(&mut self) -> usize {
        let mut failed = 0;
        while let Some(peer) = self.dialed.pop() {
            let event = NeighborEvent::DialFailed;
            self.tell(Input::Neighbor { peer, event });
            failed += 1;
        }
        failed
    }

    fn wait(&mut self) {
        self.now = due(&self.core, self.now + Duration::from_millis(20));
        self.tell(Input::Timeout);
    }

    /// Lets two seconds pass.
    fn listen(&mut self) {
        let end = self.now + Duration::from_secs(2);
        while self.now < end {
            self.answer();
            self.wait();
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
    // The origin is silent, too: nothing that was asked for comes.
    for _ in 0..40 {
        listener.wait();
    }
    assert_eq!(listener.dialed.len(), 4, "{:?}", listener.dialed);
}

#[test]
fn one_that_is_known_to_be_fast_is_enough() {
    let mut listener = Listener::new(Conduct::Serves);
    listener.connect();
    listener.listen();
    assert!(!listener.core.is_complete(TRACK));
    let event = NeighborEvent::Disconnected { code: None };
    let peer = PeerKey(2);
    listener.tell(Input::Neighbor { peer, event });
    listener.listen();
    assert_eq!(listener.dialed.len(), 2, "{:?}", listener.dialed);
}

#[test]
fn who_can_reach_nobody_stops_trying_everybody() {
    let mut listener = Listener::new(Conduct::Serves);
    let mut failed = 0;
    for holders in (1..=60).step_by(10) {
        listener.tell(named(holders..holders + 10));
        failed += listener.fail_dials();
    }
    assert!((24..=26).contains(&failed), "{failed} dials");
    // Those that failed may be dialed again, but there is no hope.
    listener.now += Duration::from_secs(20);
    listener.tell(Input::Timeout);
    assert_eq!(listener.dialed, []);
    // Each that failed beyond 24 doubles the wait.
    listener.now += Duration::from_secs(101);
    listener.tell(Input::Timeout);
    assert_eq!(listener.fail_dials(), 1);
    // In another network there may be.
    listener.tell(Input::Tracker(TrackerEvent::Reachable));
    assert!(listener.fail_dials() > 1);
}

#[test]
fn who_reached_somebody_goes_on_trying() {
    let mut listener = Listener::new(Conduct::Serves);
    listener.tell(connected(PeerKey(99)));
    let mut failed = 0;
    for holders in (1..=60).step_by(10) {
        listener.tell(named(holders..holders + 10));
        failed += listener.fail_dials();
    }
    assert!(failed >= 60, "{failed} dials");
}

#[test]
fn who_has_a_holder_asks_for_others_only_when_all_known_ones_were_tried() {
    let mut listener = Listener::silent();
    listener.tell(Input::Tracker(TrackerEvent::Reachable));
    listener.tell(introduce());
    listener.tell(connected(PeerKey(1)));
    listener.tell(named(1..=6));
    // So long ago that somebody without a holder would ask again.
    listener.now += Duration::from_secs(6);
    listener.tell(play());
    for left in [2, 3, 4, 5, 6].map(PeerKey) {
        assert_eq!((listener.dialed.pop(), listener.lookups), (Some(left), 0));
        let (peer, event) = (left, NeighborEvent::DialFailed);
        listener.tell(Input::Neighbor { peer, event });
    }
    assert_eq!((listener.dialed.pop(), listener.lookups), (None, 1));
}

/// A driver may tell of a span only when all of it is there, as long as it says when the first chunk was.
#[test]
fn what_is_told_at_once_counts_as_if_it_was_told_when_it_came() {
    let rate_of = |at_once: bool| {
        let mut listener = Listener::new(Conduct::Serves);
        listener.tell(connected(PeerKey(1)));
        let to_peer =
            |(_, source, _): &&(FetchId, Source, Span)| *source == Source::Peer(PeerKey(1));
        let (fetch, _, span) = *listener.asked.iter().find(to_peer).expect("asked");
        let first = listener.now + Duration::from_millis(15);
        if !at_once {
            listener.now = first;
            let until = ChunkIndex(span.first().0 + 1);
            let event = FetchEvent::Verified { until };
            listener.tell(Input::Fetch { fetch, event });
        }
        listener.now = first + Duration::from_millis(20);
        let until = span.end();
        let event = if at_once {
            FetchEvent::Arrived { first, until }
        } else {
            FetchEvent::Done
        };
        listener.tell(Input::Fetch { fetch, event });
        let snapshot = listener.core.snapshot();
        let [peer] = snapshot.neighbors.as_slice() else {
            panic!("one neighbor");
        };
        assert!(peer.measured);
        (peer.rate, listener.core.held_bytes())
    };
    assert_eq!(rate_of(true), rate_of(false));
}
