//! What one schedule is like: drawn from its seed, so that some schedules have many faults, some
//! few, and each its own mixture (swarm testing: Groce et al., 2012).

use crate::engine::random::Draws;
use crate::packet::paths::Weather;

/// Domains of chance of a schedule.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub(crate) enum Chance {
    Profile = 101,
    Lines,
    Weather,
    Core,
    Registry,
    Listener,
    Disk,
    Fault,
    Vice,
    Clock,
    Backoff,
}

/// How a bad node behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vice {
    /// None: an honest node.
    None,
    /// Claims to hold everything and declines late.
    Liar,
    /// Sends wrong bytes.
    Polluter,
    /// Sends a trickle.
    Slow,
    /// Accepts and sends nothing.
    Staller,
    /// Sends frames that are none, now and then.
    Babbler,
}

impl Vice {
    const ALL: [Self; 5] = [
        Self::Liar,
        Self::Polluter,
        Self::Slow,
        Self::Staller,
        Self::Babbler,
    ];
}

/// Who a node is.
#[derive(Clone, Copy, Debug)]
pub struct Persona {
    /// Bytes a second.
    pub up: u64,
    /// Bytes a second.
    pub down: u64,
    /// What the access line adds one way, microseconds.
    pub height: u32,
    /// How it misbehaves.
    pub vice: Vice,
    /// Whether it uploads.
    pub uploads: bool,
    /// Bytes of music its disk takes.
    pub disk: u64,
    /// Parts per million its clock is fast or slow.
    pub drift_ppm: i64,
    /// Seconds its wall clock is off.
    pub skew: i64,
}

/// Mean times between faults of each kind, seconds; zero is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultTimes {
    /// A node is killed and starts again later.
    pub kill: f64,
    /// A node ends in order and starts again later.
    pub leave: f64,
    /// A path is clogged.
    pub clog: f64,
    /// The network is cut.
    pub cut: f64,
    /// The tracker stops, with or without its memory.
    pub tracker: f64,
    /// The origin stops, refuses or runs dry.
    pub origin: f64,
    /// A disk fails to write, or fills up.
    pub disk: f64,
}

/// One schedule's nature.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The nodes.
    pub people: Vec<Persona>,
    /// Weather of all paths during the fault phase.
    pub weather: Weather,
    /// How far apart people are, one way, microseconds.
    pub distance: f64,
    /// Bytes a second the origin can send.
    pub egress: u64,
    /// Seconds with faults.
    pub seconds: u64,
    /// Faults.
    pub faults: FaultTimes,
    /// Chance that a chunk on a disk has gone bad at a restart.
    pub rot: f64,
    /// Chance that a write fails.
    pub write_errors: f64,
    /// Queue of each access line, seconds of its rate.
    pub queue_seconds: f64,
    /// Chance that a listener skips a track.
    pub skip: f64,
    /// Chance that a listener jumps in a track.
    pub seek: f64,
    /// Tracks of the catalog in use.
    pub tracks: usize,
}

/// Half of all schedules have each kind of fault, at a rate of their own.
fn sometimes(draws: &mut Draws, least: f64, most: f64) -> f64 {
    let (on, place) = (draws.chance(0.5), draws.unit());
    if on {
        // Even in the logarithm: rare and frequent alike.
        least * libm::pow(most / least, place)
    } else {
        0.0
    }
}

impl Profile {
    /// The nature of the schedule with this seed.
    #[must_use]
    pub fn of(seed: u64, nodes: usize, seconds: u64, tracks: usize) -> Self {
        let mut draws = Draws::of(seed, Chance::Profile as u64, 0);
        let bad = if draws.chance(0.5) {
            draws.unit() * 0.4
        } else {
            0.0
        };
        let skewed = draws.chance(0.5);
        let small_disks = draws.chance(0.3);
        let people = (0..nodes).map(|_| persona(&mut draws, bad, skewed, small_disks));
        let people = people.collect();
        let weather = Weather {
            jitter: sometimes(&mut draws, 200.0, 30_000.0),
            loss: sometimes(&mut draws, 0.000_5, 0.05),
            replay: sometimes(&mut draws, 0.000_5, 0.05),
            reorder: sometimes(&mut draws, 0.000_5, 0.05),
        };
        let faults = FaultTimes {
            kill: sometimes(&mut draws, 10.0, 200.0),
            leave: sometimes(&mut draws, 20.0, 200.0),
            clog: sometimes(&mut draws, 2.0, 100.0),
            cut: sometimes(&mut draws, 15.0, 200.0),
            tracker: sometimes(&mut draws, 20.0, 200.0),
            origin: sometimes(&mut draws, 20.0, 200.0),
            disk: sometimes(&mut draws, 20.0, 200.0),
        };
        Self {
            people,
            weather,
            distance: 1_000.0 + draws.unit() * 60_000.0,
            egress: 1 << (20 + draws.below(5)),
            seconds,
            faults,
            rot: sometimes(&mut draws, 0.000_5, 0.05),
            write_errors: sometimes(&mut draws, 0.000_1, 0.01),
            queue_seconds: 0.05 + draws.unit() * 0.25,
            skip: draws.unit() * 0.7,
            seek: draws.unit() * 0.3,
            tracks: (3 + draws.below(tracks as u64 - 2) as usize).min(tracks),
        }
    }
}

fn persona(draws: &mut Draws, bad: f64, skewed: bool, small_disks: bool) -> Persona {
    let mega = 125_000.0;
    let vice = if draws.chance(bad) {
        Vice::ALL[draws.below(Vice::ALL.len() as u64) as usize]
    } else {
        Vice::None
    };
    let drift = draws.below(1_001) as i64 - 500;
    let skew = draws.below(241) as i64 - 120;
    Persona {
        up: (draws.log_normal(10.0, 0.8).clamp(1.0, 200.0) * mega) as u64,
        down: (draws.log_normal(40.0, 0.8).clamp(4.0, 500.0) * mega) as u64,
        height: draws.log_normal(6_000.0, 0.8).clamp(500.0, 60_000.0) as u32,
        vice,
        uploads: draws.chance(0.9),
        disk: if small_disks && draws.chance(0.5) {
            4_000_000 + draws.below(4_000_000)
        } else {
            1_000_000_000
        },
        drift_ppm: if skewed { drift } else { 0 },
        skew: if skewed { skew } else { 0 },
    }
}
