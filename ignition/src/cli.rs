//! The command line of `ferric-ignition`. One file per subcommand: its arguments, and what it does with the library.

mod config;
mod customize;
mod input;
mod iso;
mod output;
mod print;
mod pxe;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  A config that starts the agent's container, into a live ISO:
    ferric-ignition config --api-url http://192.0.2.1:6385 --image registry.example/ferric-agent -o config.ign
    ferric-ignition iso embed live.iso -i config.ign -o agent.iso
  What an ISO was given:
    ferric-ignition iso show agent.iso
    ferric-ignition iso kargs show agent.iso
  For network boot:
    ferric-ignition pxe --kernel-url http://192.0.2.1/kernel --initramfs-url http://192.0.2.1/initramfs.img \\
        --rootfs-url http://192.0.2.1/rootfs.img --ignition-url http://192.0.2.1/config.ign

Exit codes: 0 done, 1 the work failed, 2 wrong usage.";

/// Makes the Ignition config that starts the agent on a CoreOS live system, and brings it there by ISO or network.
#[derive(Debug, Parser)]
#[command(name = "ferric-ignition", version = env!("FERRIC_VERSION"), max_term_width = 100, after_help = EXAMPLES)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write an Ignition config that runs the agent, to standard output
    Config(config::Arguments),
    /// Configure an unmodified live ISO: its Ignition config and its kernel arguments
    #[command(subcommand)]
    Iso(iso::Command),
    /// Write an iPXE script, or the kernel arguments, for a live system booted by network
    Pxe(pxe::Arguments),
}

impl CommandLine {
    /// Does what was asked.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.command {
            Command::Config(arguments) => config::run(arguments),
            Command::Iso(command) => iso::run(command),
            Command::Pxe(arguments) => pxe::run(arguments),
        }
    }
}
