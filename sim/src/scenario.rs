//! What a world is made of, as a person writes it: TOML with `schema = 1`.
//!
//! Every key has a default; an unknown key is an error with its line and a suggestion. Not here:
//! what the world does with it.

mod behavior;
mod builtin;
mod check;
mod numbers;
mod read;
mod release;
mod shared;
pub mod units;

use serde::{Deserialize, Serialize};

pub use behavior::{Behavior, Conduct};
pub use builtin::{BUILT_IN, built_in};
pub use check::{Impossible, USERS_MAX};
pub use read::{ReadError, nearest};
pub use release::Release;
pub use shared::{Household, LastMile, Shared};
use units::{Rate, Share, Size, Time};

/// The one version of the format.
pub const SCHEMA: u32 = 1;

/// A whole scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Version of the format: 1.
    pub schema: u32,
    /// Its name.
    pub name: String,
    /// What it is about, in a sentence.
    #[serde(default)]
    pub describe: String,
    /// Simulated time that is measured, after `settle`.
    pub duration: Time,
    /// Simulated time before measuring.
    #[serde(default)]
    pub settle: Time,
    /// Local hour of the first region at the start of measuring.
    #[serde(default)]
    pub start_hour: u32,
    /// Whose policy runs: `antiphon`, `origin-only` or `spotify-2010`.
    #[serde(default = "antiphon")]
    pub variant: String,
    /// Seeds.
    #[serde(default)]
    pub seeds: Seeds,
    /// People.
    pub population: Population,
    /// How they listen.
    #[serde(default)]
    pub listening: Listening,
    /// What there is to hear.
    pub catalog: Catalog,
    /// The network in general.
    #[serde(default)]
    pub network: NetworkModel,
    /// Regions; one if none is given.
    #[serde(default)]
    pub region: Vec<Region>,
    /// Access lines.
    pub access: Vec<Access>,
    /// NATs.
    pub nat: Vec<Nat>,
    /// Devices.
    pub device: Vec<Device>,
    /// People who do not behave.
    #[serde(default)]
    pub behavior: Vec<Behavior>,
    /// Tracks that come out during the run.
    #[serde(default)]
    pub release: Vec<Release>,
    /// The tracker.
    #[serde(default)]
    pub tracker: Tracker,
    /// The origin.
    #[serde(default)]
    pub origin: Origin,
    /// Things that go wrong.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// Bounds the report compares with.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// Names of inputs that were fitted to results, for the report.
    #[serde(default)]
    pub fitted: Vec<String>,
}

fn antiphon() -> String {
    "antiphon".to_owned()
}

/// Which seeds a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seeds {
    /// How many.
    pub count: u32,
    /// The first; the others follow it.
    pub root: u64,
}

impl Default for Seeds {
    fn default() -> Self {
        Self { count: 1, root: 1 }
    }
}

/// The people.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// How many there are.
    pub users: u32,
    /// Times a day each comes online; zero is always online.
    #[serde(default)]
    pub sessions_per_day: f64,
    /// Median time online.
    #[serde(default = "half_hour")]
    pub session_median: Time,
    /// Deviation of its logarithm.
    #[serde(default = "session_sigma")]
    pub session_sigma: f64,
    /// Part of the online time somebody listens.
    pub listening: Share,
    /// Median time somebody listens at a stretch.
    #[serde(default = "half_hour")]
    pub stretch_median: Time,
    /// Whether the day has busy and quiet hours.
    #[serde(default = "yes")]
    pub diurnal: bool,
    /// Part of all departures without a goodbye.
    #[serde(default = "half")]
    pub silent_departures: Share,
}

const fn half_hour() -> Time {
    Time(1_800.0)
}

const fn session_sigma() -> f64 {
    1.2
}

const fn yes() -> bool {
    true
}

const fn half() -> Share {
    Share(0.5)
}

/// How people listen. Defaults: published figures where there are some.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listening {
    /// Plays of a track nobody could expect: 39 % (Kreitz and Niemela 2010).
    pub random: Share,
    /// Plays of something from the own cache. Fitted to the published cache share.
    pub repeat: Share,
    /// Plays skipped within 5 s (2014: 24.5 %).
    pub skip_5s: Share,
    /// Plays skipped within 30 s, those included.
    pub skip_30s: Share,
    /// Plays skipped before the end, those included.
    pub skip_end: Share,
    /// Plays with a jump. Guess.
    pub seek: Share,
}

impl Default for Listening {
    fn default() -> Self {
        Self {
            random: Share(0.39),
            repeat: Share(0.4),
            skip_5s: Share(0.245),
            skip_30s: Share(0.3505),
            skip_end: Share(0.486),
            seek: Share(0.02),
        }
    }
}

/// The music.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Tracks.
    pub tracks: u32,
    /// The most popular part of the catalog...
    #[serde(default = "top")]
    pub top: Share,
    /// ... that takes this part of the plays; the exponent of the Zipf law is solved from both.
    #[serde(default = "takes")]
    pub takes: Share,
    /// Mean length.
    #[serde(default = "track_mean")]
    pub length_mean: Time,
    /// Deviation of its logarithm.
    #[serde(default = "track_sigma")]
    pub length_sigma: f64,
    /// Rate of the one rendition everybody plays.
    #[serde(default = "standard_rate")]
    pub bit_rate: Rate,
}

const fn top() -> Share {
    Share(0.12)
}

const fn takes() -> Share {
    Share(0.88)
}

const fn track_mean() -> Time {
    Time(197.0)
}

const fn track_sigma() -> f64 {
    0.3
}

const fn standard_rate() -> Rate {
    Rate(160_000.0)
}

/// The network in general.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkModel {
    /// `share`, `maxmin-local` or `maxmin`.
    pub allocator: String,
    /// Round trip between two points of one region, without the access lines.
    pub within: Time,
    /// The same between two regions.
    pub between: Time,
    /// Packets lost.
    pub loss: Share,
    /// Whether the tracker introduces peers for hole punching.
    pub punching: bool,
    /// Whether the tracker asks a peer behind a NAT to connect back.
    pub connect_back: bool,
    /// What people share beside their own lines.
    pub shared: Shared,
}

impl Default for NetworkModel {
    fn default() -> Self {
        Self {
            allocator: "maxmin-local".to_owned(),
            within: Time(0.010),
            between: Time(0.030),
            loss: Share(0.002),
            punching: true,
            connect_back: true,
            shared: Shared::default(),
        }
    }
}

/// A part of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its part of the people.
    pub share: Share,
    /// Hours its clocks are ahead of the first region's.
    #[serde(default)]
    pub hours_ahead: i32,
}

/// A kind of access line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Its name.
    pub name: String,
    /// Its part of the people.
    pub share: Share,
    /// Median rate down.
    pub down: Rate,
    /// Median rate up.
    pub up: Rate,
    /// Deviation of the logarithm of both.
    #[serde(default)]
    pub sigma: f64,
    /// Median round trip the line itself adds.
    pub height: Time,
    /// Deviation of its logarithm.
    #[serde(default)]
    pub height_sigma: f64,
    /// Uploads cost money: there are none.
    #[serde(default)]
    pub metered: bool,
}

/// A kind of NAT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nat {
    /// Its name.
    pub name: String,
    /// Its part of the people.
    pub share: Share,
    /// Whether anybody may connect.
    #[serde(default)]
    pub inbound: bool,
    /// Whether there is no UDP: nodes that take connections are dialed over TCP, nobody else.
    #[serde(default)]
    pub udp_blocked: bool,
    /// Whether only the web gets through, so that there are no peers at all; goes with
    /// `udp_blocked`.
    #[serde(default)]
    pub web_only: bool,
    /// Chance of a punched connection with others, by name; zero if not named.
    #[serde(default)]
    pub punch: std::collections::BTreeMap<String, Share>,
}

/// A kind of device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its part of the people.
    pub share: Share,
    /// Median of the disk budget.
    pub cache: Size,
    /// Deviation of its logarithm.
    #[serde(default)]
    pub cache_sigma: f64,
    /// The largest disk budget.
    #[serde(default = "cache_max")]
    pub cache_max: Size,
    /// Part of the budget that is full at the start.
    #[serde(default = "whole")]
    pub warm: Share,
    /// Part of the uplink that may be used for uploads.
    #[serde(default = "tenth")]
    pub upload: Share,
    /// Time from the first bytes to sound: decoder and output buffer.
    #[serde(default = "decode")]
    pub decode: Time,
    /// Median time to read from disk.
    #[serde(default = "disk")]
    pub disk: Time,
    /// Deviation of its logarithm.
    #[serde(default = "disk_sigma")]
    pub disk_sigma: f64,
    /// Music that must be there before sound begins, in players that wait for some.
    #[serde(default)]
    pub start_buffer: Time,
    /// Times in an hour of sound that the machine itself (disk, CPU) does not get to decode.
    #[serde(default)]
    pub freezes_per_hour: f64,
    /// Median length of such a time. Guess: what a busy disk of 2010 took.
    #[serde(default = "freeze")]
    pub freeze: Time,
    /// Deviation of its logarithm.
    #[serde(default = "freeze_sigma")]
    pub freeze_sigma: f64,
}

const fn freeze() -> Time {
    Time(0.2)
}

const fn freeze_sigma() -> f64 {
    0.8
}

const fn cache_max() -> Size {
    Size(10e9)
}

const fn whole() -> Share {
    Share(1.0)
}

const fn tenth() -> Share {
    Share(0.1)
}

const fn decode() -> Time {
    Time(0.012)
}

const fn disk() -> Time {
    Time(0.001)
}

const fn disk_sigma() -> f64 {
    0.5
}

/// The tracker: the product's registry behind a modelled line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tracker {
    /// Round trip to it, without the access line.
    pub rtt: Time,
    /// Requests it answers a second.
    pub rate: f64,
    /// How long a license lasts from its last use on.
    pub lease: Time,
    /// Separate networks of peers, as the published design had one for each of its two sites.
    pub overlays: u8,
    /// Copies it remembers at most; its operator gives it memory for the people there are.
    pub copies_max: u32,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            rtt: Time(0.010),
            rate: 50_000.0,
            lease: Time(86_400.0),
            overlays: 1,
            // What the shipped tracker has.
            copies_max: 4 << 20,
        }
    }
}

/// The origin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Origin {
    /// Round trip to it, without the access line.
    pub rtt: Time,
    /// What it can send.
    pub egress: Rate,
    /// Median time it takes to find a span.
    pub first_byte: Time,
    /// Deviation of its logarithm.
    pub first_byte_sigma: f64,
}

impl Default for Origin {
    fn default() -> Self {
        Self {
            rtt: Time(0.010),
            egress: Rate(10e9),
            first_byte: Time(0.002),
            first_byte_sigma: 0.5,
        }
    }
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When, from the start of measuring.
    pub at: Time,
    /// For how long.
    #[serde(rename = "for", default)]
    pub lasts: Time,
    /// What.
    pub kind: FaultKind,
    /// Part of the people concerned (`mass-leave`), or of the capacity left (`origin-brownout`).
    #[serde(default = "half")]
    pub share: Share,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The origin answers nothing.
    OriginLost,
    /// The origin refuses at once.
    OriginRefuses,
    /// The origin's lines carry a part of what they do.
    OriginBrownout,
    /// The tracker is gone and comes back knowing nothing.
    TrackerRestart,
    /// A part of those online leaves without a word and comes back when it would anyway.
    MassLeave,
}

/// A bound the report compares with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name of a figure of the summary, such as `share.server`.
    pub figure: String,
    /// Lowest value that passes.
    #[serde(default)]
    pub min: f64,
    /// Highest value that passes.
    pub max: f64,
    /// Who says so.
    #[serde(default)]
    pub source: String,
}
