//! `ferric-agent`: the command line. Every subcommand is a file of [`ferric_agent::cli`].

use std::io::IsTerminal;
use std::process::ExitCode;

use ferric_agent::cli::{self, Command};

fn main() -> ExitCode {
    // Whoever types the bare name wants to know what this is; a service has no terminal.
    let is_watched = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let outcome = match cli::parse(std::env::args_os().collect(), is_watched) {
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
