//! `ferric-agent`: the command line. Every subcommand is a file of [`ferric_agent::cli`].

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ferric_agent::cli;

/// The Ironic agent: runs on a machine and does what the conductor asks.
#[derive(Debug, Parser)]
#[command(name = "ferric-agent", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the conductor: look-up, heartbeat, REST API (the default)
    Run(cli::run::Arguments),
    /// Print the inventory of this machine as JSON, as sent to the conductor
    Inventory(cli::inventory::Arguments),
    /// List eligible and rejected block devices, with the reason for each rejection
    Disks(cli::disks::Arguments),
    /// Print the device that root device hints choose
    RootDevice(cli::root_device::Arguments),
    /// Write an image to a block device
    WriteImage(Box<cli::write_image::Arguments>),
    /// Erase a block device
    Erase(cli::erase::Arguments),
    /// List every clean, deploy and service step
    Steps(cli::steps::Arguments),
    /// Configure the network of a ramdisk by the network data that came with its boot medium
    Network(cli::network::Arguments),
}

fn main() -> ExitCode {
    let arguments = cli::with_default_subcommand(std::env::args_os().collect::<Vec<OsString>>());
    let outcome = match Cli::parse_from(arguments).command {
        Command::Run(arguments) => cli::run::run(arguments),
        Command::Inventory(arguments) => cli::inventory::run(arguments),
        Command::Disks(arguments) => cli::disks::run(arguments),
        Command::RootDevice(arguments) => cli::root_device::run(arguments),
        Command::WriteImage(arguments) => cli::write_image::run(*arguments),
        Command::Erase(arguments) => cli::erase::run(arguments),
        Command::Steps(arguments) => cli::steps::run(arguments),
        Command::Network(arguments) => cli::network::run(arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferric-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
