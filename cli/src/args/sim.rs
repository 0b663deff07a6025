//! The command line of `antiphon sim`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Research runs: worlds in virtual time that drive the shipped swarm core.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// Runs a scenario.
    Run(SimRunArgs),
    /// Lists the built-in scenarios and variants.
    List {
        /// As JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Prints a scenario to start one's own from, with every key.
    New {
        /// The name of the new scenario.
        name: String,
        /// The built-in scenario it starts from.
        #[arg(long, default_value = "hello")]
        from: String,
    },
    /// Repeats the run in a folder and compares what happened.
    Verify {
        /// A folder written by `run --out`.
        folder: PathBuf,
        /// Runs at the same time.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
    },
    /// Runs one seed with the core's rules checked after every input.
    Replay {
        /// A built-in scenario or a file.
        scenario: String,
        /// The seed.
        #[arg(long)]
        seed: u64,
        /// Whose policy; the scenario's own by default.
        #[arg(long)]
        variant: Option<String>,
        /// The result as JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Runs two variants with the same seeds and shows what differs.
    Compare {
        /// A built-in scenario or a file.
        scenario: String,
        /// The variants, such as `origin-only,antiphon`.
        #[arg(long, value_delimiter = ',', required = true)]
        variants: Vec<String>,
        /// How many seeds; the scenario's own number by default.
        #[arg(long)]
        seeds: Option<u32>,
        /// Runs at the same time.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
        /// The result as JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Runs a scenario along axes; a sweep that was interrupted goes on where it was.
    Sweep(SimSweepArgs),
    /// Measures the bare event queue and `hello`.
    Bench {
        /// The result as JSON on stdout.
        #[arg(long)]
        json: bool,
    },
}

/// `antiphon sim run`.
#[derive(Args, Debug)]
pub struct SimRunArgs {
    /// A built-in scenario or a file.
    pub scenario: String,
    /// How many seeds; the scenario's own number by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub seeds: Option<u32>,
    /// Whose policy; the scenario's own by default.
    #[arg(long)]
    pub variant: Option<String>,
    /// Another number of users.
    #[arg(long)]
    pub users: Option<u32>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// A folder for manifest, tables and report; it must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The result as one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `antiphon sim sweep`.
#[derive(Args, Debug)]
pub struct SimSweepArgs {
    /// A built-in scenario or a file.
    pub scenario: String,
    /// A key and its values, such as `catalog.tracks=1000,2000`; repeat for more axes.
    #[arg(long = "axis", required = true, value_name = "KEY=VALUES")]
    pub axes: Vec<String>,
    /// How many seeds each; the scenario's own number by default.
    #[arg(long)]
    pub seeds: Option<u32>,
    /// Cells run at the same time.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Only every n-th cell, such as `0/4`, for several machines with one folder.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// The folder: one file a cell, and a table of those that are done.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
