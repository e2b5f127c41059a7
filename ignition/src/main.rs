//! `ferric-ignition`: makes the Ignition config that starts the agent, and brings it to a machine.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cli;

/// Makes the Ignition config that starts the agent on a CoreOS live system, and brings it there by ISO or network.
///
/// Exit codes: 0 done, 1 the work failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(name = "ferric-ignition", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write an Ignition config that runs the agent, to standard output
    Config(cli::config::Arguments),
    /// Configure an unmodified live ISO: its Ignition config and its kernel arguments
    #[command(subcommand)]
    Iso(cli::iso::Command),
    /// Write an iPXE script, or the kernel arguments, for a live system booted by network
    Pxe(cli::pxe::Arguments),
}

fn main() -> ExitCode {
    let done = match CommandLine::parse().command {
        Command::Config(arguments) => cli::config::run(&arguments),
        Command::Iso(command) => cli::iso::run(&command),
        Command::Pxe(arguments) => cli::pxe::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferric-ignition: {error:#}");
            ExitCode::FAILURE
        }
    }
}
