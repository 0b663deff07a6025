//! Whom to serve: slots, fairness and the upload budget.
//!
//! Nothing is queued: who cannot be served now is told when to ask again. Not here: what is held.

use antiphon_protocol::error_code::ErrorCode;
use antiphon_protocol::peer::Priority;
use antiphon_protocol::{BitRate, CHUNK_BYTES};

use crate::key::{PeerKey, RenditionKey, UploadId};
use crate::limits::{SPAN_CHUNKS_MAX, UPLOAD_WAITERS_MAX, UPLOADS_MAX, UPLOADS_PER_PEER_MAX};
use crate::memory::bring_range;
use crate::time::{Duration, Instant};

/// Wait told when all slots are taken: a fraction of a span's time. Guess.
const BUSY_RETRY: Duration = Duration::from_millis(300);

/// How long a declined peer has precedence over peers that are being served. Guess.
const WAITER_MEMORY: Duration = Duration::from_secs(2);

/// Wait told while uploads are switched off: longer than a song. Guess.
const OFF_RETRY: Duration = Duration::from_secs(600);

/// Wait told while the own playback is short of data. Guess.
const PAUSED_RETRY: Duration = Duration::from_secs(1);

/// Smallest burst: one span of any size must pass, else small budgets would never serve one.
const BURST_MIN: u64 = SPAN_CHUNKS_MAX as u64 * CHUNK_BYTES;

/// An accepted upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload {
    pub(crate) id: UploadId,
    pub(crate) peer: PeerKey,
    pub(crate) rendition: RenditionKey,
    /// Whether that was kept for others when it was asked for.
    pub(crate) placed: bool,
    priority: Priority,
    bytes: u64,
    ending: bool,
}

/// A span asked of us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) id: UploadId,
    pub(crate) peer: PeerKey,
    pub(crate) rendition: RenditionKey,
    pub(crate) priority: Priority,
    pub(crate) bytes: u64,
    pub(crate) placed: bool,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Serve it, after ending another upload if one is named.
    Accept { instead_of: Option<UploadId> },
    /// Not now.
    Decline {
        code: ErrorCode,
        retry_after: Duration,
    },
}

/// Upload slots and budget.
#[derive(Debug)]
pub(crate) struct Uploads {
    active: Vec<Upload>,
    waiters: Vec<(PeerKey, Instant)>,
    rate: BitRate,
    /// Whether uploads are allowed at all.
    allowed: bool,
    tokens: u64,
    refilled: Instant,
}

impl Uploads {
    pub(crate) fn new(rate: BitRate, allowed: bool) -> Self {
        let mut uploads = Self {
            active: Vec::new(),
            waiters: Vec::new(),
            rate,
            allowed,
            tokens: 0,
            refilled: Instant::START,
        };
        uploads.tokens = uploads.burst();
        uploads
    }

    /// Brings near what is served.
    pub(crate) fn bring(&self) {
        bring_range(&self.active, 0, UPLOADS_MAX);
    }

    /// Changes the budget.
    pub(crate) fn set_budget(&mut self, now: Instant, rate: BitRate, allowed: bool) {
        self.refill(now);
        self.rate = rate;
        self.allowed = allowed;
        self.tokens = self.tokens.min(self.burst());
    }

    pub(crate) const fn allowed(&self) -> bool {
        self.allowed && self.rate.0 > 0
    }

    /// Decides on a span that is held. `paused` says the own playback is short of data.
    pub(crate) fn ask(&mut self, now: Instant, asked: Asked, paused: bool) -> Verdict {
        let decline = |code, retry_after| Verdict::Decline { code, retry_after };
        if !self.allowed() {
            return decline(ErrorCode::UPLOADS_PAUSED, OFF_RETRY);
        }
        if self.active.iter().any(|upload| upload.id == asked.id) {
            return decline(ErrorCode::INVALID, BUSY_RETRY);
        }
        if paused {
            return decline(ErrorCode::UPLOADS_PAUSED, PAUSED_RETRY);
        }
        self.waiters
            .retain(|(_, since)| now.since(*since) < WAITER_MEMORY);
        let own = self
            .active
            .iter()
            .filter(|upload| upload.peer == asked.peer)
            .count();
        let others_wait = self.waiters.iter().any(|(peer, _)| *peer != asked.peer);
        let free = UPLOADS_MAX.saturating_sub(self.active.len());
        if own >= UPLOADS_PER_PEER_MAX || own > 0 && others_wait && free <= 1 {
            return decline(ErrorCode::BUSY, BUSY_RETRY);
        }
        self.refill(now);
        if self.tokens < asked.bytes {
            let missing = asked.bytes - self.tokens;
            return decline(ErrorCode::BUSY, time_of(self.rate, missing).max(BUSY_RETRY));
        }
        let mut instead_of = None;
        if free == 0 {
            match self.victim(asked.priority) {
                Some(at) => {
                    self.active[at].ending = true;
                    instead_of = Some(self.active[at].id);
                }
                None => {
                    self.wait(now, asked.peer);
                    return decline(ErrorCode::BUSY, BUSY_RETRY);
                }
            }
        }
        self.waiters.retain(|(peer, _)| *peer != asked.peer);
        self.tokens -= asked.bytes;
        self.active.push(Upload {
            id: asked.id,
            peer: asked.peer,
            rendition: asked.rendition,
            placed: asked.placed,
            priority: asked.priority,
            bytes: asked.bytes,
            ending: false,
        });
        Verdict::Accept { instead_of }
    }

    /// An upload ended; what was not sent goes back into the budget.
    pub(crate) fn ended(&mut self, id: UploadId, sent: u64) -> Option<Upload> {
        let at = self.active.iter().position(|upload| upload.id == id)?;
        let upload = self.active.remove(at);
        let unsent = upload.bytes.saturating_sub(sent);
        self.tokens = self.tokens.saturating_add(unsent).min(self.burst());
        Some(upload)
    }

    /// Marks the uploads `which` picks as ending, and names them.
    pub(crate) fn end(&mut self, which: impl Fn(&Upload) -> bool) -> Vec<UploadId> {
        let mut ended = Vec::new();
        for upload in self.active.iter_mut().filter(|upload| !upload.ending) {
            if which(upload) {
                upload.ending = true;
                ended.push(upload.id);
            }
        }
        ended
    }

    pub(crate) fn active(&self) -> &[Upload] {
        &self.active
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        // One being ended may still be listed beside the one that took its slot.
        let running = self.active.iter().filter(|upload| !upload.ending).count();
        if running > UPLOADS_MAX || self.active.len() > 2 * UPLOADS_MAX {
            return Err(format!("{} uploads at once", self.active.len()));
        }
        if self.tokens > self.burst() || self.waiters.len() > UPLOAD_WAITERS_MAX {
            return Err("the upload budget is out of bounds".to_owned());
        }
        Ok(())
    }

    /// An upload of a clearly less urgent kind that gives its slot up.
    fn victim(&self, priority: Priority) -> Option<usize> {
        if self.active.iter().any(|upload| upload.ending) {
            return None;
        }
        let (at, worst) = self
            .active
            .iter()
            .enumerate()
            .max_by_key(|(_, upload)| upload.priority)?;
        let spare = worst.priority >= Priority::Prefetch && priority < Priority::Prefetch;
        spare.then_some(at)
    }

    fn wait(&mut self, now: Instant, peer: PeerKey) {
        self.waiters.retain(|(waiter, _)| *waiter != peer);
        if self.waiters.len() >= UPLOAD_WAITERS_MAX {
            self.waiters.remove(0);
        }
        self.waiters.push((peer, now));
    }

    fn refill(&mut self, now: Instant) {
        let bits = u128::from(self.rate.0) * u128::from(now.since(self.refilled).as_micros());
        let bytes = u64::try_from(bits / 8_000_000).unwrap_or(u64::MAX);
        if bytes > 0 {
            self.tokens = self.tokens.saturating_add(bytes).min(self.burst());
            self.refilled = now;
        }
    }

    fn burst(&self) -> u64 {
        u64::from(self.rate.0 / 8).max(BURST_MIN)
    }
}

fn time_of(rate: BitRate, bytes: u64) -> Duration {
    Duration::from_micros(rate.time_of(antiphon_protocol::ByteCount(bytes)).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::START;

    fn asked(id: u64, peer: u32, priority: Priority) -> Asked {
        let (id, peer, rendition) = (UploadId(id), PeerKey(peer), RenditionKey(1));
        Asked {
            id,
            peer,
            rendition,
            priority,
            bytes: 65_536,
            placed: false,
        }
    }

    fn accepted(uploads: &mut Uploads, id: u64, peer: u32, priority: Priority) -> bool {
        let verdict = uploads.ask(NOW, asked(id, peer, priority), false);
        matches!(verdict, Verdict::Accept { .. })
    }

    #[test]
    fn four_slots_two_a_peer_and_urgent_before_background() {
        let mut uploads = Uploads::new(BitRate(1_000_000_000), true);
        assert!(accepted(&mut uploads, 1, 1, Priority::Background));
        assert!(accepted(&mut uploads, 2, 1, Priority::Current));
        assert!(
            !accepted(&mut uploads, 3, 1, Priority::Urgent),
            "a third for one peer"
        );
        assert!(accepted(&mut uploads, 4, 2, Priority::Current));
        assert!(accepted(&mut uploads, 5, 3, Priority::Current));
        let urgent = uploads.ask(NOW, asked(6, 4, Priority::Urgent), false);
        assert_eq!(
            urgent,
            Verdict::Accept {
                instead_of: Some(UploadId(1))
            }
        );
        assert!(!accepted(&mut uploads, 7, 5, Priority::Background));
        uploads.check().expect("bounded");
    }

    #[test]
    fn a_waiting_peer_gets_the_next_slot() {
        let mut uploads = Uploads::new(BitRate(1_000_000_000), true);
        for id in 1..=4 {
            assert!(accepted(&mut uploads, id, id as u32, Priority::Current));
        }
        assert!(!accepted(&mut uploads, 5, 9, Priority::Current));
        uploads.ended(UploadId(1), 65_536);
        assert!(
            !accepted(&mut uploads, 6, 2, Priority::Current),
            "another one waits"
        );
        assert!(accepted(&mut uploads, 7, 9, Priority::Current));
    }

    #[test]
    fn the_budget_holds_over_time_and_small_budgets_still_serve_a_span() {
        let mut uploads = Uploads::new(BitRate(80_000), true);
        let big = Asked {
            bytes: BURST_MIN,
            ..asked(1, 1, Priority::Urgent)
        };
        assert!(matches!(
            uploads.ask(NOW, big, false),
            Verdict::Accept { .. }
        ));
        uploads.ended(UploadId(1), BURST_MIN);
        let Verdict::Decline { retry_after, .. } =
            uploads.ask(NOW, asked(2, 1, Priority::Urgent), false)
        else {
            panic!("the budget is spent");
        };
        let later = NOW + retry_after + Duration::from_millis(1);
        let again = uploads.ask(later, asked(2, 1, Priority::Urgent), false);
        assert!(matches!(again, Verdict::Accept { .. }));
    }

    #[test]
    fn unsent_bytes_return_to_the_budget() {
        let mut uploads = Uploads::new(BitRate(8), true);
        let big = Asked {
            bytes: BURST_MIN,
            ..asked(1, 1, Priority::Urgent)
        };
        assert!(matches!(
            uploads.ask(NOW, big, false),
            Verdict::Accept { .. }
        ));
        uploads.ended(UploadId(1), 0);
        assert!(matches!(
            uploads.ask(NOW, big, false),
            Verdict::Accept { .. }
        ));
    }
}
