//! What a scenario may ask for.

use crate::scenario::Scenario;
use crate::scenario::units::{Rate, Share, Time};

/// Most users of a world: node numbers and memory; 1 KiB of each is 2 GiB.
pub const USERS_MAX: u32 = 2_000_000;
/// Most tracks; 8 bytes each.
const TRACKS_MAX: u32 = 20_000_000;
/// Most copies a tracker may remember: 64 bytes of each are 8 GiB.
const COPIES_MAX: u32 = 128 << 20;
/// Most copies one node may claim without holding them: what the registry believes of one peer.
const CLAIMS_MAX: u32 = 65_536;
/// Longest run: time is counted in 24 bits of 4 s in the core's cache, half of it for the past.
const DURATION_MAX_SECS: f64 = 300.0 * 86_400.0;
/// Most memory a world may need by the estimate of [`Scenario::memory_estimate`].
const MEMORY_MAX: f64 = 16e9;
/// Bytes of one cached track of somebody online: shelf, core and registry, measured.
const BYTES_PER_COPY: f64 = 64.0;
/// Bytes of one node online without its cache, measured.
const BYTES_PER_NODE: f64 = 12_000.0;

/// Bytes of somebody offline without their cache. Estimated from the sizes of what is kept.
const BYTES_PER_USER: f64 = 300.0;
/// How much busier than the mean the busiest hour is: the sessions' table.
const BUSIEST_HOUR: f64 = 1.92;

/// A scenario that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{what} is {value}, but {limit}; change the scenario")]
pub struct Impossible {
    /// Which key.
    pub what: String,
    /// What it says.
    pub value: String,
    /// What is possible.
    pub limit: String,
}

pub(super) fn within<T: PartialOrd + core::fmt::Display>(
    what: &str,
    value: T,
    min: T,
    max: T,
) -> Result<(), Impossible> {
    if value >= min && value <= max {
        return Ok(());
    }
    Err(Impossible {
        what: what.to_owned(),
        value: value.to_string(),
        limit: format!("must be from {min} to {max}"),
    })
}

fn sum_to_one(what: &str, shares: impl Iterator<Item = Share>) -> Result<(), Impossible> {
    let sum: f64 = shares.map(|share| share.0).sum();
    if (sum - 1.0).abs() < 1e-6 {
        return Ok(());
    }
    Err(Impossible {
        what: format!("the sum of all `share` of [[{what}]]"),
        value: Share(sum).to_string(),
        limit: "must be 100%".to_owned(),
    })
}

impl Scenario {
    pub(super) fn check(&self) -> Result<(), Impossible> {
        within("population.users", self.population.users, 1, USERS_MAX)?;
        within("catalog.tracks", self.catalog.tracks, 1, TRACKS_MAX)?;
        within(
            "duration (in seconds)",
            self.duration.0,
            1.0,
            DURATION_MAX_SECS,
        )?;
        within("settle (in seconds)", self.settle.0, 0.0, DURATION_MAX_SECS)?;
        within("seeds.count", self.seeds.count, 1, 10_000)?;
        within("start_hour", self.start_hour, 0, 23)?;
        within("tracker.overlays", self.tracker.overlays, 1, 8)?;
        within("tracker.copies_max", self.tracker.copies_max, 1, COPIES_MAX)?;
        within("tracker.rate", self.tracker.rate, 1.0, 1e9)?;
        within(
            "population.sessions_per_day",
            self.population.sessions_per_day,
            0.0,
            1_000.0,
        )?;
        within(
            "catalog.bit_rate (in bit)",
            self.catalog.bit_rate.0,
            8_000.0,
            2e6,
        )?;
        within(
            "catalog.length_mean (in seconds)",
            self.catalog.length_mean.0,
            5.0,
            14_400.0,
        )?;
        within("origin.egress (in bit)", self.origin.egress.0, 1e3, 1e15)?;
        self.check_shares()?;
        self.check_names()?;
        self.check_behavior()?;
        self.check_releases()?;
        self.check_shared()?;
        self.check_numbers()?;
        for access in &self.access {
            within(
                &format!("down of access {}", access.name),
                access.down.0,
                1e3,
                1e12,
            )?;
            within(
                &format!("up of access {}", access.name),
                access.up.0,
                1e3,
                1e12,
            )?;
        }
        for device in &self.device {
            within(
                &format!("freezes_per_hour of device {}", device.name),
                device.freezes_per_hour,
                0.0,
                3_600.0,
            )?;
        }
        let memory = self.memory_estimate();
        if memory > MEMORY_MAX {
            return Err(Impossible {
                what: "the memory of users, caches and catalog".to_owned(),
                value: format!("about {:.1} GB", memory / 1e9),
                limit: format!(
                    "at most {:.0} GB are allowed: fewer users or smaller caches",
                    MEMORY_MAX / 1e9
                ),
            });
        }
        Ok(())
    }

    fn check_shares(&self) -> Result<(), Impossible> {
        let listening = &self.listening;
        let shares = [
            ("population.listening", self.population.listening),
            (
                "population.silent_departures",
                self.population.silent_departures,
            ),
            ("listening.random", listening.random),
            ("listening.repeat", listening.repeat),
            ("listening.skip_5s", listening.skip_5s),
            ("listening.skip_30s", listening.skip_30s),
            ("listening.skip_end", listening.skip_end),
            ("listening.seek", listening.seek),
            ("catalog.top", self.catalog.top),
            ("catalog.takes", self.catalog.takes),
            ("network.loss", self.network.loss),
        ];
        for (what, share) in shares {
            within(what, share, Share(0.0), Share(1.0))?;
        }
        within(
            "listening.skip_30s",
            listening.skip_30s,
            listening.skip_5s,
            listening.skip_end,
        )?;
        sum_to_one("access", self.access.iter().map(|access| access.share))?;
        sum_to_one("nat", self.nat.iter().map(|nat| nat.share))?;
        sum_to_one("device", self.device.iter().map(|device| device.share))?;
        if !self.region.is_empty() {
            sum_to_one("region", self.region.iter().map(|region| region.share))?;
        }
        within(
            "the number of [[access]], [[nat]], [[device]] or [[region]]",
            self.widest(),
            1,
            200,
        )
    }

    fn check_behavior(&self) -> Result<(), Impossible> {
        within("the number of [[behavior]]", self.behavior.len(), 0, 16)?;
        for behavior in &self.behavior {
            within("share of behavior", behavior.share, Share(0.0), Share(1.0))?;
            within(
                "chance of behavior",
                behavior.chance,
                Share(0.0),
                Share(1.0),
            )?;
            within("claims of behavior", behavior.claims, 0, CLAIMS_MAX)?;
            within("prefixes of behavior", behavior.prefixes, 1, 65_536)?;
            within("rate of behavior (in bit)", behavior.rate.0, 1e3, 1e9)?;
        }
        let bad: f64 = self.behavior.iter().map(|behavior| behavior.share.0).sum();
        within(
            "the sum of all `share` of [[behavior]]",
            Share(bad),
            Share(0.0),
            Share(1.0),
        )
    }

    fn check_releases(&self) -> Result<(), Impossible> {
        within("the number of [[release]]", self.release.len(), 0, 100)?;
        for release in &self.release {
            within("tracks of release", release.tracks, 1, 1_000)?;
            within("at of release", release.at, Time(0.0), self.duration)?;
            within(
                "within of release",
                release.within,
                Time(1.0),
                self.duration,
            )?;
            let (none, all) = (Share(0.0), Share(1.0));
            within("followers of release", release.followers, none, all)?;
        }
        Ok(())
    }

    fn check_shared(&self) -> Result<(), Impossible> {
        let shared = self.network.shared;
        let rate = |what: &str, rate: Rate| within(&format!("{what} (in bit)"), rate.0, 1e3, 1e15);
        if let Some(household) = shared.household {
            within(
                "people of network.shared.household",
                household.people,
                1,
                100,
            )?;
            rate("wifi of network.shared.household", household.wifi)?;
        }
        if let Some(last_mile) = shared.last_mile {
            within(
                "homes of network.shared.last_mile",
                last_mile.homes,
                1,
                1_000_000,
            )?;
            rate("up of network.shared.last_mile", last_mile.up)?;
            rate("down of network.shared.last_mile", last_mile.down)?;
        }
        match shared.inter_region {
            Some(between) => rate("network.shared.inter_region", between),
            None => Ok(()),
        }
    }

    fn widest(&self) -> usize {
        let lists = [
            self.access.len(),
            self.nat.len(),
            self.device.len(),
            self.region.len(),
        ];
        lists.into_iter().max().unwrap_or_default()
    }

    fn check_names(&self) -> Result<(), Impossible> {
        let one_of = |what: &str, value: &str, known: &[&str]| {
            if known.contains(&value) {
                return Ok(());
            }
            Err(Impossible {
                what: what.to_owned(),
                value: format!("\"{value}\""),
                limit: format!("must be one of {}", known.join(", ")),
            })
        };
        one_of(
            "network.allocator",
            &self.network.allocator,
            &["share", "maxmin-local", "maxmin"],
        )?;
        one_of("variant", &self.variant, crate::variant::NAMES)?;
        let nats: Vec<&str> = self.nat.iter().map(|nat| nat.name.as_str()).collect();
        for nat in &self.nat {
            if nat.web_only && !nat.udp_blocked {
                return Err(Impossible {
                    what: format!("web_only of nat {}", nat.name),
                    value: "true".to_owned(),
                    limit: "goes with udp_blocked = true".to_owned(),
                });
            }
            for (other, chance) in &nat.punch {
                one_of(
                    &format!("a name in punch of nat {}", nat.name),
                    other,
                    &nats,
                )?;
                within(
                    &format!("punch of nat {}", nat.name),
                    *chance,
                    Share(0.0),
                    Share(1.0),
                )?;
            }
        }
        Ok(())
    }

    /// Tracks in a cache that is full, on average.
    #[must_use]
    pub fn cached_tracks(&self) -> f64 {
        let track = self.catalog.length_mean.0 * self.catalog.bit_rate.bytes();
        let copies = self.device.iter().map(|device| {
            let mean = device.cache.0 * libm::exp(device.cache_sigma * device.cache_sigma / 2.0);
            device.share.0 * device.warm.0 * mean.min(device.cache_max.0) / track
        });
        copies.sum::<f64>().min(f64::from(self.catalog.tracks))
    }

    /// About how many bytes a run needs.
    #[must_use]
    pub fn memory_estimate(&self) -> f64 {
        let users = f64::from(self.population.users);
        let online = BYTES_PER_NODE + self.cached_tracks() * BYTES_PER_COPY;
        let each = BYTES_PER_USER + self.cached_tracks() * 8.0;
        users * (each + self.online_at_most() * online) + f64::from(self.catalog.tracks) * 32.0
    }

    /// The part of the people online in the busiest hour, about.
    fn online_at_most(&self) -> f64 {
        let people = self.population;
        if people.sessions_per_day == 0.0 {
            return 1.0;
        }
        let spread = people.session_sigma * people.session_sigma / 2.0;
        let mean = people.session_median.0 * libm::exp(spread);
        let busiest = if people.diurnal { BUSIEST_HOUR } else { 1.0 };
        (people.sessions_per_day * mean / 86_400.0 * busiest).min(1.0)
    }
}
