//! Many schedules, one after the other seed, on several workers.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::packet::schedule::{Failure, Outcome, Schedule};

/// What is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Campaign {
    /// The first seed; the others follow it.
    pub first: Schedule,
    /// How many.
    pub count: u64,
    /// On how many threads.
    pub jobs: usize,
    /// Failures after which the rest is not run.
    pub failures_max: usize,
}

/// Runs one schedule on whichever worker: [`Schedule::run`], and what the caller measures of it.
pub type Run<'a> = &'a (dyn Fn(Schedule) -> Result<Outcome, Failure> + Sync);

/// Runs a campaign; its failures in the order of their seeds. With several workers, which
/// schedules still run after the last failure that counts differs; what each gives does not.
pub fn fuzz(campaign: &Campaign, run: Run<'_>) -> Vec<Failure> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failures = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= campaign.count {
                return;
            }
            let mut schedule = campaign.first;
            schedule.seed = schedule.seed.wrapping_add(index);
            if let Err(failure) = run(schedule) {
                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                failures.push(failure);
                if failures.len() >= campaign.failures_max {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..campaign.jobs.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let mut failures = failures
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    failures.sort_by_key(|failure: &Failure| failure.schedule.seed);
    failures
}
