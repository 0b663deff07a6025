//! What runs are judged by: counting while they run, summing up afterwards.

pub mod breakdown;
pub mod harm;
pub mod histogram;
pub mod released;
pub mod stall;
pub mod summary;
pub mod tally;
pub mod warmup;
