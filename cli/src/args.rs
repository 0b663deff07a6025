//! The command line as plain data.

mod sim;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use sim::{SimCommand, SimCompareArgs, SimExplainArgs, SimFuzzArgs, SimRunArgs, SimSweepArgs};

/// Music through peers, with the origin as fallback.
#[derive(Debug, Parser)]
#[command(name = "antiphon", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// More talk on stderr; repeat for more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No talk but errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// How the talk is written.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Forms of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A whole network on this machine, with music it makes itself.
    Demo(DemoArgs),
    /// Turns audio files into tracks of a library.
    Ingest(IngestArgs),
    /// Runs the origin: serves a library's encrypted content.
    Origin(OriginArgs),
    /// Runs the tracker: accounts, catalog, licenses, who holds what.
    Tracker(TrackerArgs),
    /// Manages accounts in a tracker's data folder.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Runs a node in the background, with its local API.
    Node(NodeArgs),
    /// Runs a node without a player that keeps what it is told to keep.
    Seed(SeedArgs),
    /// Searches and plays.
    Play(PlayArgs),
    /// Searches the catalog through the running node.
    Search(SearchArgs),
    /// Shows or extends the running node's queue.
    Queue(QueueArgs),
    /// Shows what the running node does.
    Status(ApiArgs),
    /// Shows where the running node's bytes came from and what it holds.
    Cache(ApiArgs),
    /// Logs this machine in at a tracker.
    Login(LoginArgs),
    /// Simulates whole networks in virtual time.
    #[command(subcommand)]
    Sim(SimCommand),
    /// Prints completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// `antiphon demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Real music instead of the made pieces: a file or folder.
    #[arg(long, value_name = "DIR")]
    pub music: Option<PathBuf>,
    /// How many listeners.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub listeners: u64,
    /// No table; end after --seconds.
    #[arg(long)]
    pub headless: bool,
    /// How long the listeners listen; without it until `q`, or 60 s when headless.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: Option<u64>,
    /// One JSON object with the figures at the end, on stdout.
    #[arg(long)]
    pub json: bool,
    /// Who plays what, when: the same seed gives the same people.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keep everything in this folder instead of a temporary one.
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// `antiphon ingest`.
#[derive(Args, Debug)]
pub struct IngestArgs {
    /// Audio files, or folders of them.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// The library's folder; made if it is not there.
    #[arg(long, env = "ANTIPHON_LIBRARY", value_name = "DIR")]
    pub library: PathBuf,
    /// Files worked on at the same time; all cores by default.
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Only these rungs; all three by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub rungs: Vec<RungArg>,
    /// The summary as JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// Names of rungs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RungArg {
    /// About 96 kbit/s.
    Low,
    /// About 160 kbit/s.
    Standard,
    /// About 320 kbit/s.
    High,
}

impl From<RungArg> for antiphon_protocol::Rung {
    fn from(rung: RungArg) -> Self {
        match rung {
            RungArg::Low => Self::Low,
            RungArg::Standard => Self::Standard,
            RungArg::High => Self::High,
        }
    }
}

/// What every service has.
#[derive(Args, Debug)]
pub struct ServiceArgs {
    /// Say where it listens as one JSON line on stdout.
    #[arg(long)]
    pub json: bool,
    /// End when standard input closes (for supervisors that hold it open).
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
}

/// `antiphon origin`.
#[derive(Args, Debug)]
pub struct OriginArgs {
    /// The library's folder.
    #[arg(long, env = "ANTIPHON_LIBRARY", value_name = "DIR")]
    pub library: PathBuf,
    /// Certificate and state.
    #[arg(long, env = "ANTIPHON_ORIGIN_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// Address of both ports, UDP for QUIC and TCP for HTTP; port 0 takes any.
    #[arg(long, default_value = "0.0.0.0:7790")]
    pub listen: SocketAddr,
    /// Public key of the tracker whose capabilities are asked for (`antiphon tracker` prints it);
    /// without it anybody may fetch the encrypted content.
    #[arg(long, value_name = "HEX")]
    pub tracker_key: Option<String>,
    /// Common to all services.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// `antiphon tracker`.
#[derive(Args, Debug)]
pub struct TrackerArgs {
    /// Database and keys.
    #[arg(long, env = "ANTIPHON_TRACKER_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// The library's folder, whose releases become the catalog.
    #[arg(long, env = "ANTIPHON_LIBRARY", value_name = "DIR")]
    pub library: PathBuf,
    /// Address for nodes, over UDP and over TCP; port 0 takes one free over both.
    #[arg(long, default_value = "0.0.0.0:7781")]
    pub listen: SocketAddr,
    /// TCP address for /livez, /readyz and /metrics; port 0 takes any.
    #[arg(long, default_value = "127.0.0.1:7780")]
    pub http: SocketAddr,
    /// An origin as `host:port#fingerprint`, as `antiphon origin` prints it; repeat for more.
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// Let anybody make an account.
    #[arg(long)]
    pub open_registration: bool,
    /// Make keys and database, print the public key, and end.
    #[arg(long)]
    pub init: bool,
    /// Common to all services.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// `antiphon account`.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Makes an account; the password is read from the terminal or ANTIPHON_PASSWORD.
    Add {
        /// Its name.
        name: String,
        /// The tracker's data folder.
        #[arg(long, env = "ANTIPHON_TRACKER_DATA", value_name = "DIR")]
        data: PathBuf,
    },
    /// Lists the accounts.
    List {
        /// The tracker's data folder.
        #[arg(long, env = "ANTIPHON_TRACKER_DATA", value_name = "DIR")]
        data: PathBuf,
        /// As JSON on stdout.
        #[arg(long)]
        json: bool,
    },
    /// Shuts an account out.
    Disable {
        /// Its name.
        name: String,
        /// The tracker's data folder.
        #[arg(long, env = "ANTIPHON_TRACKER_DATA", value_name = "DIR")]
        data: PathBuf,
    },
}

/// What a node of one's own needs.
#[derive(Args, Debug)]
pub struct OwnNodeArgs {
    /// The tracker as `host:port#fingerprint`; remembered by `antiphon login`.
    #[arg(long, env = "ANTIPHON_TRACKER", value_name = "TRACKER")]
    pub tracker: Option<String>,
    /// Keys, session and state; the XDG data folder by default.
    #[arg(long, env = "ANTIPHON_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Cached audio; the XDG cache folder by default.
    #[arg(long, env = "ANTIPHON_CACHE", value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Most bytes of cached audio, in megabytes; a tenth of the free disk by default.
    #[arg(long, value_name = "MB")]
    pub cache_mb: Option<u64>,
    /// UDP address for peers; port 0 takes any.
    #[arg(long, default_value = "0.0.0.0:7701")]
    pub listen: SocketAddr,
    /// Most that is uploaded, in kilobits a second; 0 uploads nothing.
    #[arg(long, value_name = "KBIT")]
    pub upload_kbit: Option<u32>,
    /// Share of the cache for copies kept for others, because few hold them, in percent; 0 keeps none.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=100))]
    pub placement: u16,
    /// Seconds online before this node offers to keep such copies.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub placement_after: u32,
    /// Account to log in with when there is no session; the password is ANTIPHON_PASSWORD.
    #[arg(long, env = "ANTIPHON_USER")]
    pub user: Option<String>,
    /// Make the account if the tracker lets anybody.
    #[arg(long)]
    pub register: bool,
    /// Ask only the origin, never peers.
    #[arg(long)]
    pub origin_only: bool,
    /// The quality to ask for.
    #[arg(long, value_enum, default_value_t = RungArg::Standard)]
    pub quality: RungArg,
}

/// `antiphon node`.
#[derive(Args, Debug)]
pub struct NodeArgs {
    /// The node.
    #[command(flatten)]
    pub own: OwnNodeArgs,
    /// Where sound goes: device, device:NAME, wav:FILE, null.
    #[arg(long, default_value = "device")]
    pub sink: String,
    /// TCP address of the local API; port 0 takes any.
    #[arg(long, default_value = "127.0.0.1:7700")]
    pub api: SocketAddr,
    /// Common to all services.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// `antiphon seed`.
#[derive(Args, Debug)]
pub struct SeedArgs {
    /// The node.
    #[command(flatten)]
    pub own: OwnNodeArgs,
    /// A track to keep, by id; repeat for more.
    #[arg(long = "keep", value_name = "TRACK")]
    pub keep: Vec<String>,
    /// Keep the whole catalog, as far as the cache's size allows.
    #[arg(long)]
    pub keep_all: bool,
    /// TCP address of the local API; port 0 takes any.
    #[arg(long, default_value = "127.0.0.1:7700")]
    pub api: SocketAddr,
    /// Common to all services.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// `antiphon play`.
#[derive(Args, Debug)]
pub struct PlayArgs {
    /// Words of title, artist or album; the matches become the queue.
    #[arg(required = true)]
    pub query: Vec<String>,
    /// The node.
    #[command(flatten)]
    pub own: OwnNodeArgs,
    /// Where sound goes: device, device:NAME, wav:FILE, null.
    #[arg(long, default_value = "device")]
    pub sink: String,
    /// Only the best match.
    #[arg(long)]
    pub one: bool,
    /// The figures of each play as JSON on stdout at the end.
    #[arg(long)]
    pub json: bool,
}

/// How a command finds the running node.
#[derive(Args, Debug)]
pub struct ApiArgs {
    /// Address of its local API.
    #[arg(long, env = "ANTIPHON_API", default_value = "127.0.0.1:7700")]
    pub api: SocketAddr,
    /// Its data folder; the XDG data folder by default.
    #[arg(long, env = "ANTIPHON_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// As JSON on stdout.
    #[arg(long)]
    pub json: bool,
}

/// `antiphon search`.
#[derive(Args, Debug)]
pub struct SearchArgs {
    /// Words of title, artist or album.
    #[arg(required = true)]
    pub query: Vec<String>,
    /// The running node.
    #[command(flatten)]
    pub node: ApiArgs,
}

/// `antiphon queue`.
#[derive(Args, Debug)]
pub struct QueueArgs {
    /// Track ids to append; without any, the queue is shown.
    pub tracks: Vec<String>,
    /// The running node.
    #[command(flatten)]
    pub node: ApiArgs,
}

/// `antiphon login`.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// The account's name; the password is read from the terminal or ANTIPHON_PASSWORD.
    pub user: String,
    /// The tracker as `host:port#fingerprint`.
    #[arg(long, env = "ANTIPHON_TRACKER", value_name = "TRACKER")]
    pub tracker: String,
    /// Keys, session and state; the XDG data folder by default.
    #[arg(long, env = "ANTIPHON_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Make the account if the tracker lets anybody.
    #[arg(long)]
    pub register: bool,
}
