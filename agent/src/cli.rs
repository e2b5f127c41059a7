//! The command line of `ferric-agent`. One file per subcommand: its arguments and what it does.

use std::ffi::OsString;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub mod confirmation;
pub mod disks;
mod display;
pub mod erase;
pub mod inventory;
pub mod machine;
pub mod network;
mod print;
pub mod root_device;
pub mod run;
pub mod servers;
pub mod steps;
pub mod write_image;

/// The name of the agent that this one replaces. Called by it, the program takes that agent's options.
const IPA: &str = "ironic-python-agent";

const EXAMPLES: &str = "\
Examples:
  What it may touch on this machine, and why not the rest:
    ferric-agent disks
  Write an image to a disk, verified before anything can boot from it:
    ferric-agent write-image --device /dev/sdX --url http://192.0.2.1/image.qcow2 --checksum-url http://192.0.2.1/SHA256SUMS
  Erase a disk, and keep the record of it:
    ferric-agent erase --device /dev/sdX --full --report sdX.json --yes-destroy-data
  Serve a conductor (run is the default where there is an option or no terminal):
    ferric-agent run --api-url http://192.0.2.1:6385

Exit codes: 0 done, 1 the work failed, 2 wrong usage.";

const RUN_EXAMPLES: &str = "\
Options come, from weak to strong, from: built-in defaults, the kernel command line, virtual media, files, the environment
(OS_DEFAULT__API_URL), this command line, and what the conductor says at look-up. [kernel: NAME] is the kernel argument.

Examples:
  ferric-agent run --api-url http://192.0.2.1:6385
  ferric-agent run --standalone --listen-host 127.0.0.1 --allow-device /dev/loop0";

const WRITE_EXAMPLES: &str = "\
Examples:
  ferric-agent write-image --device /dev/sdX --url http://192.0.2.1/image.qcow2 --checksum-url http://192.0.2.1/SHA256SUMS
  ferric-agent write-image --device /dev/sdX --url oci://registry.example/images/disk:latest
  ferric-agent write-image --allow-device /dev/loop0 --device /dev/loop0 --url image.raw --no-checksum";

/// The Ironic agent: runs on a machine and does what the conductor asks
#[derive(Debug, Parser)]
#[command(name = "ferric-agent", version = env!("FERRIC_VERSION"), max_term_width = 100, after_help = EXAMPLES)]
#[command(override_usage = "ferric-agent <COMMAND>\n       ferric-agent [OPTIONS OF run]")]
pub struct CommandLine {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the conductor: look-up, heartbeat, REST API (the default)
    #[command(after_help = RUN_EXAMPLES)]
    Run(run::Arguments),
    /// Print the inventory of this machine as JSON, as sent to the conductor
    Inventory(inventory::Arguments),
    /// List eligible and rejected block devices, with the reason for each rejection
    Disks(disks::Arguments),
    /// Print the device that root device hints choose
    RootDevice(root_device::Arguments),
    /// Write an image to a block device
    #[command(after_help = WRITE_EXAMPLES)]
    WriteImage(Box<write_image::Arguments>),
    /// Erase a block device
    Erase(erase::Arguments),
    /// List every clean, deploy and service step
    Steps(steps::Arguments),
    /// Configure the network of a ramdisk by the network data that came with its boot medium
    Network(network::Arguments),
}

/// What a command line asks for. Wrong usage, and a request for help, end the program.
pub fn parse(words: Vec<OsString>, is_watched: bool) -> Command {
    let called = words.first().map(Path::new).and_then(Path::file_name);
    if called.is_some_and(|name| name == IPA) {
        let matches = as_ipa().get_matches_from(words);
        return Command::Run(run::Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()));
    }
    let words = with_default_subcommand(words, is_watched);
    if words.len() < 2 {
        let mut command = CommandLine::command();
        let help = command.render_help();
        command.error(ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, help.ansi()).exit();
    }
    CommandLine::parse_from(words).command
}

/// The command line under the name of the agent that this one replaces.
fn as_ipa() -> clap::Command {
    let command = clap::Command::new(IPA).version(env!("FERRIC_VERSION")).max_term_width(100);
    run::Arguments::augment_args(command).after_help(RUN_EXAMPLES)
}

/// The command line with `run` put in where no subcommand was given: when the first word is an option of `run`, or when
/// there is none and nobody watches.
fn with_default_subcommand(mut words: Vec<OsString>, is_watched: bool) -> Vec<OsString> {
    let first = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    let asks_about_program = ["-h", "--help", "-V", "--version"].contains(&first);
    if !asks_about_program && (first.starts_with('-') || (words.len() < 2 && !is_watched)) {
        words.insert(words.len().min(1), "run".into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn run_is_the_default() {
        for (given, understood) in [
            ("ferric-agent", "ferric-agent run"),
            ("ferric-agent --api_url x", "ferric-agent run --api_url x"),
            ("ferric-agent disks --json", "ferric-agent disks --json"),
            ("ferric-agent --help", "ferric-agent --help"),
        ] {
            assert_eq!(with_default_subcommand(words(given), false), words(understood));
        }
        assert_eq!(with_default_subcommand(words("ferric-agent"), true), words("ferric-agent"));
        assert_eq!(with_default_subcommand(words("ferric-agent --debug"), true), words("ferric-agent run --debug"));
    }

    #[test]
    fn under_the_other_name_everything_is_an_option_of_run() {
        for line in ["/usr/bin/ironic-python-agent --config-dir /etc", "ironic-python-agent"] {
            assert!(matches!(parse(words(line), true), Command::Run(_)), "{line}");
        }
        let help = as_ipa().render_help().to_string();
        assert!(help.contains("Usage: ironic-python-agent [OPTIONS]"), "{help}");
    }

    #[test]
    fn help_fits_the_terminal_and_is_grouped() {
        let mut command = CommandLine::command();
        command.build();
        let run = command.find_subcommand_mut("run").unwrap();
        let help = run.clone().term_width(60).render_help().to_string();
        // What cannot be broken (a flag and its value) may be longer.
        let longest = help.lines().filter(|line| line.contains(' ') && !line.trim_start().starts_with('-'));
        for line in longest.take_while(|line| !line.starts_with("Options come")) {
            assert!(line.chars().count() <= 60, "{line}");
        }
        for heading in ["Conductor:", "Images:", "Log:"] {
            assert!(help.lines().any(|line| line == heading), "no {heading} in\n{help}");
        }
        assert!(help.contains("Usage: ferric-agent run [OPTIONS]"), "{help}");
    }
}
