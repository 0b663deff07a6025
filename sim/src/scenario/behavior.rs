//! People who do not behave: what a part of the population does with what others ask of it.
//!
//! Not here: what the world makes of it. Nothing of this reaches the core of an honest node other
//! than through what it sees of its peers.

use serde::{Deserialize, Serialize};

use crate::scenario::units::{Rate, Share};

/// A part of the people that behaves in one way. Whoever is in none is honest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behavior {
    /// How.
    pub kind: Conduct,
    /// Which part of the people.
    pub share: Share,
    /// Part of the spans asked of them that they treat so; the others they serve honestly.
    #[serde(default = "always")]
    pub chance: Share,
    /// They claim to hold this many of the most popular tracks, towards the tracker and towards
    /// every neighbor that says it wants something, whatever they hold.
    #[serde(default)]
    pub claims: u32,
    /// What `slow` ones send with, a span.
    #[serde(default = "trickle")]
    pub rate: Rate,
    /// How many network prefixes `eclipse` ones come from; the others have one each.
    #[serde(default = "prefixes")]
    pub prefixes: u32,
}

/// Ways to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conduct {
    /// Uploads nothing and says so: announces nothing, is no holder to anybody.
    Freerider,
    /// Announces what it holds, and declines every span as busy.
    Decliner,
    /// Declines every span as not held, also of what it announced.
    Liar,
    /// Sends bytes that are not those of the rendition.
    Polluter,
    /// Sends at a rate far below the music's.
    Slow,
    /// Sends one chunk and then nothing, without an end.
    Staller,
    /// No listener, but a program that connects to everybody it can, says to hold everything,
    /// answers searches with its accomplices, and accepts spans without sending a byte.
    Eclipse,
}

const fn always() -> Share {
    Share(1.0)
}

/// A fifth of the standard rate. Guess.
const fn trickle() -> Rate {
    Rate(32_000.0)
}

/// Addresses are cheap within few networks. Guess.
const fn prefixes() -> u32 {
    4
}
