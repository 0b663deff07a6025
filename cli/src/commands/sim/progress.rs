//! A line that says how far a run is, on a terminal only.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use antiphon_sim::run::{Plan, Progress};

use crate::output;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_millis(200);

/// Before this much is done nothing is said of the time left: the beginning of a world is slower
/// than the rest.
const TELLING_PART: f64 = 0.02;

#[derive(Debug)]
struct State {
    /// Of a seed's run.
    of: u64,
    seeds: Vec<Progress>,
    began: Instant,
    shown: Instant,
}

/// The line.
#[derive(Debug)]
pub(super) struct Bar {
    state: Option<Mutex<State>>,
}

impl Bar {
    /// For a run; silent if nobody sees it.
    pub(super) fn new(plan: &Plan, quiet: bool) -> Self {
        let scenario = &plan.scenario;
        let of = ((scenario.settle.0 + scenario.duration.0) * 1e6) as u64;
        let now = Instant::now();
        let mut state = State {
            of,
            seeds: Vec::new(),
            began: now,
            shown: now,
        };
        state.grow(plan.seeds.len());
        let visible = !quiet && stderr().is_terminal();
        Self {
            state: visible.then(|| Mutex::new(state)),
        }
    }

    /// Some seed is further on.
    pub(super) fn show(&self, progress: Progress) {
        let Some(Ok(mut state)) = self.state.as_ref().map(Mutex::lock) else {
            return;
        };
        // Seeds may be added while it runs.
        state.grow(progress.index + 1);
        if let Some(seed) = state.seeds.get_mut(progress.index) {
            *seed = progress;
        }
        if state.shown.elapsed() < INTERVAL {
            return;
        }
        state.shown = Instant::now();
        let line = state.line(state.began.elapsed().as_secs_f64());
        output::say_in_place(&format!("\r\x1b[K{line}"));
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.state.is_some() {
            output::say_in_place("\r\x1b[K");
        }
    }
}

impl State {
    fn grow(&mut self, seeds: usize) {
        for index in self.seeds.len()..seeds {
            self.seeds.push(Progress {
                index,
                done: 0,
                of: self.of,
                events: 0,
            });
        }
    }

    /// Fits into 80 columns.
    fn line(&self, spent: f64) -> String {
        let done: u64 = self.seeds.iter().map(|seed| seed.done).sum();
        let of: u64 = self.seeds.iter().map(|seed| seed.of).sum();
        let events: u64 = self.seeds.iter().map(|seed| seed.events).sum();
        let part = done as f64 / of.max(1) as f64;
        let mut line = format!("{:3.0} %", part * 100.0);
        if self.seeds.len() > 1 {
            let over = self
                .seeds
                .iter()
                .filter(|seed| seed.done >= seed.of)
                .count();
            let _ = write!(line, "  {over} of {} seeds", self.seeds.len());
        }
        let _ = write!(line, "  {} of {} simulated", simulated(done), simulated(of));
        if events > 0 {
            let _ = write!(
                line,
                "  {:.2} M events/s",
                events as f64 / spent.max(1e-9) / 1e6
            );
        }
        if part >= TELLING_PART {
            let _ = write!(line, "  {} left", clock(spent / part - spent));
        }
        line
    }
}

fn simulated(micros: u64) -> String {
    let hours = micros as f64 / 3.6e9;
    if hours < 2.0 {
        format!("{:.0} min", hours * 60.0)
    } else {
        format!("{hours:.1} h")
    }
}

fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{:.1} h", seconds as f64 / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_and_fits_a_terminal() {
        let now = Instant::now();
        let mut state = State {
            of: 86_400_000_000,
            seeds: Vec::new(),
            began: now,
            shown: now,
        };
        state.grow(10);
        assert_eq!(
            state.line(1.0),
            "  0 %  0 of 10 seeds  0 min of 240.0 h simulated"
        );
        for seed in &mut state.seeds[..5] {
            seed.done = seed.of;
            seed.events = 100_000_000;
        }
        let line = state.line(600.0);
        assert_eq!(
            line,
            " 50 %  5 of 10 seeds  120.0 h of 240.0 h simulated  0.83 M events/s  10 min left"
        );
        assert!(line.len() <= 80, "{}", line.len());
    }
}
