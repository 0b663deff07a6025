//! Takes samples at the pace of the clock, as a sound card does, and notices when they are
//! missing. What it takes goes nowhere, or into a WAV file with the gaps in it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::wav::{PullThread, SampleWriter, WavSamples, WavWriter};
use super::{Sink, SinkError, Wake};
use crate::renderer::Renderer;
use crate::source::{AudioFormat, duration_to_frames, frames_to_duration};

/// How much is taken at once: a common period of sound cards.
const PERIOD: Duration = Duration::from_millis(10);
/// A thread that wakes later than this lost time the scheduler took, not the music's fault; the
/// clock then starts anew instead of counting a stall. Three periods, as sound cards often have.
const LATE_MAX: Duration = Duration::from_millis(30);
/// An idle sink looks for work this often even if it was not notified. A safety net; guess.
const SLEEP: Duration = Duration::from_millis(200);

/// Plays in real time into nothing, or into a file.
#[derive(Default)]
pub struct NullSink {
    recording: Option<(PathBuf, WavSamples)>,
    thread: PullThread,
}

impl NullSink {
    /// A sink that only takes time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A sink that writes what a listener would have heard from the first sample on.
    #[must_use]
    pub fn recording(path: PathBuf, samples: WavSamples) -> Self {
        Self {
            recording: Some((path, samples)),
            thread: PullThread::default(),
        }
    }
}

impl Sink for NullSink {
    fn start(&mut self, renderer: Renderer, wake: Wake) -> Result<(), SinkError> {
        let format = renderer.format();
        let writer = match &self.recording {
            Some((path, samples)) => Some(WavWriter::create(path.clone(), *samples, format)?),
            None => None,
        };
        let stop = self.thread.stop_flag();
        self.thread
            .spawn("antiphon-null", move || run(renderer, &wake, writer, &stop))
    }

    fn notify(&self) {
        self.thread.notify();
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.thread.finish()
    }
}

/// How many frames are due, by the clock.
struct Pace {
    format: AudioFormat,
    period: u64,
    /// When the clock started, and how many frames were taken since.
    running: Option<(Instant, u64)>,
}

impl Pace {
    fn new(format: AudioFormat) -> Self {
        let period = duration_to_frames(PERIOD, format.rate).max(1);
        Self {
            format,
            period,
            running: None,
        }
    }

    /// Frames to take now: one period ahead of the clock.
    fn due(&mut self, now: Instant) -> u64 {
        let (start, taken) = *self.running.get_or_insert((now, 0));
        let heard = duration_to_frames(now.saturating_duration_since(start), self.format.rate);
        let late = heard.saturating_sub(taken);
        if late > duration_to_frames(LATE_MAX, self.format.rate) {
            self.running = Some((now, 0));
            return self.period;
        }
        let periods = heard / self.period + 1;
        (periods * self.period).saturating_sub(taken)
    }

    fn took(&mut self, frames: u64) {
        if let Some((_, taken)) = &mut self.running {
            *taken += frames;
        }
    }

    /// How long until more is due.
    fn wait(&self, now: Instant) -> Duration {
        self.running.map_or(SLEEP, |(start, taken)| {
            let next = start + frames_to_duration(taken, self.format.rate);
            next.saturating_duration_since(now)
                .max(Duration::from_micros(200))
        })
    }
}

fn run(
    mut renderer: Renderer,
    wake: &Wake,
    mut writer: Option<WavWriter>,
    stop: &AtomicBool,
) -> Result<(), SinkError> {
    let channels = usize::from(renderer.format().channels);
    let mut pace = Pace::new(renderer.format());
    let mut block = vec![0.0; pace.period as usize * channels];
    while !stop.load(Ordering::Acquire) {
        if renderer.is_idle() {
            pace.running = None;
            std::thread::park_timeout(SLEEP);
            continue;
        }
        let mut due = pace.due(Instant::now());
        while due > 0 {
            let frames = due.min(pace.period);
            let part = block
                .get_mut(..frames as usize * channels)
                .unwrap_or_default();
            renderer.render(part);
            if let Some(Err(error)) = writer.as_mut().map(|writer| writer.write(part)) {
                renderer.fail(error.to_string());
                wake();
                return Err(error);
            }
            pace.took(frames);
            due -= frames;
        }
        wake();
        std::thread::park_timeout(pace.wait(Instant::now()));
    }
    writer.map_or(Ok(()), |mut writer| writer.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_takes_what_it_plays_and_one_period_more() {
        let mut pace = Pace::new(AudioFormat {
            rate: 1_000,
            channels: 2,
        });
        let start = Instant::now();
        assert_eq!(pace.due(start), 10);
        pace.took(10);
        assert_eq!(pace.due(start + Duration::from_millis(5)), 0);
        assert_eq!(
            pace.wait(start + Duration::from_millis(4)),
            Duration::from_millis(6)
        );
        assert_eq!(pace.due(start + Duration::from_millis(10)), 10);
        pace.took(10);
        assert_eq!(pace.due(start + Duration::from_millis(35)), 20);
    }

    #[test]
    fn time_the_scheduler_took_is_not_taken_from_the_music() {
        let mut pace = Pace::new(AudioFormat {
            rate: 1_000,
            channels: 2,
        });
        let start = Instant::now();
        pace.due(start);
        pace.took(10);
        assert_eq!(pace.due(start + Duration::from_millis(500)), 10);
    }
}
