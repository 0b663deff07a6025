//! The subcommands: each turns its arguments into calls of the libraries and prints the outcome.

pub mod account;
pub mod ingest;
pub mod login;
pub mod node;
pub mod origin;
pub mod play;
pub mod queries;
mod service;
pub mod sim;
pub mod tracker;
