//! Every maximum of the core in one place, with its reason.

/// Expected renditions looked at for prefetch: the next and one alternative; guess.
pub const EXPECTED_MAX: usize = 2;
