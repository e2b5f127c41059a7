//! `ferric-ignition`: the command line is in [`ferric_ignition::cli`].

use std::process::ExitCode;

use clap::Parser;
use ferric_ignition::cli::CommandLine;

fn main() -> ExitCode {
    match CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ferric-ignition: {error:#}");
            ExitCode::FAILURE
        }
    }
}
