//! `antiphon sim fuzz` and `fidelity`: fault schedules in the packet harness, one line for each that
//! fails, and how far the fluid model is from its packets.

use std::io::{IsTerminal as _, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use antiphon_sim::packet::fidelity;
use antiphon_sim::packet::fuzz::{Campaign, fuzz};
use antiphon_sim::packet::{Failure, Kind, Outcome, Schedule};
use serde_json::json;

use crate::args::SimFuzzArgs;
use crate::exit::Broken;
use crate::output;

/// Time between two lines of progress.
const INTERVAL: Duration = Duration::from_millis(200);

/// What the schedules came to together.
#[derive(Debug, Default)]
struct Sums {
    seconds: Vec<f64>,
    events: u64,
    packets: u64,
    heard: [u64; 3],
    plays: u64,
    given_up: u64,
    stalls: u64,
    faults: u64,
    corrupt_received: u64,
    digest: u128,
    failed: u64,
    shown: Option<Instant>,
}

impl Sums {
    fn add(&mut self, seed: u64, seconds: f64, outcome: &Result<Outcome, Failure>) {
        self.seconds.push(seconds);
        let Ok(outcome) = outcome else {
            self.failed += 1;
            return;
        };
        self.events += outcome.events;
        self.packets += outcome.traffic.packets;
        for (sum, part) in self.heard.iter_mut().zip(outcome.heard) {
            *sum += part;
        }
        self.plays += outcome.plays;
        self.given_up += outcome.given_up;
        self.stalls += outcome.stalls;
        self.faults += outcome.faults;
        self.corrupt_received += outcome.corrupt_received;
        // Whatever the order they end in.
        self.digest ^= outcome.digest.rotate_left((seed % 128) as u32);
    }

    fn quantile(&mut self, part: f64) -> f64 {
        self.seconds.sort_by(f64::total_cmp);
        let at = (self.seconds.len() as f64 * part) as usize;
        let last = self.seconds.len().saturating_sub(1);
        self.seconds.get(at.min(last)).copied().unwrap_or_default()
    }
}

/// Runs the schedules.
pub(super) fn run_fuzz(args: &SimFuzzArgs, quiet: bool) -> anyhow::Result<()> {
    let visible = !quiet && stderr().is_terminal();
    let began = Instant::now();
    let sums = Mutex::new(Sums::default());
    let run = |schedule: Schedule| {
        let began_one = Instant::now();
        let outcome = schedule.run();
        let seconds = began_one.elapsed().as_secs_f64();
        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.add(schedule.seed, seconds, &outcome);
        if let Err(failure) = &outcome {
            output::say(&format!("seed {}: {failure}", schedule.seed));
        }
        if visible && sums.shown.is_none_or(|shown| shown.elapsed() > INTERVAL) {
            sums.shown = Some(Instant::now());
            output::say_in_place(&line(args, &sums, began.elapsed().as_secs_f64()));
        }
        outcome
    };
    let campaign = Campaign {
        first: Schedule {
            seed: args.seed,
            nodes: usize::from(args.nodes),
            seconds: args.seconds,
        },
        count: args.schedules,
        jobs: args.jobs,
        failures_max: args.failures,
    };
    let failures = fuzz(&campaign, &run);
    if visible {
        output::say_in_place("\r\x1b[K");
    }
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    tell(args, sums, &failures, began.elapsed().as_secs_f64())?;
    match failures.first() {
        None => Ok(()),
        Some(first) => Err(Broken::error(code(first.broken.kind), first.to_string())),
    }
}

const fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Correctness => 10,
        Kind::Liveness => 11,
        Kind::Crash => 12,
    }
}

fn line(args: &SimFuzzArgs, sums: &Sums, spent: f64) -> String {
    let done = sums.seconds.len() as f64;
    let left = spent / done.max(1.0) * (args.schedules as f64 - done);
    format!(
        "\r\x1b[K{done} of {} schedules  {:.1} a second  {} failed  {left:.0} s left",
        args.schedules,
        done / spent.max(1e-9),
        sums.failed
    )
}

fn tell(args: &SimFuzzArgs, mut sums: Sums, failures: &[Failure], wall: f64) -> anyhow::Result<()> {
    let (median, p95, max) = (sums.quantile(0.5), sums.quantile(0.95), sums.quantile(1.0));
    if args.json {
        let failed: Vec<_> = failures
            .iter()
            .map(|failure| {
                json!({
                    "seed": failure.schedule.seed, "kind": format!("{:?}", failure.broken.kind).to_lowercase(),
                    "at_s": failure.broken.seconds, "text": failure.broken.text,
                    "replay": failure.schedule.replay(),
                })
            })
            .collect();
        return output::json(&json!({
            "schedules": sums.seconds.len(), "seed": args.seed, "nodes": args.nodes, "seconds": args.seconds,
            "failures": failed, "wall_s": wall, "jobs": args.jobs,
            "schedule_s": {"p50": median, "p95": p95, "max": max},
            "events": sums.events, "packets": sums.packets, "plays": sums.plays, "given_up": sums.given_up,
            "stalls": sums.stalls, "faults": sums.faults, "corrupt_received": sums.corrupt_received,
            "heard_bytes": {"cache": sums.heard[0], "peers": sums.heard[1], "origin": sums.heard[2]},
            "digest": format!("{:032x}", sums.digest), "unoptimized": cfg!(debug_assertions),
        }));
    }
    output::result(&format!(
        "{} schedules of {} nodes and {} s, {} failed; {:.3} s each (median), {:.3} s (95th), {wall:.1} s in all",
        sums.seconds.len(),
        args.nodes,
        args.seconds,
        failures.len(),
        median,
        p95,
    ))?;
    output::result(&format!(
        "{} faults, {} plays, {} given up, {} stalls, {} spans with wrong bytes, {} packets; digest {:032x}",
        sums.faults,
        sums.plays,
        sums.given_up,
        sums.stalls,
        sums.corrupt_received,
        sums.packets,
        sums.digest
    ))?;
    Ok(())
}

/// Relative errors of the fluid model's completion times.
pub(super) fn show_fidelity(others: bool, json: bool) -> anyhow::Result<()> {
    let families = fidelity::compare(if others {
        &fidelity::OTHERS
    } else {
        &fidelity::CHECKED
    });
    if json {
        return output::json(&json!({ "fidelity": fidelity::report(&families) }));
    }
    for one in families {
        output::result(&format!(
            "{:18} {:4} transfers  error {:5.1} % (median) {:5.1} % (95th), bias {:+.1} %; packets among themselves {:.1} % (95th)",
            one.family,
            one.transfers,
            one.median * 100.0,
            one.p95 * 100.0,
            one.bias * 100.0,
            one.spread_p95 * 100.0
        ))?;
    }
    Ok(())
}
