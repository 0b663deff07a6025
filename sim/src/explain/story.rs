//! What a story is made of, and what it says.

use antiphon_swarm::{Input, Output};
use serde::Serialize;

use crate::measure::stall::StallCause;
use crate::world::Ending;

/// Something that happened to one listener.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    /// Their core was told something.
    Input(Input),
    /// Their core asked for something.
    Output(Output),
    /// They pressed play.
    Pressed {
        track: u32,
        expected: bool,
        cached: bool,
    },
    /// The license was there.
    Licensed,
    /// Sound will begin, or begins again after a jump, in so many microseconds.
    Sound { second: f64, after: u64 },
    /// Sound stopped for want of data before this second of music.
    Stalled {
        second: f64,
        chunk: u32,
        cause: StallCause,
    },
    /// Sound went on.
    Resumed { second: f64 },
    /// They jumped.
    Jumped { from: f64, to: f64 },
    /// The play was over.
    Ended {
        ending: Ending,
        second: f64,
        heard: [u64; 3],
        /// Microseconds the machine itself hung.
        frozen: u64,
    },
}

/// Somebody, as seen from the listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Who {
    /// Which node.
    pub node: u32,
    /// Where.
    pub region: String,
    /// On which line.
    pub access: String,
    /// Behind what.
    pub nat: String,
    /// With which device.
    pub device: String,
    /// Whether they may upload.
    pub may_upload: bool,
    /// How far from the listener.
    pub rtt_ms: f64,
}

/// One line of the story. Times count from pressing play, in milliseconds; what was prefetched
/// lies before zero.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// When.
    pub at_ms: f64,
    /// Of what kind: `player`, `ask`, `answer`, `peer`, `tracker`.
    pub kind: &'static str,
    /// What.
    pub text: String,
}

/// One span asked of one source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Request {
    /// Its number in the story.
    pub number: usize,
    /// Of whom: `origin`, `origin over HTTP` or `peer N`.
    pub source: String,
    /// Its chunks, the second not included.
    pub first: u32,
    /// See `first`.
    pub end: u32,
    /// How urgent.
    pub priority: &'static str,
    /// How long the bytes were of use.
    pub useful_ms: f64,
    /// Whether another source had been asked for some of it and had not sent it yet.
    pub is_hedge: bool,
    /// When it was asked.
    pub asked_ms: f64,
    /// When the first chunk was there.
    pub first_ms: Option<f64>,
    /// When it was over.
    pub over_ms: Option<f64>,
    /// How: `done`, `canceled`, `declined`, `failed`, `corrupt` or `open`.
    pub outcome: &'static str,
}

/// One stall.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stall {
    /// When.
    pub at_ms: f64,
    /// For how long; nothing if the play ended in it.
    pub lasted_ms: Option<f64>,
    /// Where in the music.
    pub second: f64,
    /// The first chunk that was missing.
    pub chunk: u32,
    /// Why.
    pub cause: &'static str,
}

/// Bytes heard by source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// From the origin.
    pub server: u64,
    /// From peers.
    pub peers: u64,
    /// From the own cache.
    pub cache: u64,
}

/// The story of one play.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// The seed of the run.
    pub seed: u64,
    /// Which play.
    pub play: String,
    /// When play was pressed, in seconds of simulated time.
    pub asked_s: f64,
    /// Popularity rank of the track.
    pub rank: u32,
    /// Its length.
    pub length_s: f64,
    /// Whether it was the expected track.
    pub expected: bool,
    /// Whether all of it was in the cache.
    pub cached: bool,
    /// Who listened.
    pub listener: Who,
    /// Whom they asked.
    pub peers: Vec<Who>,
    /// From pressing play to sound; nothing if none came.
    pub start_ms: Option<f64>,
    /// Where sound stopped.
    pub stalls: Vec<Stall>,
    /// How long the listener's machine itself hung, in all.
    pub hung_ms: f64,
    /// What was heard.
    pub heard: Heard,
    /// How it ended.
    pub ending: &'static str,
    /// What to make of it, in sentences.
    pub verdict: Vec<String>,
    /// What was asked of whom.
    pub requests: Vec<Request>,
    /// Everything in order.
    pub timeline: Vec<Line>,
}
