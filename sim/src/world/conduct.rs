//! What people do who do not behave. All of it is done by the shell, before the own core hears of
//! it; honest nodes see it only in how their peers act.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::{Extent, Priority};
use antiphon_swarm::limits::{ANNOUNCES_PER_REQUEST_MAX, HOLDERS_PER_ANSWER_MAX};
use antiphon_swarm::node::input::{FetchEvent, Message};
use antiphon_swarm::node::output::{Offense, Source};
use antiphon_swarm::{Duration, PeerKey, RenditionKey};

use crate::engine::random::Draws;
use crate::scenario::{Behavior, Conduct, Scenario};
use crate::world::happening::{Deferred, Happening};
use crate::world::people::Person;
use crate::world::transfers::Transfer;
use crate::world::{Chance, World};

/// The conduct of who behaves.
pub(super) const HONEST: u8 = u8::MAX;

/// How often claims are repeated: below the time after which the tracker forgets them.
const CLAIM_AGAIN: u64 = 1_200_000_000;

/// How often an attacker connects to one more node. Guess.
const INTRUDE_AGAIN: u64 = 5_000_000;

/// What a decliner says: the wait an honest node names whose slots are taken.
const BUSY_RETRY: Duration = Duration::from_millis(300);

/// What a liar says: the wait an honest node names for what it does not hold.
const NOT_HELD_RETRY: Duration = Duration::from_secs(30);

/// Which behavior somebody has: a draw of its own, so that the same people live in a world of
/// honest ones.
pub(super) fn draw(scenario: &Scenario, seed: u64, user: u32) -> u8 {
    if scenario.behavior.is_empty() {
        return HONEST;
    }
    let shares = scenario.behavior.iter().map(|behavior| behavior.share.0);
    let honest = 1.0 - shares.clone().sum::<f64>();
    let weights = shares.chain(core::iter::once(honest.max(0.0)));
    let mut draws = Draws::of(seed, Chance::Conduct as u64, u64::from(user));
    let at = draws.weighted(weights);
    if at == scenario.behavior.len() {
        HONEST
    } else {
        at as u8
    }
}

/// Whether somebody of this conduct says to upload.
pub(super) fn uploads(scenario: &Scenario, conduct: u8) -> bool {
    let behavior = scenario.behavior.get(conduct as usize);
    behavior.is_none_or(|behavior| behavior.kind != Conduct::Freerider)
}

/// Everybody of each behavior.
pub(super) fn accomplices(scenario: &Scenario, people: &[Person]) -> Vec<Vec<u32>> {
    let mut all = vec![Vec::new(); scenario.behavior.len()];
    for (user, person) in people.iter().enumerate() {
        if let Some(list) = all.get_mut(person.conduct as usize) {
            list.push(user as u32);
        }
    }
    all
}

impl World {
    fn behavior(&self, user: u32) -> Option<&Behavior> {
        if self.scenario.behavior.is_empty() {
            // Nobody's row has to be looked at.
            return None;
        }
        let conduct = self.person(user).conduct;
        self.scenario.behavior.get(conduct as usize)
    }

    fn conduct(&self, user: u32) -> Option<Conduct> {
        self.behavior(user).map(|behavior| behavior.kind)
    }

    pub(super) fn is_bad(&self, source: Source) -> bool {
        matches!(source, Source::Peer(peer) if self.conduct(peer.0).is_some())
    }

    /// Whether somebody ever plays anything.
    pub(super) fn listens(&self, user: u32) -> bool {
        self.conduct(user) != Some(Conduct::Eclipse)
    }

    /// The network prefix the tracker sees somebody come from.
    pub(super) fn prefix(&self, user: u32) -> u32 {
        match self.behavior(user) {
            Some(behavior) if behavior.kind == Conduct::Eclipse => {
                // Beside those of honest people.
                u32::MAX - user % behavior.prefixes.max(1)
            }
            _ => user,
        }
    }

    /// Somebody is online: claims are made, attacks begin. True if they do not listen.
    pub(super) fn begin_mischief(&mut self, user: u32) -> bool {
        let Some(behavior) = self.behavior(user).copied() else {
            return false;
        };
        let attacks = behavior.kind == Conduct::Eclipse;
        if let (Some(session), true) = (self.session(user), attacks || behavior.claims > 0) {
            if let Some(online) = self.node_mut(user) {
                online.is_program = attacks;
            }
            self.claim(user, session, behavior.claims);
            let again = if attacks { INTRUDE_AGAIN } else { CLAIM_AGAIN };
            self.after(again, Happening::Mischief { user, session });
        }
        attacks
    }

    /// Repeats what misbehaving nodes do by themselves.
    pub(super) fn mischief(&mut self, user: u32, session: u32) -> u64 {
        let Some(behavior) = self.behavior(user).copied() else {
            return 0;
        };
        if self.session(user) != Some(session) {
            return 0;
        }
        if behavior.kind != Conduct::Eclipse {
            self.claim(user, session, behavior.claims);
            self.after(CLAIM_AGAIN, Happening::Mischief { user, session });
            return 1;
        }
        let mut draws = self.draws(Chance::Conduct, u64::from(user) << 32 ^ self.now);
        let victim = draws.below(self.seats.len() as u64) as u32;
        let honest = self.conduct(victim).is_none() && self.session(victim).is_some();
        if honest && !self.is_connected(user, victim) {
            self.tally.harm.intrusions += 1;
            self.dial(user, victim);
        }
        if draws.below(CLAIM_AGAIN / INTRUDE_AGAIN) == 0 {
            self.claim(user, session, behavior.claims);
        }
        self.after(INTRUDE_AGAIN, Happening::Mischief { user, session });
        2
    }

    /// Tells the tracker of copies that are not there.
    fn claim(&mut self, node: u32, session: u32, claims: u32) {
        let tracks: Vec<u32> = (0..claims.min(self.music.tracks())).collect();
        for batch in tracks.chunks(ANNOUNCES_PER_REQUEST_MAX) {
            let claimed = batch
                .iter()
                .map(|track| (RenditionKey(*track), Extent::Full));
            let entries = claimed.collect();
            let delay = self.reach_tracker(node);
            let announce = Deferred::Announce {
                node,
                session,
                entries,
            };
            self.defer(delay, announce);
        }
    }

    /// A span is asked of `holder`. True if it was dealt with here.
    pub(super) fn mistreat(&mut self, id: u32, holder: u32) -> bool {
        let Some(behavior) = self.behavior(holder).copied() else {
            return false;
        };
        let transfer = *self.transfers.of(id);
        let entity = u64::from(holder) << 32 ^ u64::from(transfer.to) << 16 ^ transfer.fetch.0;
        let bad = self
            .draws(Chance::Conduct, entity)
            .chance(behavior.chance.0);
        if behavior.kind == Conduct::Freerider || !bad {
            return false;
        }
        self.tally.harm.mistreated += 1;
        let decline = |code, retry_after| FetchEvent::Declined { code, retry_after };
        match behavior.kind {
            Conduct::Freerider => {}
            Conduct::Decliner => {
                self.tally.declines += 1;
                self.fail(id, decline(ErrorCode::BUSY, BUSY_RETRY));
            }
            Conduct::Liar => {
                self.tally.declines += 1;
                self.fail(id, decline(ErrorCode::NOT_HELD, NOT_HELD_RETRY));
            }
            Conduct::Polluter | Conduct::Slow | Conduct::Staller | Conduct::Eclipse => {
                if transfer.priority == Priority::Urgent {
                    self.tell(&transfer, FetchEvent::Accepted);
                }
                self.transfers.of(id).conduct = Some(behavior.kind);
                if behavior.kind != Conduct::Eclipse {
                    self.begin(id);
                }
            }
        }
        true
    }

    /// The rate a source does not go beyond by its own will.
    pub(super) fn held_back(&self, transfer: &Transfer) -> f64 {
        match (transfer.conduct, transfer.source) {
            (Some(Conduct::Slow), Source::Peer(peer)) => self
                .behavior(peer.0)
                .map_or(f64::INFINITY, |behavior| behavior.rate.bytes()),
            _ => f64::INFINITY,
        }
    }

    /// A chunk arrived that is not of the rendition: the receiver notices and ends the span.
    pub(super) fn spoiled(&mut self, id: u32) {
        let transfer = *self.transfers.of(id);
        self.tally.harm.corrupt_chunks += 1;
        self.stop_flow(id);
        self.forget(id);
        let (fetch, event) = (transfer.fetch, FetchEvent::Corrupt);
        self.feed(transfer.to, antiphon_swarm::Input::Fetch { fetch, event });
    }

    pub(super) fn note_bad_bytes(&mut self, sender: u32, bytes: u64) {
        if self.conduct(sender).is_some() {
            self.tally.harm.sent += bytes;
        }
    }

    pub(super) fn note_good_of_bad(&mut self, source: Source, bytes: u64) {
        if self.is_bad(source) {
            self.tally.harm.useful += bytes;
        }
    }

    pub(super) fn penalized(&mut self, peer: u32, offense: Offense) {
        let bad = self.conduct(peer).is_some();
        self.tally.harm.note_penalty(bad, offense);
    }

    /// The sound has stopped: is what is missing on its way from somebody who misbehaves?
    pub(super) fn blame(&mut self, user: u32, track: u32, byte: u64) {
        let chunk = antiphon_protocol::ChunkIndex::of_byte(byte);
        let incoming = self.incoming(user);
        let guilty = incoming
            .filter_map(|id| self.transfers.peek(id))
            .any(|transfer| {
                transfer.track == track
                    && transfer.conduct.is_some()
                    && transfer.span.chunks().any(|other| other == chunk)
            });
        self.tally.harm.stalls += u64::from(guilty);
    }

    /// What a node that misbehaves answers by itself. True if its core is not to hear of it.
    pub(super) fn answer_falsely(&mut self, from: u32, to: u32, message: &Message) -> bool {
        let Some(behavior) = self.behavior(to).copied() else {
            return false;
        };
        let attacks = behavior.kind == Conduct::Eclipse;
        match message {
            Message::Interest { renditions } if attacks || behavior.claims > 0 => {
                let all = renditions
                    .iter()
                    .map(|rendition| (*rendition, Extent::Full));
                let holdings: Vec<_> = all.collect();
                if !holdings.is_empty() {
                    self.send(to, from, Message::Have { holdings });
                }
            }
            Message::Find {
                query, rendition, ..
            } if attacks => {
                let holders = self.some_accomplices(to, query.0);
                let found = Message::Found {
                    query: *query,
                    rendition: *rendition,
                    holders,
                };
                self.send(to, from, found);
            }
            _ => {}
        }
        attacks
    }

    /// As many as an answer may name, itself first.
    fn some_accomplices(&self, user: u32, query: u64) -> Vec<PeerKey> {
        let conduct = self.person(user).conduct as usize;
        let ring = self.accomplices.get(conduct).map_or(&[][..], Vec::as_slice);
        let mut draws = self.draws(Chance::Conduct, query);
        let mut holders = vec![PeerKey::OURSELVES];
        for _ in 1..HOLDERS_PER_ANSWER_MAX {
            let at = draws.below(ring.len() as u64) as usize;
            if let Some(other) = ring.get(at).copied()
                && other != user
                && !holders.contains(&PeerKey(other))
            {
                holders.push(PeerKey(other));
            }
        }
        holders
    }
}
