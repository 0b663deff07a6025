//! What a connection over TCP keeps in memory, counted.
//!
//! yamux gives every stream a window of 256 KiB and queues frames of each for sending, which is
//! several times what a connection may cost. So reading from the socket stops while too much is
//! unread, whatever stream it is of, and streams take nothing more while too much waits to be sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::MuxLimits;
use super::frames::Frame;

/// Memory of a frame beside its bytes: what it is kept in; generous.
const FRAME_COST: usize = 64;

/// Shared by the socket of a connection and its streams.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: MuxLimits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// When a frame last came.
    heard: Instant,
    /// As many as yamux lets be open.
    streams: BTreeMap<u32, Unread>,
    /// The sum over all streams, and [`lost`](Self::lost).
    unread: usize,
    /// Came for streams that are gone while yamux could not notice that.
    lost: usize,
    /// The socket takes nothing, so yamux waits with everything it does for writing.
    blocked: bool,
    /// Written to streams, but not to the socket.
    unsent: usize,
    /// Waits for less to be unread.
    socket: Option<Waker>,
    /// Wait for less to be unsent; one for each stream at most.
    writers: BTreeMap<u32, Waker>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Unread {
    bytes: usize,
    /// What their frames cost beside them.
    frames: usize,
}

/// A frame no honest node sends.
#[derive(Debug, thiserror::Error)]
#[error("a frame longer than any of ours")]
pub(super) struct TooLong;

impl Ledger {
    pub(super) fn new(limits: MuxLimits) -> Self {
        Self {
            limits,
            state: Mutex::new(State {
                heard: Instant::now(),
                streams: BTreeMap::new(),
                unread: 0,
                lost: 0,
                blocked: false,
                unsent: 0,
                socket: None,
                writers: BTreeMap::new(),
            }),
        }
    }

    /// When a frame last came, for whoever gives up the other side.
    pub(super) fn heard(&self) -> Instant {
        self.state().heard
    }

    /// Bytes unread, and bytes unsent.
    pub(super) fn kept(&self) -> (usize, usize) {
        let state = self.state();
        (state.unread, state.unsent)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when another frame may be read from the socket.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.unread < self.limits.unread_bytes {
            return Poll::Ready(());
        }
        state.socket = Some(context.waker().clone());
        Poll::Pending
    }

    /// We open a stream.
    pub(super) fn opened(&self, stream: u32) {
        self.state().streams.entry(stream).or_default();
    }

    /// A header came. Frames of streams that are gone are dropped by yamux, once it knows.
    pub(super) fn arriving(&self, frame: Frame) -> Result<(), TooLong> {
        if frame.body > self.limits.frame_bytes {
            return Err(TooLong);
        }
        let mut state = self.state();
        state.heard = Instant::now();
        if frame.opens {
            state.streams.entry(frame.stream).or_default();
        }
        if frame.body == 0 {
            return Ok(());
        }
        let cost = frame.body + FRAME_COST;
        if let Some(stream) = state.streams.get_mut(&frame.stream) {
            stream.bytes += frame.body;
            stream.frames += FRAME_COST;
            state.unread += cost;
        } else if state.blocked {
            state.lost += cost;
            state.unread += cost;
        }
        Ok(())
    }

    /// Bytes of a stream were read.
    pub(super) fn read(&self, stream: u32, bytes: usize) {
        let mut state = self.state();
        let Some(unread) = state.streams.get_mut(&stream) else {
            return;
        };
        let read = bytes.min(unread.bytes);
        unread.bytes -= read;
        let mut freed = read;
        if unread.bytes == 0 {
            freed += std::mem::take(&mut unread.frames);
        }
        self.free(&mut state, freed);
    }

    /// A stream is gone, with what it has unread.
    pub(super) fn dropped(&self, stream: u32) {
        let mut state = self.state();
        state.writers.remove(&stream);
        if let Some(unread) = state.streams.remove(&stream) {
            self.free(&mut state, unread.bytes + unread.frames);
        }
    }

    /// How much a stream may write now; waits if nothing.
    pub(super) fn poll_allowance(&self, stream: u32, context: &Context<'_>) -> Poll<usize> {
        let mut state = self.state();
        match self.limits.unsent_bytes.saturating_sub(state.unsent) {
            0 => {
                state.writers.insert(stream, context.waker().clone());
                Poll::Pending
            }
            allowance => Poll::Ready(allowance),
        }
    }

    /// A stream took bytes to send.
    pub(super) fn taken(&self, bytes: usize) {
        self.state().unsent += bytes;
    }

    /// Whether the socket takes nothing more for now.
    pub(super) fn blocked(&self, blocked: bool) {
        let mut state = self.state();
        state.blocked = blocked;
        if !blocked {
            let lost = std::mem::take(&mut state.lost);
            self.free(&mut state, lost);
        }
    }

    /// Bytes of streams went to the socket.
    pub(super) fn sent(&self, bytes: usize) {
        let mut state = self.state();
        state.unsent = state.unsent.saturating_sub(bytes);
        if state.unsent < self.limits.unsent_bytes {
            std::mem::take(&mut state.writers)
                .into_values()
                .for_each(Waker::wake);
        }
    }

    fn free(&self, state: &mut State, bytes: usize) {
        state.unread -= bytes;
        if state.unread < self.limits.unread_bytes
            && let Some(socket) = state.socket.take()
        {
            socket.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: MuxLimits = MuxLimits {
        streams: 24,
        arrived: 8,
        frame_bytes: 16 * 1024,
        unread_bytes: 256 * 1024,
        unsent_bytes: 224 * 1024,
        idle: Duration::from_secs(45),
        ping_look: None,
        linger: Duration::from_secs(1),
    };

    fn data(stream: u32, opens: bool, body: usize) -> Frame {
        Frame {
            stream,
            opens,
            body,
        }
    }

    fn room(ledger: &Ledger) -> bool {
        ledger
            .poll_room(&Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn reading_stops_at_the_limit_over_all_streams_and_goes_on_when_one_is_read_or_dropped() {
        let ledger = Ledger::new(LIMITS);
        let frame = LIMITS.frame_bytes;
        let mut stream = 0;
        while room(&ledger) {
            stream += 2;
            let arrived = ledger.arriving(data(stream, true, frame));
            arrived.expect("a legal frame");
        }
        assert!(ledger.state().unread < LIMITS.unread_bytes + frame + FRAME_COST);
        ledger.read(2, frame);
        assert!(room(&ledger));
        ledger
            .arriving(data(2, false, frame))
            .expect("a legal frame");
        assert!(!room(&ledger));
        ledger.dropped(4);
        assert!(room(&ledger));
        // What comes for a stream that is gone is not kept, as soon as yamux has noticed.
        ledger.blocked(true);
        ledger
            .arriving(data(4, false, frame))
            .expect("a legal frame");
        assert!(!room(&ledger));
        ledger.blocked(false);
        ledger
            .arriving(data(4, false, frame))
            .expect("a legal frame");
        assert!(room(&ledger));
        (0..=stream).for_each(|stream| ledger.dropped(stream));
        assert_eq!(ledger.state().unread, 0);
    }

    #[test]
    fn frames_of_one_byte_count_for_what_they_cost() {
        let ledger = Ledger::new(LIMITS);
        let mut frames = 0;
        while room(&ledger) {
            ledger
                .arriving(data(1, frames == 0, 1))
                .expect("a legal frame");
            frames += 1;
        }
        assert!(frames * FRAME_COST <= LIMITS.unread_bytes);
        ledger.read(1, frames);
        assert_eq!(ledger.state().unread, 0);
    }

    #[test]
    fn a_frame_longer_than_ours_is_refused() {
        let too_long = data(1, true, LIMITS.frame_bytes + 1);
        assert!(Ledger::new(LIMITS).arriving(too_long).is_err());
    }

    #[test]
    fn writing_stops_at_the_limit_until_something_left() {
        let ledger = Ledger::new(LIMITS);
        let context = Context::from_waker(Waker::noop());
        ledger.taken(LIMITS.unsent_bytes);
        assert!(ledger.poll_allowance(1, &context).is_pending());
        ledger.sent(5);
        assert_eq!(ledger.poll_allowance(1, &context), Poll::Ready(5));
    }
}
