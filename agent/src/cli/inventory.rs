//! `ferric-agent inventory`.

use std::path::PathBuf;

use ferric_hardware::inventory::{self, InventoryOptions, Simulated};

use super::machine::MachineArguments;
use super::print;

/// Arguments of `inventory`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where it looks.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// Replace DMI and network facts by those of this JSON file (never disks)
    #[arg(long, value_name = "FILE")]
    pub simulated_hardware: Option<PathBuf>,
}

/// Prints the inventory as JSON.
///
/// # Errors
/// The reason, for people.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (machine, policy) = arguments.machine.resolve()?;
    let simulated = arguments.simulated_hardware.map(|file| Simulated::read(&file)).transpose()?;
    let boot_interface = machine
        .read("/proc/cmdline")
        .and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("BOOTIF=").map(str::to_string)));
    let options = InventoryOptions { boot_interface, policy, simulated, ..InventoryOptions::default() };
    Ok(print::text(&serde_json::to_string_pretty(&inventory::collect(&machine, &options))?)?)
}
