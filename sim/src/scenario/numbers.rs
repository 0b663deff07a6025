//! The range of every number a scenario may give, beside those [`super::check`] looks at.
//!
//! Wide enough for anything that can be meant, narrow enough that no run overflows, divides by
//! nothing or never ends.

use crate::scenario::Scenario;
use crate::scenario::check::{Impossible, within};
use crate::scenario::units::{Share, Time};

/// Deviations of logarithms: at 3 the 95th percentile is 140 times the median.
const SIGMA_MAX: f64 = 3.0;
/// Longest round trip, or part of one: a satellite's is 0.6 s.
const RTT_MAX: Time = Time(5.0);
/// Shortest and longest stay online or listening.
const STAY: (Time, Time) = (Time(1.0), Time(30.0 * 86_400.0));
/// Longest lease, and anything else that may last for a whole run.
const LONG: Time = Time(300.0 * 86_400.0);
/// The largest cache: what the core can count a track's copies of.
const CACHE_MAX: f64 = 1e13;

impl Scenario {
    pub(super) fn check_numbers(&self) -> Result<(), Impossible> {
        self.check_people()?;
        self.check_services()?;
        self.check_lines()?;
        self.check_devices()?;
        self.check_faults()
    }

    fn check_people(&self) -> Result<(), Impossible> {
        let people = &self.population;
        stay("population.session_median", people.session_median)?;
        stay("population.stretch_median", people.stretch_median)?;
        sigma("population.session_sigma", people.session_sigma)?;
        sigma("catalog.length_sigma", self.catalog.length_sigma)?;
        // A law in which the top takes less than its even part is none of popularity.
        within(
            "catalog.takes",
            self.catalog.takes,
            self.catalog.top,
            Share(1.0),
        )?;
        within("network.loss", self.network.loss, Share(0.0), Share(0.5))
    }

    fn check_services(&self) -> Result<(), Impossible> {
        rtt("network.within", self.network.within)?;
        rtt("network.between", self.network.between)?;
        rtt("tracker.rtt", self.tracker.rtt)?;
        rtt("origin.rtt", self.origin.rtt)?;
        rtt("origin.first_byte", self.origin.first_byte)?;
        sigma("origin.first_byte_sigma", self.origin.first_byte_sigma)?;
        within("tracker.lease", self.tracker.lease, Time(0.0), LONG)
    }

    fn check_lines(&self) -> Result<(), Impossible> {
        for access in &self.access {
            let key = |key: &str| format!("{key} of access {}", access.name);
            rtt(&key("height"), access.height)?;
            sigma(&key("sigma"), access.sigma)?;
            sigma(&key("height_sigma"), access.height_sigma)?;
        }
        for region in &self.region {
            let what = format!("hours_ahead of region {}", region.name);
            within(&what, region.hours_ahead, -24, 24)?;
        }
        let names = [
            ("access", self.access.iter().map(|a| &a.name).collect()),
            ("nat", self.nat.iter().map(|nat| &nat.name).collect()),
            ("device", self.device.iter().map(|d| &d.name).collect()),
            ("region", self.region.iter().map(|r| &r.name).collect()),
        ];
        names
            .into_iter()
            .try_for_each(|(what, names)| once_each(what, names))
    }

    fn check_devices(&self) -> Result<(), Impossible> {
        for device in &self.device {
            let key = |key: &str| format!("{key} of device {}", device.name);
            within(&key("cache (in bytes)"), device.cache.0, 0.0, CACHE_MAX)?;
            within(
                &key("cache_max (in bytes)"),
                device.cache_max.0,
                0.0,
                CACHE_MAX,
            )?;
            sigma(&key("cache_sigma"), device.cache_sigma)?;
            sigma(&key("disk_sigma"), device.disk_sigma)?;
            within(&key("warm"), device.warm, Share(0.0), Share(1.0))?;
            within(&key("upload"), device.upload, Share(0.0), Share(1.0))?;
            within(&key("decode"), device.decode, Time(0.0), Time(10.0))?;
            within(&key("disk"), device.disk, Time(0.0), Time(10.0))?;
            within(
                &key("start_buffer"),
                device.start_buffer,
                Time(0.0),
                Time(30.0),
            )?;
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), Impossible> {
        within("the number of [[fault]]", self.fault.len(), 0, 10_000)?;
        for fault in &self.fault {
            within("at of a fault", fault.at, Time(0.0), self.duration)?;
            within("for of a fault", fault.lasts, Time(0.0), LONG)?;
            within("share of a fault", fault.share, Share(0.0), Share(1.0))?;
        }
        Ok(())
    }
}

fn rtt(what: &str, time: Time) -> Result<(), Impossible> {
    within(what, time, Time(0.0), RTT_MAX)
}

fn stay(what: &str, time: Time) -> Result<(), Impossible> {
    within(what, time, STAY.0, STAY.1)
}

fn sigma(what: &str, sigma: f64) -> Result<(), Impossible> {
    within(what, sigma, 0.0, SIGMA_MAX)
}

fn once_each(what: &str, names: Vec<&String>) -> Result<(), Impossible> {
    let twice = names
        .iter()
        .enumerate()
        .find(|(at, name)| names.iter().take(*at).any(|n| n == *name));
    match twice {
        None => Ok(()),
        Some((_, name)) => Err(Impossible {
            what: format!("a name of [[{what}]]"),
            value: format!("\"{name}\""),
            limit: "that name is taken by another one".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::built_in;

    /// `today-desktop` with one line replaced.
    fn refusal(from: &str, to: &str) -> String {
        let text = built_in("today-desktop").expect("built in").1;
        assert!(text.contains(from), "{from}");
        let refused = Scenario::read(&text.replacen(from, to, 1));
        refused.expect_err(to).to_string()
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_key_value_and_limit() {
        let cases = [
            (
                "session_median = \"1h\"",
                "session_median = \"0s\"",
                "population.session_median",
            ),
            ("session_sigma = 1.0", "session_sigma = nan", "NaN"),
            ("session_sigma = 1.0", "session_sigma = 50.0", "from 0 to 3"),
            (
                "height = \"6ms\"",
                "height = \"6m\"",
                "height of access fiber is 6m",
            ),
            ("sigma = 0.5", "sigma = -1.0", "sigma of access fiber is -1"),
            (
                "upload = \"10%\"",
                "upload = \"300%\"",
                "upload of device desktop is 300%",
            ),
            (
                "cache = \"2.2GB\"",
                "cache = \"2200TB\"",
                "cache (in bytes) of device desktop",
            ),
            (
                "cache_sigma = 0.5",
                "cache_sigma = inf",
                "cache_sigma of device desktop is inf",
            ),
            ("tracks = 26000", "tracks = 0", "catalog.tracks is 0"),
            ("tracks = 26000", "tracks = 900000000", "from 1 to 20000000"),
            (
                "name = \"cable\"",
                "name = \"fiber\"",
                "taken by another one",
            ),
        ];
        for (from, to, part) in cases {
            let error = refusal(from, to);
            assert!(error.contains(part), "{to}: {error}");
        }
    }

    #[test]
    fn what_does_not_fit_memory_is_refused_with_the_estimate_and_the_limit() {
        let text = built_in("hello").expect("built in").1;
        let large = text
            .replace("users = 200", "users = 2000000")
            .replace("tracks = 1500", "tracks = 5000000")
            .replace("cache = \"250MB\"", "cache = \"10GB\"");
        let error = Scenario::read(&large).expect_err("too large").to_string();
        assert!(
            error.contains("GB") && error.contains("fewer users"),
            "{error}"
        );
    }

    #[test]
    fn a_kind_nobody_knows_is_refused_with_those_there_are() {
        let text = built_in("hello").expect("built in").1;
        let refused = |more: &str| {
            let read = Scenario::read(&format!("{text}\n{more}"));
            read.expect_err(more).to_string()
        };
        let fault = refused("[[fault]]\nat = '1m'\nkind = 'origin-gone'");
        assert!(fault.contains("origin-lost"), "{fault}");
        let allocator = refused("[network]\nallocator = 'fair'");
        assert!(
            allocator.contains("share, maxmin-local, maxmin"),
            "{allocator}"
        );
        let late = refused("[[fault]]\nat = '2h'\nkind = 'origin-lost'");
        assert!(late.contains("at of a fault is 2h"), "{late}");
        let web = refused("[[nat]]\nname = 'web'\nshare = '0%'\nweb_only = true");
        assert!(web.contains("web_only of nat web is true"), "{web}");
    }
}
