//! What runs are judged by: counting while they run, summing up afterwards.

pub mod histogram;
pub mod summary;
pub mod tally;
