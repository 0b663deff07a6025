//! Who is told what a node wants to hear of: one core, its inputs by hand.

use antiphon_swarm::node::input::{Command, Expected, Message, NeighborEvent, TrackerEvent};
use antiphon_swarm::{Duration, Input, Instant, NodeConfig, NodeCore, Output, PeerKey};

use crate::inputs::{TRACK, connected, due, introduce, named, play, sounds};

const NEAR: PeerKey = PeerKey(1);
const FAR: PeerKey = PeerKey(2);

/// A node with a near and a far neighbor, neither of whom delivered anything yet.
struct Node {
    core: NodeCore,
    now: Instant,
    told: Vec<PeerKey>,
}

impl Node {
    fn new() -> Self {
        let mut node = Self {
            core: NodeCore::new(NodeConfig::antiphon(), [7; 32]),
            now: Instant::START,
            told: Vec::new(),
        };
        node.tell(Input::Tracker(TrackerEvent::Reachable));
        node.tell(connected(NEAR));
        node.tell(connected(FAR));
        let event = NeighborEvent::Rtt(Duration::from_millis(500));
        node.tell(Input::Neighbor { peer: FAR, event });
        node
    }

    fn tell(&mut self, input: Input) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll_output() {
            if let Output::Send {
                peer,
                message: Message::Interest { .. },
            } = output
            {
                self.told.push(peer);
            }
        }
    }

    fn listen(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = due(&self.core, end);
            self.tell(Input::Timeout);
        }
    }
}

#[test]
fn who_is_far_and_delivered_nothing_is_not_told_at_once() {
    let mut node = Node::new();
    node.tell(introduce());
    node.tell(play());
    assert_eq!(node.told, [NEAR]);
}

#[test]
fn all_are_told_once_a_play_could_ask_nobody_for_a_while() {
    let mut node = Node::new();
    node.tell(introduce());
    node.tell(play());
    node.tell(sounds());
    node.listen(Duration::from_secs(1));
    assert_eq!(node.told, [NEAR, FAR]);
    node.listen(Duration::from_secs(5));
    assert_eq!(node.told.len(), 2, "told once");
}

#[test]
fn all_are_told_while_there_is_no_tracker() {
    let mut node = Node::new();
    node.tell(Input::Tracker(TrackerEvent::Unreachable));
    node.tell(introduce());
    node.tell(play());
    assert_eq!(node.told, [NEAR, FAR]);
}

/// The track will be heard next; nothing plays.
fn expect() -> Input {
    let next = vec![Expected {
        rendition: TRACK,
        chance_permille: 600,
    }];
    Input::Command(Command::Expect { next })
}

#[test]
fn nobody_is_told_of_what_has_two_connected_holders() {
    let mut node = Node::new();
    node.tell(introduce());
    node.tell(named([NEAR.0, FAR.0]));
    node.tell(play());
    assert_eq!(node.told, []);
}

#[test]
fn of_what_has_many_holders_and_does_not_play_yet_the_most_useful_are_told() {
    let told = |holders: u32| {
        let mut node = Node::new();
        for peer in 3..10 {
            node.tell(connected(PeerKey(peer)));
        }
        node.tell(introduce());
        node.tell(named((100..).take(holders as usize)));
        node.tell(expect());
        node.told.len()
    };
    assert_eq!(told(2), 8, "few holders: all that are near");
    assert_eq!(told(10), 3, "as many as the tracker names");
}

#[test]
fn what_was_told_to_few_is_told_to_all_once_its_play_could_ask_nobody() {
    let mut node = Node::new();
    for peer in 3..10 {
        node.tell(connected(PeerKey(peer)));
    }
    node.tell(introduce());
    node.tell(named(100..110));
    node.tell(expect());
    node.tell(play());
    node.tell(sounds());
    node.listen(Duration::from_secs(1));
    let mut told = node.told.clone();
    told.sort_unstable();
    assert_eq!(told, (1..10).map(PeerKey).collect::<Vec<_>>());
}
