//! One thread per track that decodes ahead, so that a read that blocks, a decoder that panics or
//! a file that makes no sense stays that track's own trouble.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::decoder::{DecodeError, TrackDecoder};
use crate::event::PlayFailure;
use crate::media::SharedSource;
use crate::sink::Wake;
use crate::source::{AudioFormat, Interrupter, TrackSource, TrackSpec};

/// Blocks decoded ahead of the output's ring. With the usual 1,024 frames a block this is about
/// half a second at 44.1 kHz; more would only ask the source for bytes earlier than needed.
const BLOCKS_MAX: usize = 24;
/// Blocks smaller than this are joined, so that tracks made of tiny packets cost no more; guess.
const BLOCK_FRAMES_MIN: usize = 512;
/// Threads that may exist at once. Those of abandoned tracks stay until their read returns; this
/// many means that sources do not answer interrupts.
const WORKERS_MAX: usize = 32;

/// What a worker delivers, in this order; after a seek it starts again with `Opened`.
pub(crate) enum Delivery {
    Opened(AudioFormat),
    Block { first_frame: u64, samples: Vec<f32> },
    End,
    Failed(PlayFailure),
}

/// A track being decoded. Dropping it abandons the track.
pub(crate) struct Worker {
    control: Arc<Control>,
    deliveries: Receiver<Delivery>,
    interrupter: Option<Interrupter>,
}

struct Control {
    /// Makes a read return: the worker is to look at `wish`.
    given_up: Arc<AtomicBool>,
    wish: Mutex<Wish>,
    changed: Condvar,
}

#[derive(Default)]
struct Wish {
    abandoned: bool,
    /// The thread has left; nobody will take up a wish any more.
    is_gone: bool,
    seek: Option<(u64, SyncSender<Delivery>)>,
}

/// Counts the threads that exist.
#[derive(Clone, Default)]
pub(crate) struct WorkerCount(Arc<AtomicUsize>);

impl Worker {
    pub(crate) fn spawn(
        source: Box<dyn TrackSource>,
        spec: Arc<TrackSpec>,
        start_frame: u64,
        wake: Wake,
        count: &WorkerCount,
    ) -> Result<Self, PlayFailure> {
        let ticket = count.enter()?;
        let interrupter = source.interrupter();
        let (outlet, deliveries) = sync_channel(BLOCKS_MAX);
        let control = Arc::new(Control {
            given_up: Arc::new(AtomicBool::new(false)),
            wish: Mutex::new(Wish::default()),
            changed: Condvar::new(),
        });
        let mut thread = Thread {
            control: Arc::clone(&control),
            outlet,
            wake,
            next: start_frame,
        };
        let body = move || {
            let _ticket = ticket;
            let run = catch_unwind(AssertUnwindSafe(|| thread.run(source, &spec)));
            let failure = match run {
                Ok(Ok(())) => return,
                Ok(Err(error)) => PlayFailure::Decode(error),
                Err(panic) => PlayFailure::Panicked {
                    message: panic_text(panic.as_ref()),
                },
            };
            thread.leave(failure);
        };
        std::thread::Builder::new()
            .name("antiphon-decode".to_owned())
            .spawn(body)
            .map_err(|error| PlayFailure::NoThread {
                reason: error.to_string(),
            })?;
        Ok(Self {
            control,
            deliveries,
            interrupter,
        })
    }

    /// The next delivery, if one is there.
    pub(crate) fn try_next(&self) -> Option<Delivery> {
        match self.deliveries.try_recv() {
            Ok(delivery) => Some(delivery),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Delivery::Failed(PlayFailure::NoThread {
                reason: "this track's decoder has already given up".to_owned(),
            })),
        }
    }

    /// Starts delivering at `frame`; nothing from before comes any more.
    pub(crate) fn seek(&mut self, frame: u64) {
        let (outlet, deliveries) = sync_channel(BLOCKS_MAX);
        self.control.demand(|wish| {
            if !wish.is_gone {
                wish.seek = Some((frame, outlet));
            }
        });
        // The worker may be waiting for room in the old channel; this ends it.
        self.deliveries = deliveries;
        self.interrupt();
    }

    fn interrupt(&self) {
        if let Some(interrupter) = &self.interrupter {
            interrupter();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.control.demand(|wish| wish.abandoned = true);
        self.interrupt();
    }
}

impl Control {
    fn demand(&self, change: impl FnOnce(&mut Wish)) {
        let mut wish = self.lock();
        change(&mut wish);
        self.given_up.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Wish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Thread {
    control: Arc<Control>,
    outlet: SyncSender<Delivery>,
    wake: Wake,
    /// The frame to deliver next, should the decoder have to be opened or moved.
    next: u64,
}

/// What the worker is to do after looking at the wishes.
enum Turn {
    GoOn,
    Seek,
    Leave,
}

impl Thread {
    fn run(&mut self, source: Box<dyn TrackSource>, spec: &TrackSpec) -> Result<(), DecodeError> {
        let source = SharedSource::new(source, Arc::clone(&self.control.given_up));
        let mut decoder = loop {
            if let Turn::Leave = self.look(false) {
                return Ok(());
            }
            match TrackDecoder::open_shared(source.clone(), spec) {
                Err(DecodeError::GivenUp) => {}
                opened => break opened?,
            }
        };
        let mut is_placed = self.next == 0;
        let mut is_announced = false;
        let mut has_ended = false;
        loop {
            match self.look(has_ended) {
                Turn::GoOn => {}
                Turn::Seek => (is_placed, is_announced, has_ended) = (false, false, false),
                Turn::Leave => return Ok(()),
            }
            if !is_announced {
                is_announced = self.deliver(Delivery::Opened(decoder.format()));
                continue;
            }
            let step = if is_placed {
                self.decode_block(&mut decoder)
            } else {
                decoder.seek(self.next).map(|()| {
                    is_placed = true;
                    false
                })
            };
            match step {
                Ok(ended) => has_ended = ended,
                // A seek or the end of this track is wished for; the loop looks.
                Err(DecodeError::GivenUp) => is_placed = false,
                Err(error) => return Err(error),
            }
        }
    }

    /// Decodes and delivers one block; true at the end.
    fn decode_block(&mut self, decoder: &mut TrackDecoder) -> Result<bool, DecodeError> {
        let enough = BLOCK_FRAMES_MIN * usize::from(decoder.format().channels);
        let mut samples = Vec::new();
        let mut first_frame = None;
        let mut ended = false;
        while samples.len() < enough && !ended {
            match decoder.next_block(&mut samples)? {
                Some(first) => first_frame = first_frame.or(Some(first)),
                None => ended = true,
            }
        }
        if let Some(first_frame) = first_frame {
            let frames = (samples.len() / usize::from(decoder.format().channels)) as u64;
            self.next = first_frame + frames;
            self.deliver(Delivery::Block {
                first_frame,
                samples,
            });
        }
        if ended {
            self.deliver(Delivery::End);
        }
        Ok(ended)
    }

    /// Takes up what is wished for; waits for a wish if there is nothing else to do.
    fn look(&mut self, wait: bool) -> Turn {
        let mut wish = self.control.lock();
        loop {
            if wish.abandoned {
                return Turn::Leave;
            }
            if let Some((frame, outlet)) = wish.seek.take() {
                self.control.given_up.store(false, Ordering::Release);
                self.next = frame;
                self.outlet = outlet;
                return Turn::Seek;
            }
            if !wait {
                return Turn::GoOn;
            }
            let waited = self.control.changed.wait(wish);
            wish = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&mut self, failure: PlayFailure) {
        let seek = {
            let mut wish = self.control.lock();
            wish.is_gone = true;
            wish.seek.take()
        };
        if let Some((_, outlet)) = seek {
            self.outlet = outlet;
        }
        self.deliver(Delivery::Failed(failure));
    }

    /// Waits for room. A delivery nobody wants any more is dropped, which is false.
    fn deliver(&self, delivery: Delivery) -> bool {
        let delivered = self.outlet.send(delivery).is_ok();
        (self.wake)();
        delivered
    }
}

impl WorkerCount {
    fn enter(&self) -> Result<WorkerTicket, PlayFailure> {
        let entered = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < WORKERS_MAX).then_some(count + 1)
            });
        match entered {
            Ok(_) => Ok(WorkerTicket(Arc::clone(&self.0))),
            Err(_) => Err(PlayFailure::NoThread {
                reason: format!("{WORKERS_MAX} reads of abandoned tracks have not returned"),
            }),
        }
    }
}

struct WorkerTicket(Arc<AtomicUsize>);

impl Drop for WorkerTicket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
