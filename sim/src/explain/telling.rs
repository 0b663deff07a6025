//! From moments to a story.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_protocol::peer::{Extent, Priority};
use antiphon_protocol::{CHUNK_BYTES, ChunkIndex, Span};
use antiphon_swarm::node::input::{Command, FetchEvent, Message, NeighborEvent, TrackerEvent};
use antiphon_swarm::node::output::{Event, OriginRoute, Source};
use antiphon_swarm::{Input, Output, PeerKey, RenditionKey};

use crate::explain::PlayName;
use crate::explain::story::{Heard, Line, Moment, Request, Stall, Story};
use crate::measure::stall::StallCause;
use crate::world::{Ending, World};

/// Tells a play from what was seen of it.
pub(super) fn tell(
    world: &World,
    seed: u64,
    play: PlayName,
    track: u32,
    moments: Vec<(u64, Moment)>,
) -> Story {
    let pressed = moments
        .iter()
        .find(|(_, moment)| matches!(moment, Moment::Pressed { .. }));
    let asked = pressed.map_or(0, |(at, _)| *at);
    let mut telling = Telling {
        world,
        user: play.user,
        track,
        by_fetch: BTreeMap::new(),
        peers: BTreeSet::new(),
        story: Story {
            seed,
            play: play.to_string(),
            asked_s: asked as f64 / 1e6,
            rank: track + 1,
            length_s: world.length_of(track),
            expected: false,
            cached: false,
            listener: world.who(play.user, play.user),
            peers: Vec::new(),
            start_ms: None,
            stalls: Vec::new(),
            hung_ms: 0.0,
            heard: Heard::default(),
            ending: "",
            verdict: Vec::new(),
            requests: Vec::new(),
            timeline: Vec::new(),
        },
    };
    for (at, moment) in moments {
        let ms = (at as f64 - asked as f64) / 1e3;
        telling.moment(ms, moment);
    }
    let peers = telling.peers.iter();
    telling.story.peers = peers.map(|peer| world.who(play.user, *peer)).collect();
    let mut story = telling.story;
    story.verdict = crate::explain::verdict::verdict(&story);
    story
}

struct Telling<'a> {
    world: &'a World,
    user: u32,
    track: u32,
    /// Requests by the core's number.
    by_fetch: BTreeMap<u64, usize>,
    peers: BTreeSet<u32>,
    story: Story,
}

impl Telling<'_> {
    fn say(&mut self, at_ms: f64, kind: &'static str, text: String) {
        self.story.timeline.push(Line { at_ms, kind, text });
    }

    fn peer(&mut self, peer: PeerKey) -> String {
        self.peers.insert(peer.0);
        let who = self.world.who(self.user, peer.0);
        format!(
            "peer {} ({}, {}, {:.0} ms away)",
            peer.0, who.access, who.nat, who.rtt_ms
        )
    }

    fn moment(&mut self, ms: f64, moment: Moment) {
        match moment {
            Moment::Input(input) => self.input(ms, input),
            Moment::Output(output) => self.output(ms, output),
            player => self.player(ms, &player),
        }
    }

    fn player(&mut self, ms: f64, moment: &Moment) {
        let text = match moment {
            Moment::Pressed {
                expected, cached, ..
            } => {
                self.story.expected = *expected;
                self.story.cached = *cached;
                let how = if *expected {
                    "the expected track begins"
                } else {
                    "play is pressed for a track nobody could expect"
                };
                let held = if *cached {
                    ", all of it in the cache"
                } else {
                    ""
                };
                format!("{how}{held}")
            }
            Moment::Licensed => "the license is there".to_owned(),
            Moment::Sound { second, after } => {
                let begins = ms + *after as f64 / 1e3;
                self.story.start_ms.get_or_insert(begins);
                format!(
                    "setup and audio are there; sound begins at {second:.1} s of music {:.0} ms later: decoding and disk",
                    *after as f64 / 1e3
                )
            }
            Moment::Stalled {
                second,
                chunk,
                cause,
            } => {
                self.stalled(ms, *second, *chunk, *cause);
                format!(
                    "SOUND STOPS at {second:.1} s of music: chunk {chunk} {}",
                    cause.words()
                )
            }
            Moment::Resumed { second } => {
                if let Some(stall) = self.story.stalls.last_mut() {
                    stall.lasted_ms = Some(ms - stall.at_ms);
                }
                format!("sound goes on at {second:.1} s of music")
            }
            Moment::Jumped { from, to } => {
                format!("the listener jumps from {from:.1} s to {to:.1} s of music")
            }
            Moment::Ended {
                ending,
                second,
                heard,
                frozen,
            } => self.ended(*ending, *second, *heard, *frozen),
            Moment::Input(_) | Moment::Output(_) => return,
        };
        self.say(ms, "player", text);
    }

    fn ended(&mut self, ending: Ending, second: f64, heard: [u64; 3], frozen: u64) -> String {
        let [server, peers, cache] = heard;
        self.story.heard = Heard {
            server,
            peers,
            cache,
        };
        self.story.ending = ending.words();
        let ended = format!("the play {}, at {second:.1} s of music", ending.words());
        if frozen == 0 {
            return ended;
        }
        self.story.hung_ms = frozen as f64 / 1e3;
        let hung = time(self.story.hung_ms);
        format!("{ended}; the machine itself had hung for {hung}, which no source could help")
    }

    fn stalled(&mut self, at_ms: f64, second: f64, chunk: u32, cause: StallCause) {
        self.story.stalls.push(Stall {
            at_ms,
            lasted_ms: None,
            second,
            chunk,
            cause: cause.name(),
        });
    }

    fn is_ours(&self, rendition: RenditionKey) -> bool {
        rendition.0 == self.track
    }

    fn output(&mut self, ms: f64, output: Output) {
        match output {
            Output::Fetch {
                fetch,
                source,
                rendition,
                span,
                priority,
                deadline,
            } if self.is_ours(rendition) => {
                let useful_ms = deadline.as_micros() as f64 / 1e3;
                self.asks(ms, fetch.0, source, span, (priority, useful_ms));
            }
            Output::Cancel { fetch } => self.over(ms, fetch.0, "canceled", "is canceled"),
            Output::Lookup { rendition, .. } if self.is_ours(rendition) => {
                self.say(ms, "tracker", "the tracker is asked for holders".to_owned());
            }
            Output::Dial { peer } => {
                let peer = self.peer(peer);
                self.say(ms, "peer", format!("{peer} is dialed"));
            }
            Output::Close { peer, code } => {
                let text = format!("the connection to peer {} is closed: {code}", peer.0);
                self.say(ms, "peer", text);
            }
            Output::Send {
                peer,
                message: Message::Find {
                    rendition, hops, ..
                },
            } if self.is_ours(rendition) => {
                let text = format!("peer {} is asked who has the track ({hops} hops)", peer.0);
                self.say(ms, "peer", text);
            }
            Output::Event(event) => self.event(ms, event),
            _ => {}
        }
    }

    fn event(&mut self, ms: f64, event: Event) {
        let text = match event {
            Event::Starved { .. } => "no source in sight for what the play needs next".to_owned(),
            Event::Fed { .. } => "there is a source again".to_owned(),
            Event::Penalized { peer, offense } => {
                format!("peer {} is penalized: {offense:?}", peer.0).to_lowercase()
            }
            Event::Received { .. } => return,
        };
        self.say(ms, "player", text);
    }

    fn asks(
        &mut self,
        ms: f64,
        fetch: u64,
        source: Source,
        span: Span,
        (priority, useful_ms): (Priority, f64),
    ) {
        let (first, end) = (span.first().0, span.end().0);
        let is_hedge = self
            .story
            .requests
            .iter()
            .any(|other| other.over_ms.is_none() && other.first < end && first < other.end);
        let number = self.story.requests.len() + 1;
        self.by_fetch.insert(fetch, number - 1);
        let (short, long) = match source {
            Source::Peer(peer) => (format!("peer {}", peer.0), self.peer(peer)),
            Source::Origin(OriginRoute::Quic) => ("origin".to_owned(), "the origin".to_owned()),
            Source::Origin(OriginRoute::Http) => {
                let long = "the origin over HTTP".to_owned();
                ("origin over HTTP".to_owned(), long)
            }
        };
        let text = format!(
            "#{number} {} of {long}, {}{}, of use for {}",
            chunks(first, end),
            name(priority),
            if is_hedge { ", as a hedge" } else { "" },
            time(useful_ms)
        );
        self.say(ms, "ask", text);
        self.story.requests.push(Request {
            number,
            source: short,
            first,
            end,
            priority: name(priority),
            useful_ms,
            is_hedge,
            asked_ms: ms,
            first_ms: None,
            over_ms: None,
            outcome: "open",
        });
    }

    fn request(&mut self, fetch: u64) -> Option<&mut Request> {
        let at = self.by_fetch.get(&fetch)?;
        self.story.requests.get_mut(*at)
    }

    fn over(&mut self, ms: f64, fetch: u64, outcome: &'static str, words: &str) {
        let Some(request) = self.request(fetch) else {
            return;
        };
        request.over_ms = Some(ms);
        request.outcome = outcome;
        if outcome == "done" {
            request.first_ms.get_or_insert(ms);
        }
        let text = format!(
            "#{} {words}, {} after it was asked of {}",
            request.number,
            time(ms - request.asked_ms),
            request.source
        );
        self.say(ms, "answer", text);
    }

    fn input(&mut self, ms: f64, input: Input) {
        match input {
            Input::Fetch { fetch, event } => self.answer(ms, fetch.0, event),
            Input::Neighbor { peer, event } => self.neighbor(ms, peer, event),
            Input::Message { peer, message } => self.message(ms, peer, message),
            Input::Tracker(event) => self.tracker(ms, event),
            Input::Command(Command::Expect { next }) => {
                let ours = next
                    .iter()
                    .find(|expected| self.is_ours(expected.rendition));
                if let Some(ours) = ours {
                    let chance = ours.chance_permille / 10;
                    let text = format!("the track is expected to follow, with {chance} %");
                    self.say(ms, "player", text);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, ms: f64, fetch: u64, event: FetchEvent) {
        match event {
            FetchEvent::Accepted => {
                if let Some(request) = self.request(fetch) {
                    let text = format!("#{} is accepted by {}", request.number, request.source);
                    self.say(ms, "answer", text);
                }
            }
            FetchEvent::Verified { until } => self.verified(ms, fetch, until),
            FetchEvent::Arrived { until, .. } => {
                let request = self.request(fetch);
                if request.is_some_and(|request| until.0 >= request.end) {
                    self.over(ms, fetch, "done", "is there");
                }
            }
            FetchEvent::Done => self.over(ms, fetch, "done", "is there"),
            FetchEvent::Declined { code, retry_after } => {
                let again = retry_after.as_micros() as f64 / 1e3;
                let words = format!("is declined: {code}, again in {}", time(again));
                self.over(ms, fetch, "declined", &words);
            }
            FetchEvent::Corrupt => self.over(ms, fetch, "corrupt", "is not what it should be"),
            FetchEvent::Failed => self.over(ms, fetch, "failed", "fails"),
        }
    }

    /// Only the first chunk gets a line; the others show in when the span is over.
    fn verified(&mut self, ms: f64, fetch: u64, until: ChunkIndex) {
        let Some(request) = self.request(fetch).filter(|r| r.first_ms.is_none()) else {
            return;
        };
        request.first_ms = Some(ms);
        let text = format!(
            "#{} begins to arrive, {} after it was asked: {}",
            request.number,
            time(ms - request.asked_ms),
            chunks(request.first, until.0)
        );
        self.say(ms, "answer", text);
    }

    fn neighbor(&mut self, ms: f64, peer: PeerKey, event: NeighborEvent) {
        let text = match event {
            NeighborEvent::Connected { outbound, .. } => {
                let who = self.peer(peer);
                let how = if outbound {
                    "is connected"
                } else {
                    "connected to us"
                };
                format!("{who} {how}")
            }
            NeighborEvent::DialFailed => format!("the dial to peer {} failed", peer.0),
            NeighborEvent::Disconnected { code: Some(code) } => {
                format!("peer {} is gone: {code}", peer.0)
            }
            NeighborEvent::Disconnected { code: None } => {
                format!("peer {} is gone without a word", peer.0)
            }
            NeighborEvent::Misbehaved => format!("peer {} misbehaved", peer.0),
            NeighborEvent::Rtt(_) => return,
        };
        self.say(ms, "peer", text);
    }

    fn message(&mut self, ms: f64, peer: PeerKey, message: Message) {
        let text = match message {
            Message::Have { holdings } => {
                let ours = holdings.iter().find(|(key, _)| self.is_ours(*key));
                let Some((_, extent)) = ours else { return };
                let what = match extent {
                    Extent::Full => "has all of the track",
                    Extent::Partial(_) => "has some of the track",
                    Extent::Gone => "has nothing of the track any more",
                };
                format!("peer {} {what}", peer.0)
            }
            Message::Found {
                rendition, holders, ..
            } if self.is_ours(rendition) => {
                format!("peer {} knows of {} holders", peer.0, holders.len())
            }
            _ => return,
        };
        self.say(ms, "peer", text);
    }

    fn tracker(&mut self, ms: f64, event: TrackerEvent) {
        let text = match event {
            TrackerEvent::Holders { rendition, holders } if self.is_ours(rendition) => {
                if holders.is_empty() {
                    "the tracker knows no holder".to_owned()
                } else {
                    let full = holders.iter().filter(|(_, full)| *full).count();
                    let names: Vec<String> = holders
                        .iter()
                        .take(8)
                        .map(|(peer, _)| peer.0.to_string())
                        .collect();
                    let more = if holders.len() > 8 { ", ..." } else { "" };
                    format!(
                        "the tracker names {} holders, {full} of them of the whole track: peers {}{more}",
                        holders.len(),
                        names.join(", ")
                    )
                }
            }
            TrackerEvent::Unreachable => "the tracker cannot be reached".to_owned(),
            TrackerEvent::Reachable => "the tracker is reached again".to_owned(),
            _ => return,
        };
        self.say(ms, "tracker", text);
    }
}

const fn name(priority: Priority) -> &'static str {
    match priority {
        Priority::Urgent => "urgent",
        Priority::Current => "current",
        Priority::Prefetch => "prefetch",
        Priority::Background => "background",
    }
}

fn chunks(first: u32, end: u32) -> String {
    let kib = u64::from(end - first) * CHUNK_BYTES / 1_024;
    if end == first + 1 {
        format!("chunk {first} ({kib} KiB)")
    } else {
        format!("chunks {first} to {} ({kib} KiB)", end - 1)
    }
}

/// Milliseconds as a person reads them.
pub(super) fn time(ms: f64) -> String {
    if ms.abs() >= 1e4 {
        format!("{:.1} s", ms / 1e3)
    } else {
        format!("{ms:.0} ms")
    }
}
