//! The subcommands of `ferric-agent`, one file each: their arguments and what they do.

use std::ffi::OsString;
use std::path::Path;

mod bars;
pub mod disks;
mod display;
pub mod erase;
pub mod inventory;
pub mod machine;
pub mod network;
mod print;
mod progress_line;
pub mod root_device;
pub mod run;
pub mod servers;
pub mod steps;
pub mod write_image;

/// The command line with `run` put in where no subcommand was given: without arguments, when the first one is an option
/// of `run`, or when the program is called by the name of the agent that it replaces.
pub fn with_default_subcommand(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let called_as_ipa =
        arguments.first().map(Path::new).and_then(Path::file_name).is_some_and(|name| name == "ironic-python-agent");
    let first = arguments.get(1).and_then(|argument| argument.to_str()).unwrap_or_default();
    let asks_about_program = ["-h", "--help", "-V", "--version"].contains(&first) && !called_as_ipa;
    if called_as_ipa || (!asks_about_program && (first.is_empty() || first.starts_with('-'))) {
        let at = arguments.len().min(1);
        arguments.insert(at, "run".into());
    }
    arguments
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
            ("/usr/bin/ironic-python-agent --help", "/usr/bin/ironic-python-agent run --help"),
            ("ironic-python-agent --config-dir /etc", "ironic-python-agent run --config-dir /etc"),
        ] {
            assert_eq!(with_default_subcommand(words(given)), words(understood));
        }
    }
}
