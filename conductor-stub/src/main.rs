//! `conductor-stub`: the command line. Every subcommand is a file of [`conductor_stub::cli`].

use std::process::ExitCode;

use clap::Parser;
use conductor_stub::cli::{self, Command, CommandLine};
use conductor_stub::log;

#[tokio::main]
async fn main() -> ExitCode {
    log::start();
    let result = match CommandLine::parse().command {
        Command::Demo(arguments) => cli::demo::run(arguments).await,
        Command::Lab(arguments) => cli::lab::run(arguments).await,
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
