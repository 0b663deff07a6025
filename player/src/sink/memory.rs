//! Collects samples in memory as fast as they come: for tests, not for listening.

use std::sync::{Arc, Mutex, PoisonError};

use super::wav::{PullThread, SampleWriter};
use super::{Sink, SinkError, Wake};
use crate::renderer::Renderer;
use crate::source::AudioFormat;

/// A sink that keeps what it gets.
pub struct MemorySink {
    tape: Tape,
    thread: PullThread,
}

/// What a [`MemorySink`] got.
#[derive(Clone, Default)]
pub struct Tape(Arc<Mutex<Recorded>>);

#[derive(Default)]
struct Recorded {
    format: Option<AudioFormat>,
    samples: Vec<f32>,
    samples_max: usize,
}

impl MemorySink {
    /// A sink that keeps up to `samples_max` samples and fails at more.
    #[must_use]
    pub fn new(samples_max: usize) -> (Self, Tape) {
        let tape = Tape::default();
        tape.lock().samples_max = samples_max;
        (
            Self {
                tape: tape.clone(),
                thread: PullThread::default(),
            },
            tape,
        )
    }
}

impl Tape {
    /// Everything recorded so far, interleaved.
    #[must_use]
    pub fn samples(&self) -> Vec<f32> {
        self.lock().samples.clone()
    }

    /// What the samples are, once the sink was started.
    #[must_use]
    pub fn format(&self) -> Option<AudioFormat> {
        self.lock().format
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn start(&mut self, renderer: Renderer, wake: Wake) -> Result<(), SinkError> {
        self.tape.lock().format = Some(renderer.format());
        self.thread
            .start(renderer, wake, Box::new(self.tape.clone()))
    }

    fn notify(&self) {
        self.thread.notify();
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.thread.finish()
    }
}

impl SampleWriter for Tape {
    fn write(&mut self, samples: &[f32]) -> Result<(), SinkError> {
        let mut recorded = self.lock();
        if recorded.samples.len() + samples.len() > recorded.samples_max {
            return Err(SinkError::Thread {
                reason: "the tape in memory is full".to_owned(),
            });
        }
        recorded.samples.extend_from_slice(samples);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
