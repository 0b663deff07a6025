//! What runs are judged by: counting while they run, summing up afterwards.

pub mod harm;
pub mod histogram;
pub mod released;
pub mod summary;
pub mod tally;
