//! A modelled listener and player: what is pressed, when sound begins and stops, where each heard
//! byte came from. Follows `node/src/driver/playing.rs`; no decoder runs.

use std::collections::BTreeMap;

use antiphon_protocol::tracker::OpenedTrack;
use antiphon_protocol::{ChunkIndex, Geometry};
use antiphon_swarm::node::input::{Command, Expected};
use antiphon_swarm::{PlayId, RenditionKey};

use crate::engine::random::Draws;
use crate::packet::disk::Read;
use crate::packet::happening::Task;
use crate::packet::harness::Harness;
use crate::packet::music::BIT_RATE;
use crate::packet::oracle::Broken;
use crate::packet::profile::Chance;

/// Music that must be there before sound begins: one short decoder block. Guess.
const START_MICROS: u64 = 200_000;
/// And before it goes on after a stall. Guess.
const RESUME_MICROS: u64 = 500_000;
/// Between a play that could not be had and the next try.
const SULK_MICROS: u64 = 3_000_000;
/// What the node tells its core of the next in its queue.
const NEXT_CHANCE_PERMILLE: u16 = 800;

/// Bytes that play in so many microseconds.
pub(crate) const fn bytes_in(micros: u64) -> u64 {
    micros * BIT_RATE.0 as u64 / 8_000_000
}

const fn time_of(bytes: u64) -> u64 {
    bytes * 8_000_000 / BIT_RATE.0 as u64
}

/// Where the sound is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sound {
    Waiting,
    /// It was at `byte` at this moment.
    Sounding {
        at: u64,
        byte: u64,
    },
    /// It waits before this byte.
    Stalled {
        byte: u64,
    },
}

/// Where a chunk came from in this run of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum From {
    #[default]
    Cache,
    Peers,
    Origin,
}

/// The current play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Playing {
    pub(crate) track: usize,
    pub(crate) number: u32,
    pub(crate) asked: u64,
    pub(crate) licensed: bool,
    /// Since when sound could begin: the license came, or the listener jumped.
    pub(crate) waits_from: u64,
    pub(crate) sound: Sound,
    /// Where sound started last.
    from: u64,
    /// Bytes counted as heard so far, from `from` on.
    counted: u64,
    stop_at: u64,
    jump: Option<(u64, u64)>,
    turn: u32,
    pub(crate) sounded: bool,
    /// When 5 s were buffered last.
    pub(crate) deep_at: Option<u64>,
}

/// A listener.
#[derive(Debug, Default)]
pub(crate) struct Player {
    pub(crate) plays: u32,
    pub(crate) current: Option<Playing>,
    /// What will play next, and whether its license is there.
    expected: Option<(usize, bool)>,
    /// Tracks whose license was had. It outlives the schedule.
    leases: Vec<usize>,
    pub(crate) sources: BTreeMap<usize, Vec<From>>,
    turns: u32,
}

impl Player {
    pub(crate) fn process_ended(&mut self) {
        self.current = None;
        self.expected = None;
        self.sources.clear();
    }

    pub(crate) fn note_source(&mut self, track: usize, chunk: ChunkIndex, from_peer: bool) {
        let from = if from_peer { From::Peers } else { From::Origin };
        let sources = self.sources.entry(track).or_default();
        let at = chunk.0 as usize;
        if sources.len() <= at {
            sources.resize(at + 1, From::Cache);
        }
        sources[at] = from;
    }

    pub(crate) fn is_sounding(&self) -> bool {
        self.current
            .is_some_and(|playing| matches!(playing.sound, Sound::Sounding { .. }))
    }

    pub(crate) fn is_expected(&self, track: usize) -> bool {
        self.expected.is_some_and(|(expected, _)| expected == track)
    }
}

impl Harness {
    fn playing(&self, node: u16) -> Option<Playing> {
        self.nodes[usize::from(node)].player.current
    }

    fn set_playing(&mut self, node: u16, playing: Playing) {
        self.nodes[usize::from(node)].player.current = Some(playing);
    }

    fn choice(&self, node: u16, play: u32) -> Draws {
        self.draws(
            Chance::Listener,
            u64::from(node) << 32 | u64::from(play) << 1 | 1,
        )
    }

    /// Presses play on what was expected, or on something else.
    pub(crate) fn next_play(&mut self, node: u16) {
        self.count_heard(node);
        let player = &mut self.nodes[usize::from(node)].player;
        player.plays += 1;
        let number = player.plays;
        let expected = player.expected.take();
        let mut draws = self.choice(node, number);
        let follows = draws.chance(0.6);
        let other = self.choose(&mut draws);
        let track = expected
            .filter(|_| follows)
            .map_or(other, |(track, _)| track);
        let geometry = self.music.tracks[track].geometry;
        let size = geometry.size().0;
        let stop_at = if draws.chance(self.profile.skip) {
            (size as f64 * draws.unit()) as u64 + 1
        } else {
            size
        };
        let seeks = draws.chance(self.profile.seek) && stop_at > 100_000;
        let jump = seeks.then(|| (stop_at / 3, draws.below(stop_at)));
        let licensed = self.nodes[usize::from(node)].player.leases.contains(&track);
        let playing = Playing {
            track,
            number,
            asked: self.now,
            licensed: false,
            waits_from: 0,
            sound: Sound::Waiting,
            from: 0,
            counted: 0,
            stop_at,
            jump,
            turn: 0,
            sounded: false,
            deep_at: None,
        };
        self.set_playing(node, playing);
        self.oracle.plays += 1;
        let Some(rendition) = self.introduce(node, track) else {
            return;
        };
        let play = PlayId(number.into());
        let from = ChunkIndex(0);
        self.command(
            node,
            Command::Play {
                play,
                rendition,
                from,
            },
        );
        if licensed {
            self.licensed(node, number);
        } else {
            self.open_track(node, track, number);
        }
    }

    /// A track by popularity: the first ones are played most.
    fn choose(&self, draws: &mut Draws) -> usize {
        let place = draws.unit();
        (place * place * self.profile.tracks as f64) as usize
    }

    pub(crate) fn introduce(&mut self, node: u16, track: usize) -> Option<RenditionKey> {
        let data = &self.music.tracks[track];
        let (content, spec) = (data.content, data.spec());
        let now = self.now;
        let entry = &mut self.nodes[usize::from(node)];
        entry.disk.open(track, spec.geometry, now);
        let rendition = entry.directory.intern_content(content)?;
        self.command(node, Command::Introduce { rendition, spec });
        Some(rendition)
    }

    /// The tracker opened a track.
    pub(crate) fn take_opened(
        &mut self,
        node: u16,
        (track, play): (usize, u32),
        opened: OpenedTrack,
        names_holders: bool,
    ) {
        let data = &self.music.tracks[track];
        if opened.content != data.content || opened.manifest != data.manifest {
            let text = format!("node {node} was given another track than it asked for");
            return self.break_with(Broken::correctness(self.now, text));
        }
        if let Some(rendition) = self.introduce(node, track) {
            let directory = &mut self.nodes[usize::from(node)].directory;
            directory.name_swarm(rendition, opened.swarm);
            if names_holders {
                self.tell_holders(node, rendition, opened.holders);
            }
        }
        let player = &mut self.nodes[usize::from(node)].player;
        if !player.leases.contains(&track) {
            player.leases.push(track);
        }
        self.opened(node, track, play, true);
    }

    /// The answer to opening a track, for the play of this number or the one after it.
    pub(crate) fn opened(&mut self, node: u16, track: usize, play: u32, good: bool) {
        let life = self.nodes[usize::from(node)].life;
        let task = Task::Opened { track, play, good };
        let happening = crate::packet::happening::Happening::Task { node, life, task };
        self.queue.push(self.now, happening);
    }

    pub(crate) fn on_opened(&mut self, node: u16, track: usize, play: u32, good: bool) {
        let player = &mut self.nodes[usize::from(node)].player;
        if let Some(playing) = player.current
            && playing.number == play
        {
            if good {
                self.licensed(node, play);
            } else if !playing.licensed {
                // No license and no tracker: the play is given up.
                self.give_up(node);
            }
            return;
        }
        if good && player.is_expected(track) {
            player.expected = Some((track, true));
            self.expect(node, track);
        }
    }

    fn expect(&mut self, node: u16, track: usize) {
        let content = self.music.tracks[track].content;
        let directory = &self.nodes[usize::from(node)].directory;
        if let Some(rendition) = directory.rendition_of(content) {
            let chance_permille = NEXT_CHANCE_PERMILLE;
            let next = vec![Expected {
                rendition,
                chance_permille,
            }];
            self.command(node, Command::Expect { next });
        }
    }

    fn licensed(&mut self, node: u16, play: u32) {
        let Some(mut playing) = self.playing(node).filter(|playing| playing.number == play) else {
            return;
        };
        (playing.licensed, playing.waits_from) = (true, self.now);
        self.set_playing(node, playing);
        self.try_start(node);
        self.prepare_next(node, play);
    }

    fn prepare_next(&mut self, node: u16, play: u32) {
        let mut draws = self.draws(
            Chance::Listener,
            u64::from(node) << 32 | u64::from(play) << 1,
        );
        let track = self.choose(&mut draws);
        if self
            .playing(node)
            .is_none_or(|playing| playing.track == track)
        {
            return;
        }
        self.introduce(node, track);
        let player = &mut self.nodes[usize::from(node)].player;
        let leased = player.leases.contains(&track);
        player.expected = Some((track, leased));
        if leased {
            self.expect(node, track);
        } else {
            self.open_track(node, track, play + 1);
        }
    }

    /// Nothing to be had: the listener tries something else a little later.
    fn give_up(&mut self, node: u16) {
        self.count_heard(node);
        let player = &mut self.nodes[usize::from(node)].player;
        (player.current, player.expected) = (None, None);
        self.oracle.given_up += 1;
        self.command(node, Command::Stop);
        self.command(node, Command::Expect { next: Vec::new() });
        self.later(node, SULK_MICROS, Task::NextPlay);
    }

    /// The core sees no source for what plays; a play that never sounded is given up.
    pub(crate) fn starved(&mut self, node: u16, play: PlayId) {
        let life = self.nodes[usize::from(node)].life;
        let task = Task::Starved(play.0 as u32);
        let happening = crate::packet::happening::Happening::Task { node, life, task };
        self.queue.push(self.now, happening);
    }

    pub(crate) fn on_starved(&mut self, node: u16, play: u32) {
        let playing = self.playing(node).filter(|playing| playing.number == play);
        let Some(playing) = playing.filter(|playing| !playing.sounded) else {
            return;
        };
        let healed = self.faults.healed_at;
        if playing.licensed && healed.is_some_and(|healed| playing.asked >= healed) {
            let text = format!("node {node} sees no source for play {play} after all faults ended");
            self.break_with(Broken::liveness(self.now, text));
        }
        self.give_up(node);
    }

    /// Chunks of a track arrived.
    pub(crate) fn data_arrived(&mut self, node: u16, track: usize) {
        let Some(playing) = self.playing(node).filter(|playing| playing.track == track) else {
            return;
        };
        match playing.sound {
            Sound::Waiting => self.try_start(node),
            Sound::Stalled { byte } => self.try_resume(node, byte),
            Sound::Sounding { .. } => {}
        }
    }

    fn try_start(&mut self, node: u16) {
        let Some(playing) = self.playing(node) else {
            return;
        };
        if !playing.licensed || playing.sound != Sound::Waiting {
            return;
        }
        let setup = self.is_there(node, playing.track, 0, 1);
        if setup && self.is_there(node, playing.track, playing.from, START_MICROS) {
            // The decoder reads the setup bytes first.
            if self.read_chunk(node, playing.track, ChunkIndex(0)) {
                self.sound_from(node, playing.from);
            }
        }
    }

    fn try_resume(&mut self, node: u16, byte: u64) {
        let Some(playing) = self.playing(node) else {
            return;
        };
        if self.is_there(node, playing.track, byte, RESUME_MICROS) {
            self.sound_from(node, byte);
        }
    }

    fn sound_from(&mut self, node: u16, byte: u64) {
        let Some(mut playing) = self.playing(node) else {
            return;
        };
        if !self.read_chunk(node, playing.track, ChunkIndex::of_byte(byte)) {
            return;
        }
        playing.sound = Sound::Sounding { at: self.now, byte };
        if !playing.sounded {
            self.oracle.started(self.now - playing.asked);
        }
        playing.sounded = true;
        self.set_playing(node, playing);
        self.tell_playhead(node, byte, true);
        self.plan_playhead(node);
    }

    /// Whether the music from `byte` on is there for so long, or to its end.
    fn is_there(&self, node: u16, track: usize, byte: u64, micros: u64) -> bool {
        let size = self.music.tracks[track].geometry.size().0;
        let until = (byte + bytes_in(micros)).min(size - 1).max(byte);
        self.wall(node, track, byte) > until
    }

    /// The first byte from `byte` on that is missing.
    pub(crate) fn wall(&self, node: u16, track: usize, byte: u64) -> u64 {
        let kept = self.nodes[usize::from(node)].disk.get(track);
        let chunk = ChunkIndex::of_byte(byte);
        match kept.map(|kept| kept.held.first_missing(chunk)) {
            None => byte,
            Some(None) => u64::MAX,
            Some(Some(missing)) => missing.byte_offset().max(byte),
        }
    }

    fn tell_playhead(&mut self, node: u16, byte: u64, playing: bool) {
        let chunk = ChunkIndex::of_byte(byte);
        self.command(node, Command::Playhead { chunk, playing });
    }

    fn plan_playhead(&mut self, node: u16) {
        let Some(mut playing) = self.playing(node) else {
            return;
        };
        let Sound::Sounding { at, byte } = playing.sound else {
            return;
        };
        let now_at = byte + bytes_in(self.now - at);
        let next_chunk = ChunkIndex(ChunkIndex::of_byte(now_at).0 + 1).byte_offset();
        let acts = playing
            .jump
            .map_or(playing.stop_at, |(from, _)| from.min(playing.stop_at));
        let next = next_chunk.min(acts).max(byte);
        let player = &mut self.nodes[usize::from(node)].player;
        player.turns += 1;
        playing.turn = player.turns;
        player.current = Some(playing);
        let when = (at + time_of(next - byte)).max(self.now + 1);
        self.later(node, when - self.now, Task::Playhead(playing.turn));
    }

    pub(crate) fn playhead(&mut self, node: u16, turn: u32) {
        let Some(mut playing) = self.playing(node).filter(|playing| playing.turn == turn) else {
            return;
        };
        let Sound::Sounding { at, byte } = playing.sound else {
            return;
        };
        // One byte of grace for rounding.
        let now_at = byte + bytes_in(self.now - at) + 1;
        if let Some((_, to)) = playing.jump.filter(|(from, _)| now_at >= *from) {
            self.count_heard(node);
            (playing.jump, playing.from, playing.counted) = (None, to, 0);
            (playing.sound, playing.deep_at) = (Sound::Waiting, None);
            playing.waits_from = self.now;
            self.set_playing(node, playing);
            let to = ChunkIndex::of_byte(to);
            self.command(node, Command::Seek { to });
            return self.try_start(node);
        }
        if now_at >= playing.stop_at {
            return self.next_play(node);
        }
        let chunk = ChunkIndex::of_byte(now_at);
        if self.read_chunk(node, playing.track, chunk) {
            self.tell_playhead(node, now_at, true);
            return self.plan_playhead(node);
        }
        let wall = chunk.byte_offset().max(byte);
        self.count_heard(node);
        if let Some(mut playing) = self.playing(node) {
            playing.sound = Sound::Stalled { byte: wall };
            self.set_playing(node, playing);
        }
        self.judge_stall(node);
        self.tell_playhead(node, wall, false);
    }

    /// Counts what was heard since the last time by where it came from.
    pub(crate) fn count_heard(&mut self, node: u16) {
        let Some(mut playing) = self.playing(node) else {
            return;
        };
        let Sound::Sounding { at, byte } = playing.sound else {
            return;
        };
        let until = (byte + bytes_in(self.now - at)).min(playing.stop_at);
        let mut from = playing.from + playing.counted;
        let heard = until.saturating_sub(from);
        let sources = self.nodes[usize::from(node)]
            .player
            .sources
            .get(&playing.track);
        let mut by_source = [0; 3];
        while from < until {
            let chunk = ChunkIndex::of_byte(from);
            let end = ChunkIndex(chunk.0 + 1).byte_offset().min(until);
            let source = sources.and_then(|sources| sources.get(chunk.0 as usize));
            by_source[source.copied().unwrap_or_default() as usize] += end - from;
            from = end;
        }
        self.oracle.heard(node, self.now, heard, by_source);
        playing.counted += heard;
        self.set_playing(node, playing);
    }

    /// Microseconds of music ahead of the sound without a gap that would pass a proof.
    pub(crate) fn buffered(&self, node: u16) -> u64 {
        let Some(playing) = self.playing(node) else {
            return 0;
        };
        let Sound::Sounding { at, byte } = playing.sound else {
            return 0;
        };
        let now_at = byte + bytes_in(self.now - at);
        let geometry: Geometry = self.music.tracks[playing.track].geometry;
        let disk = &self.nodes[usize::from(node)].disk;
        let mut chunk = ChunkIndex::of_byte(now_at);
        // No further than the promise asks: 5 s are seven chunks.
        let most = ChunkIndex(chunk.0 + 8);
        while chunk.0 < geometry.chunk_count() && chunk < most {
            match disk.read(playing.track, chunk) {
                Read::Good | Read::Unproven { rotten: false } => chunk = ChunkIndex(chunk.0 + 1),
                Read::Missing | Read::Unproven { rotten: true } => {
                    return time_of(chunk.byte_offset().saturating_sub(now_at));
                }
            }
        }
        if chunk.0 >= geometry.chunk_count() {
            return u64::MAX;
        }
        time_of(chunk.byte_offset().saturating_sub(now_at))
    }
}
