//! What becomes of a late request once somebody else agreed to send the same: one core, its inputs by
//! hand.

use std::sync::Arc;

use antiphon_protocol::{ChunkIndex, Span};
use antiphon_swarm::node::input::FetchEvent;
use antiphon_swarm::node::output::Source;
use antiphon_swarm::{Duration, FetchId, Input, Instant, NodeConfig, NodeCore, Output, PeerKey};

use crate::inputs::{connected, due, introduce, named, play, sounds};

const FIRST: PeerKey = PeerKey(1);
const SECOND: PeerKey = PeerKey(2);

/// Chunks the first holder brings at once: more than the window of a play that begins. Of what lies
/// behind them it brings one, and is silent then.
const BROUGHT: u32 = 16;

struct Listener {
    core: NodeCore,
    now: Instant,
    asked: Vec<(FetchId, PeerKey, Span)>,
    canceled: Vec<FetchId>,
}

impl Listener {
    fn tell(&mut self, input: Input) {
        self.core.handle(self.now, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Fetch {
                    fetch,
                    source: Source::Peer(peer),
                    span,
                    ..
                } => self.asked.push((fetch, peer, span)),
                Output::Cancel { fetch } => self.canceled.push(fetch),
                // The origin is silent: only peers matter here.
                _ => {}
            }
        }
    }

    fn meet(&mut self, peer: PeerKey) {
        self.tell(connected(peer));
        self.tell(named([peer.0]));
    }

    fn fetched(&mut self, fetch: FetchId, event: FetchEvent) {
        self.tell(Input::Fetch { fetch, event });
    }

    /// Lets time pass to the next moment the core wants, at most a tenth of a second.
    fn wait(&mut self) {
        self.now = due(&self.core, self.now + Duration::from_millis(100));
        self.tell(Input::Timeout);
    }

    /// Serves the first holder's spans until it falls silent; the span it lets wait.
    fn served_until_silence(&mut self) -> (FetchId, Span) {
        for _ in 0..2_000 {
            self.wait();
            for (fetch, _, span) in core::mem::take(&mut self.asked) {
                let until = ChunkIndex(span.first().0 + 1);
                self.fetched(fetch, FetchEvent::Verified { until });
                if span.end().0 > BROUGHT {
                    return (fetch, span);
                }
                self.fetched(fetch, FetchEvent::Done);
            }
        }
        panic!("nothing behind chunk {BROUGHT} was asked for");
    }
}

fn listener() -> Listener {
    let core = NodeCore::new(Arc::new(NodeConfig::antiphon()), [7; 32]);
    let mut listener = Listener {
        core,
        now: Instant::START,
        asked: Vec::new(),
        canceled: Vec::new(),
    };
    listener.tell(introduce());
    listener.meet(FIRST);
    listener.tell(play());
    listener.tell(sounds());
    listener
}

#[test]
fn a_late_peer_is_let_go_when_a_second_one_agrees_to_send() {
    let mut listener = listener();
    let (late, waited) = listener.served_until_silence();
    listener.meet(SECOND);
    let overlaps = |span: &Span| span.first() < waited.end() && waited.first() < span.end();
    let mut hedged = None;
    for _ in 0..600 {
        listener.wait();
        let asked = core::mem::take(&mut listener.asked);
        hedged = asked
            .into_iter()
            .find(|(_, peer, span)| *peer == SECOND && overlaps(span));
        if hedged.is_some() {
            break;
        }
    }
    let (second, _, hedge) = hedged.expect("a silent peer is hedged");
    assert!(
        hedge.end() < waited.end(),
        "a peer that nobody knows is asked for little"
    );
    assert!(
        !listener.canceled.contains(&late),
        "it may yet be the first"
    );
    listener.fetched(second, FetchEvent::Accepted);
    assert!(listener.canceled.contains(&late));
    assert!(!listener.canceled.contains(&second));
    // Nobody knows yet what the second one can do: with its span it has shown that.
    listener.fetched(second, FetchEvent::Done);
    let mut asked = listener.asked.iter();
    assert!(
        asked.any(|(_, _, span)| span.first() == hedge.end()),
        "what only the late one was asked for is asked of somebody else: {:?}",
        listener.asked
    );
}

/// A wake-up costs a device its sleep: none is left over from a request that has ended.
#[test]
fn nobody_wakes_for_a_request_that_has_ended() {
    let mut listener = listener();
    let (mut served, mut in_vain) = (0, 0);
    for _ in 0..400 {
        let asked = core::mem::take(&mut listener.asked);
        for (fetch, _, span) in asked {
            served += span.count();
            listener.now += Duration::from_millis(40);
            let until = ChunkIndex(span.first().0 + 1);
            listener.fetched(fetch, FetchEvent::Verified { until });
            listener.fetched(fetch, FetchEvent::Done);
        }
        if !listener.asked.is_empty() {
            continue;
        }
        let Some(due) = listener.core.poll_timeout() else {
            break;
        };
        listener.now = listener.now.max(due);
        listener.tell(Input::Timeout);
        in_vain += u32::from(listener.asked.is_empty());
    }
    assert!(served > 200, "{served} chunks came");
    assert!(in_vain <= 3, "woken {in_vain} times for nothing");
}
