//! `antiphon`: the one program. Reads the command line, runs a command, maps its outcome to an
//! exit code.

mod args;
mod commands;
mod demo;
mod exit;
mod folders;
mod local_api;
mod output;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;

use args::{Cli, Command, LogFormat};

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli);
    let outcome = run(cli);
    if let Err(error) = &outcome {
        output::say(&format!("antiphon: {error:#}"));
    }
    exit::code(&outcome)
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = match cli.command {
        Command::Ingest(args) => commands::ingest::run(&args),
        Command::Sim(command) => commands::sim::run_command(command, cli.quiet),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "antiphon",
                &mut std::io::stdout(),
            );
            Ok(())
        }
        command => runtime.block_on(run_async(command)),
    };
    // A blocked read of the terminal must not keep the program alive.
    runtime.shutdown_background();
    outcome
}

async fn run_async(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Origin(args) => commands::origin::run(args).await,
        Command::Tracker(args) => commands::tracker::run(args).await,
        Command::Account(command) => commands::account::run(command).await,
        Command::Node(args) => commands::node::run(args).await,
        Command::Seed(args) => commands::node::seed(args).await,
        Command::Play(args) => commands::play::run(args).await,
        Command::Search(args) => commands::queries::search(args).await,
        Command::Queue(args) => commands::queries::queue(args).await,
        Command::Status(args) => commands::queries::status(args).await,
        Command::Cache(args) => commands::queries::cache(args).await,
        Command::Login(args) => commands::login::run(args).await,
        Command::Ingest(_) | Command::Sim(_) | Command::Completions { .. } => Ok(()),
    }
}

/// `ANTIPHON_LOG` beats the flags, for finding faults in one part.
fn start_log(cli: &Cli) {
    // yamux calls it an error of ours when another node breaks the rules.
    let default = match (cli.quiet, cli.verbose) {
        (true, _) => "error,yamux=off",
        (_, 0) => "warn,yamux=off",
        (_, 1) => "info,libp2p=warn,quinn=warn,yamux=off",
        (_, 2) => "debug,libp2p=info,quinn=info,quinn_proto=info,yamux=info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("ANTIPHON_LOG").unwrap_or_else(|_| default.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
