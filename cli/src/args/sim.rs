//! The command line of `antiphon sim`.

use std::path::PathBuf;

use antiphon_sim::explain::PlayName;
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
        /// A key of the scenario with another value; repeat for more.
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// The result as JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Tells the story of one play: what was asked of whom, when it came, why sound stopped.
    Explain(SimExplainArgs),
    /// Runs two variants with the same seeds and shows what differs.
    Compare(SimCompareArgs),
    /// Runs a scenario along axes; a sweep that was interrupted goes on where it was.
    Sweep(SimSweepArgs),
    /// Runs fault schedules in the packet harness: deterministic simulation testing.
    Fuzz(SimFuzzArgs),
    /// Compares the fluid model with packets, transfer by transfer.
    Fidelity {
        /// Other lines, distances and sizes than those the model is checked with.
        #[arg(long)]
        others: bool,
        /// The result as JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Measures the simulator: event queue, scale, and how soon a first report is there.
    Bench {
        /// Which rows of the project's list, by comma; 2 and 3 take long.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 4])]
        rows: Vec<u8>,
        /// Writes the rows to this file, too.
        #[arg(long)]
        out: Option<PathBuf>,
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
    /// A key of the scenario with another value, such as `catalog.tracks=5000`; repeat for more.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// More seeds until the 95 % half-width of a figure is at most this, such as
    /// `share.server=0.3%` or `start_ms.p50=5`.
    #[arg(long, value_name = "FIGURE=HALF-WIDTH")]
    pub until: Option<String>,
    /// With `--until`: no more seeds than this.
    #[arg(long, default_value_t = 40, requires = "until")]
    pub max_seeds: u32,
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

/// `antiphon sim explain`.
#[derive(Args, Debug)]
pub struct SimExplainArgs {
    /// A folder written by `run --out`, a built-in scenario or a file.
    pub scenario: String,
    /// The seed; the run's first by default.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Which play: the column `id` of `plays.csv`, such as 17-3. The one that fared worst by default.
    #[arg(long, value_name = "ID", value_parser = SimExplainArgs::play)]
    pub play: Option<PlayName>,
    /// Whose policy; the scenario's own by default.
    #[arg(long)]
    pub variant: Option<String>,
    /// A key of the scenario with another value; repeat for more.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The story as one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `antiphon sim compare`.
#[derive(Args, Debug)]
pub struct SimCompareArgs {
    /// A built-in scenario or a file.
    pub scenario: String,
    /// The variants, such as `origin-only,antiphon`.
    #[arg(long, value_delimiter = ',', required = true)]
    pub variants: Vec<String>,
    /// How many seeds; the scenario's own number by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub seeds: Option<u32>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// A key of the scenario with another value; repeat for more.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A folder for the comparison's report and a folder of each variant.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The result as JSON on stdout.
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
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub seeds: Option<u32>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Only every n-th run, such as `0/4`, for several machines with one folder.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<String>,
    /// A key of the scenario with another value in all cells; repeat for more.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The folder: one file for each cell and seed, and a table and a report of what is done.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The result as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `antiphon sim fuzz`. Ends with 10 after a broken promise of correctness, 11 of liveness, 12
/// after a crash.
#[derive(Args, Debug)]
pub struct SimFuzzArgs {
    /// How many schedules, one seed after the other.
    #[arg(long, default_value_t = 100)]
    pub schedules: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Schedules at the same time.
    #[arg(long, default_value_t = 1)]
    pub jobs: usize,
    /// Nodes of each schedule, 2 to 200.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=200))]
    pub nodes: u16,
    /// Simulated seconds with faults of each schedule.
    #[arg(long, default_value_t = 300)]
    pub seconds: u64,
    /// Failures after which the rest is not run.
    #[arg(long, default_value_t = 10)]
    pub failures: usize,
    /// The result as one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}
