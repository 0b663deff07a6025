//! Where the playhead is, and when it will need a chunk.
//!
//! Not here: who delivers it.

use antiphon_protocol::{BitRate, ByteCount, CHUNK_BYTES, ChunkIndex, MediaTime};

use crate::key::{PlayId, RenditionKey};
use crate::node::input::RenditionSpec;
use crate::time::{Duration, Instant};

/// By less than this the same moment differs when it is computed from another one: the time of some bytes of music. Guess.
const ROUNDING: Duration = Duration::from_millis(10);

/// The current play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Playback {
    pub(crate) play: PlayId,
    pub(crate) rendition: RenditionKey,
    rate: BitRate,
    /// The chunk after the last.
    end: ChunkIndex,
    /// Byte the playhead was at...
    byte: u64,
    /// ... at this moment.
    at: Instant,
    pub(crate) playing: bool,
    /// When the play, or the last seek, began.
    pub(crate) began: Instant,
    /// Whether sound has come out since.
    pub(crate) started: bool,
    /// Whether 5 s were buffered since, or all is here: from then on the full ladder holds.
    pub(crate) settled: bool,
    /// Whether the tracker named the rendition's holders since, be it none.
    pub(crate) holders_told: bool,
    /// Whether [`crate::node::output::Event::Starved`] was said.
    pub(crate) starved: bool,
    /// Since when the next chunk needed is missing without any progress; the last moment there is if
    /// it is here.
    pub(crate) dry_since: Instant,
    /// Since when there is no peer to ask for some of what may be asked for; the same.
    pub(crate) lacking_since: Instant,
    /// Music heard in this play.
    heard: Duration,
    /// Before this the playhead cannot be where something is missing.
    free_until: Instant,
}

impl Playback {
    pub(crate) fn new(
        now: Instant,
        play: PlayId,
        rendition: RenditionKey,
        from: ChunkIndex,
        spec: RenditionSpec,
    ) -> Self {
        Self {
            play,
            rendition,
            rate: BitRate(spec.bit_rate.0.max(1)),
            end: ChunkIndex(spec.geometry.chunk_count()),
            byte: from.byte_offset(),
            at: now,
            playing: false,
            began: now,
            started: false,
            settled: false,
            holders_told: false,
            starved: false,
            dry_since: Instant::MAX,
            lacking_since: Instant::MAX,
            heard: Duration::ZERO,
            free_until: Instant::START,
        }
    }

    /// The player reports.
    pub(crate) fn report(&mut self, now: Instant, chunk: ChunkIndex, playing: bool) {
        self.note_heard(now);
        // Within the same chunk the extrapolated position is better than its start.
        if self.chunk(now) != chunk {
            self.byte = chunk.byte_offset();
        } else {
            self.byte = self.byte_at(now);
        }
        self.at = now;
        self.playing = playing;
        self.started |= playing;
        self.free_until = Instant::START;
    }

    /// The player jumped: as a new start.
    pub(crate) fn seek(&mut self, now: Instant, to: ChunkIndex) {
        self.note_heard(now);
        self.byte = to.byte_offset();
        self.at = now;
        self.began = now;
        self.started = false;
        self.settled = false;
        self.playing = false;
        self.dry_since = Instant::MAX;
        self.free_until = Instant::START;
    }

    /// The player cannot pass chunks that are missing: `wall` is the first, if there is one.
    pub(crate) fn stop_at(&mut self, now: Instant, wall: Option<ChunkIndex>) {
        let Some(wall) = wall else {
            self.free_until = Instant::MAX;
            return;
        };
        if self.byte_at(now) > wall.byte_offset() {
            self.note_heard(now);
            self.byte = wall.byte_offset().max(self.byte);
            self.at = now;
        }
        self.free_until = now + self.until(now, wall);
    }

    /// Whether the playhead may by now be where something was missing when last looked at.
    pub(crate) fn may_be_held(&self, now: Instant) -> bool {
        self.playing && now >= self.free_until
    }

    /// So much music is there ahead of the playhead without a gap.
    pub(crate) fn note_ahead(&mut self, now: Instant, music: Duration) {
        if self.playing {
            self.free_until = now + music;
        }
    }

    /// Whether the playhead is farther than `time` from where something is missing, as was seen before without a
    /// look at what is there now: it can only have become more. False if that is not known.
    pub(crate) fn is_surely_ahead(&self, now: Instant, time: Duration) -> bool {
        self.playing && now + time + ROUNDING <= self.free_until
    }

    /// Something that was here is gone.
    pub(crate) const fn note_loss(&mut self) {
        self.free_until = Instant::START;
    }

    /// The chunk that was being read when last known for sure.
    pub(crate) const fn known_chunk(&self) -> ChunkIndex {
        ChunkIndex::of_byte(self.byte)
    }

    /// How fast it plays.
    pub(crate) const fn bit_rate(&self) -> BitRate {
        self.rate
    }

    /// The chunk being read.
    pub(crate) fn chunk(&self, now: Instant) -> ChunkIndex {
        ChunkIndex::of_byte(self.byte_at(now))
    }

    /// How long until the playhead reaches `chunk` while it plays on; zero if it is there.
    pub(crate) fn until(&self, now: Instant, chunk: ChunkIndex) -> Duration {
        let ahead = chunk.byte_offset().saturating_sub(self.byte_at(now));
        Duration::from_micros(self.rate.time_of(ByteCount(ahead)).0)
    }

    /// How long the rest of it lasts while it plays on.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        self.until(now, self.end)
    }

    /// Music heard in this play so far.
    pub(crate) fn heard(&self, now: Instant) -> Duration {
        let since = if self.playing {
            now.since(self.at)
        } else {
            Duration::ZERO
        };
        self.heard.saturating_add(since)
    }

    /// Chunks that play in `time`, at least one.
    pub(crate) fn chunks_in(&self, time: Duration) -> u32 {
        let bytes = self.rate.bytes_in(MediaTime(time.as_micros())).0;
        let chunks = bytes.div_ceil(CHUNK_BYTES).max(1);
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }

    fn byte_at(&self, now: Instant) -> u64 {
        if !self.playing {
            return self.byte;
        }
        let played = self
            .rate
            .bytes_in(MediaTime(now.since(self.at).as_micros()));
        self.byte.saturating_add(played.0)
    }

    fn note_heard(&mut self, now: Instant) {
        self.heard = self.heard(now);
    }
}

#[cfg(test)]
mod tests {
    use antiphon_protocol::Geometry;

    use super::*;

    fn play() -> Playback {
        // 131,072 bit/s play one chunk a second.
        let spec = RenditionSpec {
            geometry: Geometry::new(ByteCount(100 * CHUNK_BYTES)).expect("legal"),
            bit_rate: BitRate(131_072),
        };
        let (play, rendition) = (PlayId(1), RenditionKey(1));
        Playback::new(Instant::START, play, rendition, ChunkIndex(0), spec)
    }

    #[test]
    fn deadlines_stand_still_until_sound_and_while_paused() {
        let mut play = play();
        let at = |s| Instant::START + Duration::from_secs(s);
        assert_eq!(play.until(at(9), ChunkIndex(5)), Duration::from_secs(5));
        play.report(at(9), ChunkIndex(0), true);
        assert_eq!(play.until(at(11), ChunkIndex(5)), Duration::from_secs(3));
        assert_eq!(play.chunk(at(11)), ChunkIndex(2));
        play.report(at(11), ChunkIndex(2), false);
        assert_eq!(play.until(at(99), ChunkIndex(5)), Duration::from_secs(3));
        assert_eq!(play.heard(at(99)), Duration::from_secs(2));
    }

    #[test]
    fn what_is_surely_ahead_is_ahead_and_known_only_while_nothing_else_is_said() {
        let mut play = play();
        let at = |millis| Instant::START + Duration::from_millis(millis);
        let (five, twenty) = (Duration::from_secs(5), ChunkIndex(20));
        assert!(!play.is_surely_ahead(at(0), Duration::ZERO));
        play.report(at(0), ChunkIndex(0), true);
        play.note_ahead(at(777), play.until(at(777), twenty));
        for now in (777..20_000).step_by(333).map(at) {
            let sure = play.is_surely_ahead(now, five);
            assert_eq!(sure, now < at(14_990), "{now:?}");
            assert!(!sure || play.until(now, twenty) >= five);
        }
        let sure = |play: &Playback| play.is_surely_ahead(at(1_000), five);
        let mut other = play;
        other.note_loss();
        assert!(sure(&play) && !sure(&other));
        other = play;
        other.seek(at(1_000), ChunkIndex(3));
        assert!(!sure(&other));
        play.report(at(1_000), ChunkIndex(1), true);
        assert!(!sure(&play));
    }

    #[test]
    fn the_playhead_waits_before_missing_chunks() {
        let mut play = play();
        let at = |s| Instant::START + Duration::from_secs(s);
        play.report(at(0), ChunkIndex(0), true);
        play.stop_at(at(10), Some(ChunkIndex(4)));
        assert_eq!(play.chunk(at(10)), ChunkIndex(4));
        assert_eq!(play.until(at(10), ChunkIndex(6)), Duration::from_secs(2));
    }
}
