//! The conductor stub: argument table only; each subcommand is a file in `cli/`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conductor_stub::{cli, log};

/// A conductor that drives the Ironic agent end to end.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the whole life of one machine on a throw-away disk (root).
    Demo(cli::demo::Arguments),
    /// Serve the conductor: its API, artefacts and page.
    Serve(cli::serve::Arguments),
    /// Take BareMetalHosts (Metal3's documents) where they are to be.
    Apply(cli::apply::Arguments),
    /// Show machines as BareMetalHosts.
    Get(cli::get::Arguments),
    /// Serve the Redfish emulator alone.
    Bmc(cli::bmc::Arguments),
    /// Download the artefacts of a CoreOS release.
    DownloadCoreos(cli::download_coreos::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    log::start();
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => cli::demo::run(arguments).await,
        Command::Serve(arguments) => cli::serve::run(arguments).await,
        Command::Apply(arguments) => cli::apply::run(arguments).await,
        Command::Get(arguments) => cli::get::run(arguments).await,
        Command::Bmc(arguments) => cli::bmc::run(arguments).await,
        Command::DownloadCoreos(arguments) => cli::download_coreos::run(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conductor-stub: {error:#}");
            ExitCode::FAILURE
        }
    }
}
