//! Faults: drawn from the seed, each ending by itself, all ended when the healing phase begins.

use crate::engine::random::Draws;
use crate::packet::happening::Happening;
use crate::packet::harness::Harness;
use crate::packet::origin::Service;
use crate::packet::paths::Weather;
use crate::packet::profile::{Chance, Vice};

/// Cuts last at least this long, so that both sides live with them.
const CUT_LEAST: f64 = 2.0;

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Kill,
    Leave,
    Clog,
    Cut,
    Tracker,
    Origin,
    Disk,
}

impl FaultKind {
    const ALL: [Self; 7] = [
        Self::Kill,
        Self::Leave,
        Self::Clog,
        Self::Cut,
        Self::Tracker,
        Self::Origin,
        Self::Disk,
    ];
}

/// What happens with faults.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The next of a kind strikes.
    Strike(FaultKind),
    /// The cut with this number ends.
    Mend(u32),
    TrackerStarts,
    OriginStarts,
    OriginRecovers,
    DiskRecovers(u16),
    /// All faults end.
    Heal,
}

/// What is broken now.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    strikes: u64,
    cuts: u32,
    pub(crate) over: bool,
    pub(crate) healed_at: Option<u64>,
}

impl Harness {
    pub(crate) fn plan_faults(&mut self) {
        for kind in FaultKind::ALL {
            self.plan_strike(kind);
        }
        let heal = self.profile.seconds * 1_000_000;
        self.queue.push(heal, Happening::Fault(Fault::Heal));
    }

    fn plan_strike(&mut self, kind: FaultKind) {
        let times = self.profile.faults;
        let mean = match kind {
            FaultKind::Kill => times.kill,
            FaultKind::Leave => times.leave,
            FaultKind::Clog => times.clog,
            FaultKind::Cut => times.cut,
            FaultKind::Tracker => times.tracker,
            FaultKind::Origin => times.origin,
            FaultKind::Disk => times.disk,
        };
        if mean <= 0.0 || self.faults.over {
            return;
        }
        self.faults.strikes += 1;
        let mut draws = self.draws(Chance::Fault, self.faults.strikes << 1);
        let at = self.now + (draws.exponential(mean) * 1e6) as u64;
        self.queue.push(at, Happening::Fault(Fault::Strike(kind)));
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Strike(_) if self.faults.over => {}
            Fault::Strike(kind) => {
                let mut draws = self.draws(Chance::Fault, self.faults.strikes << 1 | 1);
                self.faults.strikes += 1;
                self.oracle.faults += 1;
                self.strike(kind, &mut draws);
                self.plan_strike(kind);
            }
            Fault::Mend(cut) => {
                if cut == self.faults.cuts {
                    self.network.paths.mend(self.now);
                }
            }
            Fault::TrackerStarts => self.start_tracker(),
            Fault::OriginStarts => self.start_origin(),
            Fault::OriginRecovers => self.recover_origin(),
            Fault::DiskRecovers(node) => self.recover_disk(node),
            Fault::Heal => self.heal(),
        }
    }

    fn later_fault(&mut self, seconds: f64, fault: Fault) {
        let at = self.now + (seconds * 1e6) as u64;
        self.queue.push(at, Happening::Fault(fault));
    }

    fn strike(&mut self, kind: FaultKind, draws: &mut Draws) {
        let node = draws.below(self.nodes.len() as u64) as u16;
        match kind {
            FaultKind::Kill => {
                self.kill(node);
                self.start_later(node, draws.exponential(10.0));
            }
            FaultKind::Leave => {
                self.leave(node);
                self.start_later(node, draws.exponential(20.0));
            }
            FaultKind::Clog => {
                let hosts = self.nodes.len() as u64 + 2;
                let (a, b) = (draws.below(hosts) as usize, draws.below(hosts) as usize);
                let until = self.now + (draws.exponential(2.0) * 1e6) as u64;
                self.network.paths.clog(a, b, until);
                if draws.chance(0.5) {
                    self.network.paths.clog(b, a, until);
                }
            }
            FaultKind::Cut => self.cut(draws),
            FaultKind::Tracker => {
                if self.tracker.alive {
                    self.tracker.alive = false;
                    let host = self.tracker.host;
                    self.network.kill_host(host);
                    self.later_fault(draws.exponential(15.0), Fault::TrackerStarts);
                }
            }
            FaultKind::Origin => self.strike_origin(draws),
            FaultKind::Disk => {
                let disk = &mut self.nodes[usize::from(node)].disk;
                let fills = draws.chance(0.5);
                if fills {
                    disk.full = true;
                } else {
                    disk.failing = true;
                }
                if fills && self.nodes[usize::from(node)].is_up() {
                    let full = antiphon_swarm::node::input::StoreEvent::Full;
                    self.tell(node, antiphon_swarm::Input::Store(full));
                }
                self.later_fault(draws.exponential(20.0), Fault::DiskRecovers(node));
            }
        }
    }

    fn start_later(&mut self, node: u16, seconds: f64) {
        let at = self.now + (seconds * 1e6) as u64;
        self.queue.push(at, Happening::Start { node });
    }

    /// Cuts the network: of several kinds, both ways or one.
    fn cut(&mut self, draws: &mut Draws) {
        let people = self.nodes.len();
        let hosts = people + 2;
        self.network.paths.mend(self.now);
        let kind = draws.below(5);
        let group: Vec<bool> = match kind {
            // A group of any size.
            0 => {
                let share = draws.unit();
                (0..hosts).map(|_| draws.chance(share)).collect()
            }
            // One host alone.
            1 => {
                let alone = draws.below(hosts as u64) as usize;
                (0..hosts).map(|host| host == alone).collect()
            }
            // Halves.
            2 => (0..hosts).map(|host| host % 2 == 0).collect(),
            3 => (0..hosts).map(|host| host == people).collect(),
            _ => (0..hosts).map(|host| host == people + 1).collect(),
        };
        let one_way = draws.chance(0.3);
        for a in 0..hosts {
            for b in 0..hosts {
                let across = group[a] && !group[b] || !one_way && !group[a] && group[b];
                if across {
                    self.network.paths.cut(a, b, true);
                }
            }
        }
        self.faults.cuts += 1;
        let cut = self.faults.cuts;
        self.later_fault(CUT_LEAST + draws.exponential(8.0), Fault::Mend(cut));
    }

    fn strike_origin(&mut self, draws: &mut Draws) {
        let lasts = draws.exponential(15.0);
        match draws.below(4) {
            0 => {
                if self.origin.alive {
                    self.origin.alive = false;
                    let host = self.origin.host;
                    self.network.kill_host(host);
                    self.later_fault(lasts, Fault::OriginStarts);
                }
                return;
            }
            1 => {
                let way = draws.below(2) as usize;
                self.origin.services[way] = Service::Silent;
            }
            2 => {
                let way = draws.below(3) as usize;
                for (index, service) in self.origin.services.iter_mut().enumerate() {
                    if way == index || way == 2 {
                        *service = Service::Refusing;
                    }
                }
            }
            _ => {
                self.origin.starved = true;
                let host = self.origin.host;
                self.network.set_rates(host, self.profile.egress / 50, 0);
            }
        }
        self.later_fault(lasts, Fault::OriginRecovers);
    }

    fn start_tracker(&mut self) {
        if !self.tracker.alive {
            self.tracker.restart(self.seed);
            let host = self.tracker.host;
            self.network.revive_host(host);
        }
    }

    fn start_origin(&mut self) {
        if !self.origin.alive {
            self.origin.alive = true;
            self.origin.life += 1;
            let host = self.origin.host;
            self.network.revive_host(host);
        }
    }

    fn recover_origin(&mut self) {
        self.origin.services = [Service::Up; 2];
        self.origin.starved = false;
        let host = self.origin.host;
        self.network.set_rates(host, self.profile.egress, 0);
    }

    fn recover_disk(&mut self, node: u16) {
        let entry = &mut self.nodes[usize::from(node)];
        entry.disk.failing = false;
        if entry.disk.full {
            entry.disk.writable();
            let writable = antiphon_swarm::node::input::StoreEvent::Writable;
            self.tell(node, antiphon_swarm::Input::Store(writable));
        }
    }

    /// All faults end. Bad nodes are healed in some schedules and shut out in others; whoever is
    /// down starts, and everybody presses play.
    fn heal(&mut self) {
        self.faults.over = true;
        self.faults.healed_at = Some(self.now);
        self.network.paths.mend(self.now);
        self.network.paths.weather = Weather::default();
        self.start_tracker();
        self.start_origin();
        self.recover_origin();
        let mut draws = self.draws(Chance::Fault, u64::MAX);
        let shut_out = draws.chance(0.5);
        for node in 0..self.nodes.len() as u16 {
            self.recover_disk(node);
            if !self.nodes[usize::from(node)].is_honest() {
                self.kill(node);
                self.nodes[usize::from(node)].shut_out = shut_out;
                self.nodes[usize::from(node)].persona.vice = Vice::None;
                self.nodes[usize::from(node)].good_since = self.now;
            }
            if self.nodes[usize::from(node)].shut_out {
                continue;
            }
            if self.nodes[usize::from(node)].is_up() {
                self.count_heard(node);
                if !self.nodes[usize::from(node)].player.is_sounding() {
                    self.next_play(node);
                }
            } else {
                self.start_later(node, draws.unit());
            }
        }
    }
}
