//! The program as a process.

mod sweep;
