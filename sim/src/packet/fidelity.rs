//! How far the fluid model is from packets: the same transfers over the same lines in both, and
//! the relative error of each one's time to its last byte.
//!
//! Connections are open and their windows cold. The fluid side is computed as the world does it: a
//! flow for each transfer, marks every 256 KiB, and [`path::ramp_delay`] on top.
//!
//! Which of several flows loses a packet is chance, and so is which ends first. The fluid model
//! tells the mean, so it is compared with the mean of several runs; how far single runs are from
//! theirs is told beside it, because no model without chance can come nearer to those.

use serde_json::{Value, json};

use crate::engine::queue::{Event, EventQueue};
use crate::engine::random::Draws;
use crate::net::allocate::{Allocator, Demand};
use crate::net::fluid;
use crate::net::path;
use crate::net::route::Route;
use crate::packet::line::Line;
use crate::packet::paths::Paths;
use crate::packet::transport::{self, ConnectionId, Network, Settings, Wire};

/// Bytes between two looks of the fluid model: the world's longest mark.
const MARK_BYTES: u64 = 256 * 1024;
/// Bytes a second.
const MEGABIT: u64 = 125_000;
/// Bytes of a request.
const REQUEST_BYTES: usize = 48;
/// Queue before each line, seconds of its rate, and at least so many bytes. A home router's.
const QUEUE: (f64, u64) = (0.1, 65_536);
/// Runs of each case over packets.
const RUNS: u64 = 5;
/// Mean jitter of a path, microseconds: a home's own network adds as much. Without any, packets
/// come in lockstep and a full queue drops those of the same flow each time (traffic phase effects:
/// Floyd and Jacobson, 1992).
const JITTER: f64 = 200.0;
/// Longer than any transfer here takes.
const END_MICROS: u64 = 600_000_000;
/// All connections are open by then.
const START_MICROS: u64 = 2_000_000;

/// One transfer: between hosts, of bytes, with a cold window.
#[derive(Clone, Copy, Debug)]
struct Transfer {
    from: usize,
    to: usize,
    bytes: u64,
    window: u32,
}

/// Hosts and what they send each other, all at once.
#[derive(Clone, Debug)]
struct Case {
    family: &'static str,
    /// Bytes a second up and down, and one-way delay of the line, microseconds.
    hosts: Vec<(u64, u64, u32)>,
    transfers: Vec<Transfer>,
}

/// The errors of one family of transfers.
#[derive(Clone, Debug)]
pub struct Fidelity {
    /// Which.
    pub family: &'static str,
    /// Transfers compared.
    pub transfers: usize,
    /// Median of the relative errors' sizes.
    pub median: f64,
    /// Their 95th percentile.
    pub p95: f64,
    /// Mean of the errors with their sign: below zero the fluid model is too fast.
    pub bias: f64,
    /// 95th percentile of how far single runs over packets are from their mean.
    pub spread_p95: f64,
}

/// What is transferred where several flows meet, over which lines.
#[derive(Clone, Copy, Debug)]
pub struct Meetings {
    /// The first window of the flows that are not quite cold; the others have [`path::WINDOW_PEERS`].
    warm: u32,
    counts: [usize; 3],
    kib: [u64; 3],
    /// Bytes a second of the line that all share, and of all others.
    narrow: u64,
    wide: u64,
    /// One-way delays of lines at unequal distances, microseconds.
    apart: [u32; 4],
}

/// What the model is checked with.
pub const CHECKED: Meetings = Meetings {
    warm: 80 * 1024,
    counts: [2, 4, 8],
    kib: [256, 1_024, 4_096],
    narrow: 10 * MEGABIT,
    wide: 50 * MEGABIT,
    apart: [2_000, 5_000, 15_000, 40_000],
};

/// Others, to see what the check is worth beyond its own cases.
pub const OTHERS: Meetings = Meetings {
    warm: 40 * 1024,
    counts: [3, 5, 6],
    kib: [384, 768, 2_048],
    narrow: 14 * MEGABIT,
    wide: 50 * MEGABIT,
    apart: [3_000, 9_000, 20_000, 45_000],
};

/// Compares everything; the last entry is of all transfers together.
#[must_use]
pub fn compare(meetings: &Meetings) -> Vec<Fidelity> {
    let mut families: Vec<(&'static str, Errors)> = Vec::new();
    let mut all = Errors::default();
    for case in cases(meetings) {
        let errors = Errors::of(&case);
        all.add(&errors);
        match families.iter_mut().find(|(name, _)| *name == case.family) {
            Some((_, known)) => known.add(&errors),
            None => families.push((case.family, errors)),
        }
    }
    families.push(("all", all));
    families
        .into_iter()
        .map(|(family, errors)| errors.summary(family))
        .collect()
}

/// One JSON object for each family.
#[must_use]
pub fn report(families: &[Fidelity]) -> Value {
    let row = |one: &Fidelity| {
        json!({
            "family": one.family, "transfers": one.transfers, "median_error": one.median,
            "p95_error": one.p95, "bias": one.bias, "packet_spread_p95": one.spread_p95,
        })
    };
    families.iter().map(row).collect()
}

/// Relative errors of some transfers.
#[derive(Clone, Debug, Default)]
struct Errors {
    /// Of the fluid model, against the mean of the runs over packets.
    fluid: Vec<f64>,
    /// Of each run, against the mean of them.
    runs: Vec<f64>,
}

impl Errors {
    fn of(case: &Case) -> Self {
        let runs: Vec<Vec<u64>> = (0..RUNS).map(|run| packet_times(case, run)).collect();
        let mut errors = Self::default();
        for (index, fluid) in fluid_times(case).into_iter().enumerate() {
            let times = || runs.iter().map(|times| times[index] as f64);
            let mean = (times().sum::<f64>() / RUNS as f64).max(1.0);
            let error = |time: f64| (time - mean) / mean;
            errors.fluid.push(error(fluid as f64));
            errors.runs.extend(times().map(error));
        }
        errors
    }

    fn add(&mut self, other: &Self) {
        self.fluid.extend(&other.fluid);
        self.runs.extend(&other.runs);
    }

    fn summary(&self, family: &'static str) -> Fidelity {
        let count = self.fluid.len();
        Fidelity {
            family,
            transfers: count,
            median: size_at(&self.fluid, 0.5),
            p95: size_at(&self.fluid, 0.95),
            bias: self.fluid.iter().sum::<f64>() / count.max(1) as f64,
            spread_p95: size_at(&self.runs, 0.95),
        }
    }
}

/// A quantile of the errors' sizes.
fn size_at(errors: &[f64], part: f64) -> f64 {
    let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let index = (sizes.len() as f64 * part) as usize;
    let last = sizes.len().saturating_sub(1);
    sizes.get(index.min(last)).copied().unwrap_or(0.0)
}

/// One flow, many to one, one to many, and many to one over unequal distances.
fn cases(meetings: &Meetings) -> Vec<Case> {
    let windows = [path::WINDOW_PEERS, meetings.warm];
    let mut cases = Vec::new();
    for window in windows {
        for rate in [2, 10, 50] {
            for delay in [2_500, 10_000, 30_000] {
                for kib in [16, 64, 256, 1_024, 4_096] {
                    let host = (rate * MEGABIT, rate * MEGABIT, delay);
                    let bytes = kib * 1_024;
                    cases.push(Case {
                        family: "one flow",
                        hosts: vec![host, host],
                        transfers: vec![Transfer {
                            from: 0,
                            to: 1,
                            bytes,
                            window,
                        }],
                    });
                }
            }
        }
        for count in meetings.counts {
            for kib in meetings.kib {
                cases.extend(meeting(meetings, count, kib * 1_024, window));
            }
        }
    }
    cases
}

/// `count` flows over one line: into it, out of it, and into it over unequal distances.
fn meeting(meetings: &Meetings, count: usize, bytes: u64, window: u32) -> [Case; 3] {
    let line = |rate| (rate, rate, 10_000);
    let mut hosts = vec![line(meetings.wide); count + 1];
    hosts[0] = line(meetings.narrow);
    let mut distant = hosts.clone();
    let apart = meetings.apart.iter().cycle();
    for (host, delay) in distant.iter_mut().skip(1).zip(apart) {
        host.2 = *delay;
    }
    let transfer = |from, to| Transfer {
        from,
        to,
        bytes,
        window,
    };
    let into: Vec<_> = (1..=count).map(|other| transfer(other, 0)).collect();
    let out = (1..=count).map(|other| transfer(0, other)).collect();
    [
        ("many to one", hosts.clone(), into.clone()),
        ("one to many", hosts, out),
        ("unequal distances", distant, into),
    ]
    .map(|(family, hosts, transfers)| Case {
        family,
        hosts,
        transfers,
    })
}

fn round_trip(case: &Case, transfer: Transfer) -> u64 {
    let delay = |host: usize| u64::from(case.hosts[host].2);
    2 * (delay(transfer.from) + delay(transfer.to))
}

/// Microseconds from each request to its last byte in the fluid model.
fn fluid_times(case: &Case) -> Vec<u64> {
    let mut network = fluid::Network::new(Allocator::MaxMin);
    let links: Vec<_> = case
        .hosts
        .iter()
        .map(|(up, down, _)| (network.add_link(*up as f64), network.add_link(*down as f64)))
        .collect();
    let trip = |index: usize| round_trip(case, case.transfers[index]);
    let mut flows = vec![None; case.transfers.len()];
    let mut marks = vec![0_u64; case.transfers.len()];
    let mut arrivals = vec![0_u64; case.transfers.len()];
    let mut done = vec![false; case.transfers.len()];
    let mut now = 0;
    loop {
        // What comes next: a flow that begins, or one that reaches its mark.
        let next = (0..flows.len()).filter(|index| !done[*index]);
        let next = next.filter_map(|index| {
            let at = match flows[index] {
                None => trip(index) / 2,
                Some(flow) => network.time_of(now, flow, marks[index])?,
            };
            Some((at, index))
        });
        let Some((at, index)) = next.min() else {
            return arrivals;
        };
        now = now.max(at);
        let transfer = case.transfers[index];
        let Some(flow) = flows[index] else {
            let (from, to) = (links[transfer.from].0, links[transfer.to].1);
            let demand = Demand {
                route: Route::direct(from, to),
                cap: f64::INFINITY,
                weight: path::weight(trip(index)),
                background: false,
            };
            flows[index] = Some(network.start(now, demand));
            marks[index] = MARK_BYTES.min(transfer.bytes);
            continue;
        };
        let rate = network.rate(flow);
        let ramp = path::ramp_delay(marks[index], transfer.window, rate, trip(index));
        arrivals[index] = arrivals[index].max(now + trip(index) / 2 + ramp);
        if marks[index] == transfer.bytes {
            network.stop(now, flow);
            done[index] = true;
        } else {
            marks[index] = (marks[index] + MARK_BYTES).min(transfer.bytes);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Wire(Wire),
    Begin,
}

impl Event for Step {
    fn class(&self) -> u8 {
        0
    }
}

/// The same over packets, with the chance of this run.
fn packet_times(case: &Case, run: u64) -> Vec<u64> {
    let line = |rate: u64| Line::new(rate, QUEUE.1.max((rate as f64 * QUEUE.0) as u64));
    let lines = case
        .hosts
        .iter()
        .map(|(up, down, _)| (line(*up), line(*down)));
    let mut paths = Paths::new(case.hosts.len());
    for a in 0..case.hosts.len() {
        for b in a + 1..case.hosts.len() {
            paths.set_delay(a, b, case.hosts[a].2 + case.hosts[b].2);
        }
    }
    paths.weather.jitter = JITTER;
    let mut network = Network::new(lines.collect(), paths, Draws::of(run, 0, 0));
    let mut queue = EventQueue::new();
    // The asker opens; the holder is side 1.
    let connections: Vec<ConnectionId> = case
        .transfers
        .iter()
        .map(|transfer| {
            let settings = Settings {
                window: u64::from(transfer.window),
                trip: 50_000,
                send_window: 1 << 20,
                stream_window: 1 << 22,
                idle: END_MICROS,
                keep_alive: 0,
                resets: false,
            };
            let (from, to) = (transfer.to as u16, transfer.from as u16);
            network.open(from, to, [settings; 2], false, 0)
        })
        .collect();
    queue.push(START_MICROS, Step::Begin);
    let mut states = vec![(0_u64, 0_u64); connections.len()];
    let mut arrivals = vec![0; connections.len()];
    loop {
        network.flush();
        while let Some(event) = network.poll_event() {
            react(
                case,
                &mut network,
                &connections,
                &mut states,
                &mut arrivals,
                (queue.now(), event),
            );
            network.flush();
        }
        for (at, wire) in network.take_scheduled() {
            queue.push(at, Step::Wire(wire));
        }
        if arrivals.iter().all(|at| *at > 0) {
            return arrivals;
        }
        let Some((at, step)) = queue.pop(END_MICROS) else {
            return arrivals;
        };
        network.advance(at);
        match step {
            Step::Wire(wire) => network.handle(wire),
            Step::Begin => {
                for id in &connections {
                    let stream = network.open_stream(*id);
                    network.write(*id, 0, stream, &[0; REQUEST_BYTES]);
                }
            }
        }
    }
}

/// The holder writes what it is asked for, the asker reads it. `states` are bytes written and read.
fn react(
    case: &Case,
    network: &mut Network,
    connections: &[ConnectionId],
    states: &mut [(u64, u64)],
    arrivals: &mut [u64],
    (now, event): (u64, transport::Event),
) {
    let (id, side) = match event {
        transport::Event::Readable(id, side, _) | transport::Event::Writable(id, side) => {
            (id, side)
        }
        _ => return,
    };
    let Some(index) = connections.iter().position(|known| *known == id) else {
        return;
    };
    let (written, read) = &mut states[index];
    let unread = network.readable(id, side, 0).len();
    network.consume(id, side, 0, unread);
    let bytes = case.transfers[index].bytes;
    if side == 1 {
        while *written < bytes {
            let room = network.room(id, 1).min(bytes - *written);
            if room == 0 {
                break;
            }
            network.write(id, 1, 0, &vec![0; room as usize]);
            *written += room;
        }
        return;
    }
    *read += unread as u64;
    if *read == bytes && arrivals[index] == 0 {
        arrivals[index] = now - START_MICROS;
    }
}
