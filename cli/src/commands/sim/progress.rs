//! A line that says how far a run is, on a terminal only.

use std::io::{IsTerminal as _, stderr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use antiphon_sim::run::{Plan, Progress};

use crate::output;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct State {
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
        let seeds = (0..plan.seeds.len()).map(|index| Progress {
            index,
            done: 0,
            of,
            events: 0,
        });
        let now = Instant::now();
        let state = State {
            seeds: seeds.collect(),
            began: now,
            shown: now,
        };
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
        if let Some(seed) = state.seeds.get_mut(progress.index) {
            *seed = progress;
        }
        if state.shown.elapsed() < INTERVAL {
            return;
        }
        state.shown = Instant::now();
        output::say_in_place(&state.line());
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.state.is_some() {
            output::say_in_place("\r\x1b[K");
        }
    }
}

impl State {
    fn line(&self) -> String {
        let done: u64 = self.seeds.iter().map(|seed| seed.done).sum();
        let of: u64 = self.seeds.iter().map(|seed| seed.of).sum();
        let events: u64 = self.seeds.iter().map(|seed| seed.events).sum();
        let part = done as f64 / of.max(1) as f64;
        let spent = self.began.elapsed().as_secs_f64();
        let left = if part > 0.0 {
            spent / part - spent
        } else {
            0.0
        };
        format!(
            "\r\x1b[K{:5.1} %  {:.1} of {:.1} simulated hours  {:.2} M events/s  {left:.0} s left",
            part * 100.0,
            done as f64 / 3.6e9,
            of as f64 / 3.6e9,
            events as f64 / spent.max(1e-9) / 1e6,
        )
    }
}
