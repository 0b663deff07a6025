//! What people share beside their own lines. Nothing of it is there unless it is given, and what is
//! not there costs nothing.

use serde::{Deserialize, Serialize};

use crate::scenario::units::Rate;

/// Bottlenecks between the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shared {
    /// Homes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub household: Option<Household>,
    /// What homes share on the way to the exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_mile: Option<LastMile>,
    /// What passes from one region into another, each way. The origin is in every region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inter_region: Option<Rate>,
}

/// People who live together: one line, one NAT, one Wi-Fi.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Household {
    /// How many.
    pub people: u32,
    /// What the Wi-Fi carries in both directions together.
    pub wifi: Rate,
}

/// Homes on one concentrator.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastMile {
    /// How many homes.
    pub homes: u32,
    /// What they can send together.
    pub up: Rate,
    /// What they can receive together.
    pub down: Rate,
}
