//! A modelled player: sound begins when setup and first audio are there, and stops where data is
//! missing. No decoder runs.

use antiphon_protocol::ChunkIndex;
use antiphon_swarm::Input;
use antiphon_swarm::node::input::Command;

use crate::explain::story::Moment;
use crate::measure::stall::StallCause;
use crate::measure::tally::PlayRow;
use crate::world::happening::Happening;
use crate::world::seat::Look;
use crate::world::{Chance, World};

/// Music that must be there again before sound goes on after a stall. Guess.
const REBUFFER_MICROS: u64 = 500_000;

/// Where the sound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sound {
    /// None yet, or none since a jump.
    Waiting,
    /// It was, or will be, at `byte` at this moment.
    Sounding { at: u64, byte: u64 },
    /// It ran dry at this moment before this byte.
    Stalled { since: u64, byte: u64 },
}

/// How a play ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Heard to the end, or skipped.
    Heard,
    /// The listener went offline.
    Left,
    /// The run was over.
    Cut,
    /// There was no license to be had.
    Refused,
}

/// The current play.
#[derive(Clone, Copy, Debug)]
pub(super) struct Playing {
    pub(super) track: u32,
    pub(super) number: u32,
    asked: u64,
    expected: bool,
    cached: bool,
    /// The player opened it before its turn: it follows without a gap if its data is there.
    opened: bool,
    pub(super) licensed: bool,
    sound: Sound,
    /// Where sound starts or started last.
    from: u64,
    stop_at: u64,
    jump: Option<(u64, u64)>,
    /// What was heard before the last jump.
    heard_before: Option<(u64, u64)>,
    start_latency: Option<u64>,
    stalls: u32,
    stalled_micros: u64,
    /// Why it stalled first.
    cause: Option<StallCause>,
    /// Number of the playhead event that counts.
    turn: u32,
    /// Whether that was planned for where data is missing.
    walled: bool,
}

impl Playing {
    pub(super) const fn new(
        track: u32,
        number: u32,
        asked: u64,
        expected: bool,
        cached: bool,
        (stop_at, jump): (u64, Option<(u64, u64)>),
        opened: bool,
    ) -> Self {
        Self {
            track,
            number,
            asked,
            expected,
            cached,
            opened,
            licensed: false,
            sound: Sound::Waiting,
            from: 0,
            stop_at,
            jump,
            heard_before: None,
            start_latency: None,
            stalls: 0,
            stalled_micros: 0,
            cause: None,
            turn: 0,
            walled: false,
        }
    }
}

impl World {
    fn playing(&self, user: u32) -> Option<Playing> {
        self.node(user).and_then(|online| online.playing)
    }

    fn set_playing(&mut self, user: u32, playing: Playing) {
        if let Some(online) = self.node_mut(user) {
            online.playing = Some(playing);
        }
    }

    /// Whether nothing is heard of a track that plays until more of it is there.
    pub(super) fn waits_for(&self, user: u32, track: u32) -> bool {
        let playing = self.node(user).and_then(|online| online.playing.as_ref());
        let playing = playing.filter(|playing| playing.track == track);
        playing.is_some_and(|playing| !matches!(playing.sound, Sound::Sounding { .. }))
    }

    /// Chunks of a track arrived.
    pub(super) fn data_arrived(&mut self, user: u32, track: u32) {
        let Some(playing) = self.playing(user).filter(|playing| playing.track == track) else {
            return;
        };
        match playing.sound {
            Sound::Waiting => self.try_start(user),
            Sound::Stalled { byte, .. } => self.try_resume(user, byte),
            Sound::Sounding { .. } => self.put_off_look(user, playing),
        }
    }

    /// Starts the sound if license, setup and the first audio are there.
    pub(super) fn try_start(&mut self, user: u32) {
        let Some(mut playing) = self.playing(user) else {
            return;
        };
        let device = self.scenario.device.get(self.person(user).device as usize);
        let Some((decode, buffer)) = device.map(|d| (d.decode.micros(), d.start_buffer.micros()))
        else {
            return;
        };
        let shelf = &self.seats[user as usize].shelf;
        let setup = shelf.first_missing(playing.track, ChunkIndex(0)) != Some(ChunkIndex(0));
        let buffer = if self.player_model.starts_at_once {
            0
        } else {
            buffer
        };
        let audio = self.is_there(user, &playing, playing.from, buffer);
        if !playing.licensed || !setup || !audio || playing.sound != Sound::Waiting {
            return;
        }
        let at = if playing.opened && self.now == playing.asked {
            self.now
        } else if playing.cached {
            self.now + decode + self.disk_time(user, playing.number)
        } else {
            self.now + decode
        };
        playing.start_latency.get_or_insert(at - playing.asked);
        playing.sound = Sound::Sounding {
            at,
            byte: playing.from,
        };
        self.set_playing(user, playing);
        let second = self.second_at(playing.from);
        let after = at - self.now;
        self.watch_player(user, playing.number, Moment::Sound { second, after });
        self.tell_playhead(user, playing.from, true);
        self.plan_playhead(user);
    }

    /// Whether the music from `byte` on is there for so long, or to where it ends.
    fn is_there(&self, user: u32, playing: &Playing, byte: u64, micros: u64) -> bool {
        let chunk = ChunkIndex::of_byte(byte);
        let until = byte + self.music.bytes_in(micros);
        let until = until.min(self.music.size(playing.track) - 1).max(byte);
        let missing = self.seats[user as usize]
            .shelf
            .first_missing(playing.track, chunk);
        missing.is_none_or(|missing| missing > ChunkIndex::of_byte(until))
    }

    fn disk_time(&self, user: u32, play: u32) -> u64 {
        let device = self.scenario.device.get(self.person(user).device as usize);
        let mut draws = self.draws(Chance::Fault, u64::from(user) << 32 | u64::from(play));
        let seconds = device.map_or(0.0, |d| draws.log_normal(d.disk.0, d.disk_sigma));
        (seconds * 1e6) as u64
    }

    /// How often the machine itself froze for longer than what was decoded ahead while `bytes` were
    /// heard, and for how long nothing was heard.
    fn freezes(&self, user: u32, play: u32, bytes: u64) -> (u32, u64) {
        let device = self.scenario.device.get(self.person(user).device as usize);
        let Some(device) = device.filter(|device| device.freezes_per_hour > 0.0) else {
            return (0, 0);
        };
        let mut draws = self.draws(Chance::Freeze, u64::from(user) << 32 | u64::from(play));
        let mean_gap = 3_600e6 / device.freezes_per_hour;
        let heard = self.music.time_of(bytes);
        let (mut at, mut heard_freezes, mut silence) = (0, 0, 0);
        loop {
            at += draws.exponential(mean_gap) as u64 + 1;
            if at >= heard {
                return (heard_freezes, silence);
            }
            let froze = (draws.log_normal(device.freeze.0, device.freeze_sigma) * 1e6) as u64;
            if froze > self.player_model.decoded_ahead {
                heard_freezes += 1;
                silence += froze - self.player_model.decoded_ahead;
            }
        }
    }

    fn try_resume(&mut self, user: u32, byte: u64) {
        let Some(mut playing) = self.playing(user) else {
            return;
        };
        let Sound::Stalled { since, .. } = playing.sound else {
            return;
        };
        if !self.is_there(user, &playing, byte, REBUFFER_MICROS) {
            return;
        }
        playing.stalled_micros += self.now - since;
        playing.sound = Sound::Sounding { at: self.now, byte };
        self.set_playing(user, playing);
        let second = self.second_at(byte);
        self.watch_player(user, playing.number, Moment::Resumed { second });
        self.tell_playhead(user, byte, true);
        self.plan_playhead(user);
    }

    fn tell_playhead(&mut self, user: u32, byte: u64, playing: bool) {
        let chunk = ChunkIndex::of_byte(byte);
        self.hand_in(user, Input::Command(Command::Playhead { chunk, playing }));
    }

    /// The byte before which the sound must stop for want of data.
    fn wall(&self, user: u32, track: u32, byte: u64) -> u64 {
        let missing = self.seats[user as usize]
            .shelf
            .first_missing(track, ChunkIndex::of_byte(byte));
        missing.map_or(u64::MAX, |chunk| chunk.byte_offset().max(byte))
    }

    /// Looks again when the playhead is where data is missing, or where the listener acts. The core
    /// extrapolates in between, as exactly as sound comes here, so reports would tell it nothing.
    fn plan_playhead(&mut self, user: u32) {
        let Some(mut playing) = self.playing(user) else {
            return;
        };
        let Sound::Sounding { at, byte } = playing.sound else {
            return;
        };
        let due = self.next_look(user, &mut playing, at, byte).max(self.now);
        let look = &mut self.seats[user as usize].look;
        let turn = look.turn + 1;
        *look = Look { turn, due };
        playing.turn = turn;
        self.set_playing(user, playing);
        self.queue.push(due, Happening::Playhead { user, turn });
    }

    /// The wall may be farther away: the playhead is there later than was planned.
    fn put_off_look(&mut self, user: u32, mut playing: Playing) {
        let Sound::Sounding { at, byte } = playing.sound else {
            return;
        };
        if !playing.walled {
            return;
        }
        let due = self.next_look(user, &mut playing, at, byte);
        let look = &mut self.seats[user as usize].look;
        look.due = look.due.max(due);
        if !playing.walled {
            self.set_playing(user, playing);
        }
    }

    /// When the playhead, which was at `byte` at the moment `at`, is where data is missing or the listener acts.
    fn next_look(&self, user: u32, playing: &mut Playing, at: u64, byte: u64) -> u64 {
        let wall = self.wall(user, playing.track, byte);
        let acts = playing.jump.map_or(playing.stop_at, |(from, _)| from);
        playing.walled = wall < acts;
        at + self.music.time_of(wall.min(acts).max(byte) - byte)
    }

    /// Whether the playhead is to be looked at, or the event was overtaken or put off.
    pub(super) fn is_looked_at(&self, user: u32, turn: u32, at: u64) -> bool {
        let look = &self.seats[user as usize].look;
        look.turn == turn && look.due <= at
    }

    pub(super) fn playhead(&mut self, user: u32, turn: u32) -> u64 {
        let look = self.seats[user as usize].look;
        if look.turn != turn {
            return 0;
        }
        if look.due > self.now {
            self.queue
                .push(look.due, Happening::Playhead { user, turn });
            return 1;
        }
        self.catch_up(user);
        let Some(mut playing) = self.playing(user) else {
            return 0;
        };
        let Sound::Sounding { at, byte } = playing.sound else {
            return 0;
        };
        if playing.turn != turn {
            return 0;
        }
        // One byte of grace for rounding.
        let now_at = byte + self.music.bytes_in(self.now.saturating_sub(at)) + 1;
        if let Some((from, to)) = playing.jump.filter(|(from, _)| now_at >= *from) {
            playing.heard_before = Some((playing.from, from));
            (playing.jump, playing.from, playing.sound) = (None, to, Sound::Waiting);
            self.set_playing(user, playing);
            let jumped = Moment::Jumped {
                from: self.second_at(from),
                to: self.second_at(to),
            };
            self.watch_player(user, playing.number, jumped);
            self.hurry(user);
            let to = ChunkIndex::of_byte(to);
            self.hand_in(user, Input::Command(Command::Seek { to }));
            self.try_start(user);
            return 2;
        }
        if now_at >= playing.stop_at {
            self.end_play(user, Ending::Heard);
            let to_its_end = playing.stop_at >= self.music.size(playing.track);
            self.next_play(user, to_its_end);
            return 3;
        }
        let wall = self.wall(user, playing.track, byte);
        if now_at < wall {
            self.plan_playhead(user);
            return 4;
        }
        // The cause is looked for in what the node knows and has asked for by now.
        self.decide();
        let cause = self.stall_cause(user, playing.track, wall);
        playing.stalls += 1;
        playing.cause.get_or_insert(cause);
        playing.sound = Sound::Stalled {
            since: self.now,
            byte: wall,
        };
        self.set_playing(user, playing);
        self.hurry(user);
        self.tally.note_stall(self.now, cause);
        let stalled = Moment::Stalled {
            second: self.second_at(wall),
            chunk: ChunkIndex::of_byte(wall).0,
            cause,
        };
        self.watch_player(user, playing.number, stalled);
        self.blame(user, playing.track, wall);
        self.tell_playhead(user, wall, false);
        5
    }

    /// The core sees no source for what plays. The node gives a play up that never sounded.
    pub(super) fn starved(&mut self, user: u32, play: u32) -> u64 {
        let playing = self.playing(user).filter(|playing| playing.number == play);
        if playing.is_none_or(|playing| playing.start_latency.is_some()) {
            return 0;
        }
        self.end_play(user, Ending::Refused);
        self.after_refusal(user);
        1
    }

    /// Counts the play and forgets it. What follows is the caller's matter.
    pub(super) fn end_play(&mut self, user: u32, ending: Ending) {
        self.catch_up(user);
        let now = self.now;
        let Some(playing) = self.node_mut(user).and_then(|online| online.playing.take()) else {
            return;
        };
        let (until, waits) = match playing.sound {
            Sound::Waiting => (playing.from, 0),
            Sound::Stalled { since, byte } => (byte, now - since),
            Sound::Sounding { at, byte } => (byte + self.music.bytes_in(now.saturating_sub(at)), 0),
        };
        let heard = [
            playing.heard_before,
            Some((playing.from, until.min(playing.stop_at).max(playing.from))),
        ];
        let (server, peers, cache) = self.sources(user, playing.track, &heard);
        let (freezes, frozen) = self.freezes(user, playing.number, server + peers + cache);
        let fetched = self.fetched(user, playing.track);
        let ended = Moment::Ended {
            ending,
            second: self.second_at(until),
            heard: [server, peers, cache],
            frozen,
        };
        let hung = (freezes > 0).then_some(StallCause::Machine);
        self.watch_player(user, playing.number, ended);
        if playing.asked >= self.settle {
            let released = playing.track >= self.music.tracks();
            let person = self.person(user);
            let bytes = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            self.tally.note_play(PlayRow {
                user,
                number: playing.number,
                region: person.region,
                access: person.access,
                nat: person.nat,
                track: playing.track,
                released,
                expected: playing.expected,
                cached: playing.cached,
                asked: playing.asked,
                start_latency: playing.start_latency,
                waited: now - playing.asked,
                stalls: playing.stalls + freezes,
                local_stalls: freezes,
                stalled: playing.stalled_micros + waits + frozen,
                cause: playing.cause.or(hung),
                server: bytes(server),
                peers: bytes(peers),
                cache: bytes(cache),
                fetched: bytes(fetched),
                ending,
            });
        }
        self.seats[user as usize].shelf.close(playing.track);
    }

    /// Bytes heard, by where they came from.
    fn sources(&self, user: u32, track: u32, heard: &[Option<(u64, u64)>]) -> (u64, u64, u64) {
        let (mut server, mut peers, mut cache) = (0, 0, 0);
        let part = self.seats[user as usize].shelf.part(track);
        for (from, until) in heard.iter().flatten().copied() {
            let (sent, served) = part.map_or((0, 0), |part| part.fetched(from, until));
            peers += sent;
            server += served;
            cache += until.saturating_sub(from) - sent - served;
        }
        (server, peers, cache)
    }

    /// Bytes of a track fetched since it came into use.
    pub(super) fn fetched(&self, user: u32, track: u32) -> u64 {
        let Some(part) = self.seats[user as usize].shelf.part(track) else {
            return 0;
        };
        let (peers, origin) = part.fetched(0, self.music.size(track));
        peers + origin
    }
}
