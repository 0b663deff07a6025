//! What lies between two access lines: distance, jitter, loss, order, clogs and cuts.
//!
//! The list of faults is the one of TigerBeetle's packet simulator: exponential delay with a
//! minimum, loss, replay, clogging with exponential duration, symmetric and one-way partitions.

use crate::engine::random::Draws;

/// How packets fare on every path.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Mean of the exponential jitter, microseconds.
    pub jitter: f64,
    /// Chance that a packet is lost.
    pub loss: f64,
    /// Chance that a packet comes twice.
    pub replay: f64,
    /// Chance that a packet is held back so that later ones overtake it.
    pub reorder: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Path {
    /// One way, microseconds.
    delay: u32,
    /// Packets keep their order unless one is held back.
    last: u64,
    /// Everything waits until then.
    clogged_until: u64,
    cut: bool,
}

/// All paths among so many hosts, each way on its own.
#[derive(Debug)]
pub struct Paths {
    hosts: usize,
    paths: Vec<Path>,
    /// Weather of all paths.
    pub weather: Weather,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When it is at the other line.
    pub arrives: Option<u64>,
    /// When a copy of it is.
    pub again: Option<u64>,
}

impl Paths {
    /// Paths without delay.
    #[must_use]
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts,
            paths: vec![Path::default(); hosts * hosts],
            weather: Weather::default(),
        }
    }

    fn at(&mut self, from: usize, to: usize) -> &mut Path {
        &mut self.paths[from * self.hosts + to]
    }

    /// Sets the one-way delay both ways.
    pub fn set_delay(&mut self, a: usize, b: usize, micros: u32) {
        self.at(a, b).delay = micros;
        self.at(b, a).delay = micros;
    }

    /// One-way delay.
    #[must_use]
    pub fn delay(&self, from: usize, to: usize) -> u64 {
        u64::from(self.paths[from * self.hosts + to].delay)
    }

    /// Holds everything on one path back until then.
    pub fn clog(&mut self, from: usize, to: usize, until: u64) {
        let path = self.at(from, to);
        path.clogged_until = path.clogged_until.max(until);
    }

    /// Cuts or mends one path.
    pub fn cut(&mut self, from: usize, to: usize, cut: bool) {
        self.at(from, to).cut = cut;
    }

    /// Whether packets get through at `now` without being held back.
    #[must_use]
    pub fn is_open(&self, now: u64, from: usize, to: usize) -> bool {
        let path = &self.paths[from * self.hosts + to];
        !path.cut && path.clogged_until <= now
    }

    /// Ends all cuts and clogs.
    pub fn mend(&mut self, now: u64) {
        for path in &mut self.paths {
            path.cut = false;
            path.clogged_until = path.clogged_until.min(now);
        }
    }

    /// Sends a packet that has left the line of `from` at `now`.
    pub fn send(&mut self, now: u64, from: usize, to: usize, draws: &mut Draws) -> Fate {
        let weather = self.weather;
        let mut fate = Fate {
            arrives: None,
            again: None,
        };
        let path = self.at(from, to);
        if path.cut || weather.loss > 0.0 && draws.chance(weather.loss) {
            return fate;
        }
        let jitter = if weather.jitter > 0.0 {
            draws.exponential(weather.jitter) as u64
        } else {
            0
        };
        let at = now.max(path.clogged_until) + u64::from(path.delay) + jitter;
        if weather.reorder > 0.0 && draws.chance(weather.reorder) {
            // Held back by up to a few packets' time; the ones behind pass.
            fate.arrives = Some(at + draws.below(20_000));
        } else {
            path.last = path.last.max(at);
            fate.arrives = Some(path.last);
        }
        if weather.replay > 0.0 && draws.chance(weather.replay) {
            fate.again = Some(at + draws.below(1_000_000));
        }
        fate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_under_jitter_and_cuts_are_one_way() {
        let mut draws = Draws::of(1, 0, 0);
        let mut paths = Paths::new(2);
        paths.set_delay(0, 1, 10_000);
        paths.weather.jitter = 5_000.0;
        let arrivals: Vec<u64> = (0..100)
            .map(|at| paths.send(at, 0, 1, &mut draws).arrives.expect("no loss"))
            .collect();
        assert!(arrivals.is_sorted());
        assert!(arrivals[0] >= 10_000);
        paths.cut(0, 1, true);
        assert_eq!(paths.send(0, 0, 1, &mut draws).arrives, None);
        assert!(paths.send(0, 1, 0, &mut draws).arrives.is_some());
        paths.mend(0);
        paths.clog(0, 1, 1_000_000);
        assert!(paths.send(500, 0, 1, &mut draws).arrives >= Some(1_010_000));
        assert!(!paths.is_open(500, 0, 1) && paths.is_open(1_000_000, 0, 1));
    }

    #[test]
    fn loss_and_replay_come_as_often_as_said() {
        let mut draws = Draws::of(2, 0, 0);
        let mut paths = Paths::new(2);
        (paths.weather.loss, paths.weather.replay) = (0.1, 0.2);
        let fates: Vec<Fate> = (0..10_000)
            .map(|at| paths.send(at, 0, 1, &mut draws))
            .collect();
        let lost = fates.iter().filter(|fate| fate.arrives.is_none()).count();
        let twice = fates.iter().filter(|fate| fate.again.is_some()).count();
        assert!((900..1_100).contains(&lost), "{lost}");
        assert!((1_600..2_000).contains(&twice), "{twice}");
    }
}
