//! `ferric-agent inventory`.

use std::path::PathBuf;

use ferric_hardware::inventory::{self, InventoryOptions};
use ferric_hardware::simulated::Simulated;

use super::disks::{machine, policy};
use super::print;

/// Arguments of `inventory`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Make this the only block device that exists (repeatable); admits loop devices
    #[arg(long, value_name = "DEV")]
    pub allow_device: Vec<PathBuf>,
    /// Read the machine below this directory instead of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Replace DMI and network facts by those of this JSON file (never disks)
    #[arg(long, value_name = "FILE")]
    pub simulated_hardware: Option<PathBuf>,
}

/// Prints the inventory as JSON.
///
/// # Errors
/// The reason, for people.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let machine = machine(arguments.root)?;
    let simulated = arguments.simulated_hardware.map(|file| Simulated::read(&file)).transpose()?;
    let boot_interface = machine
        .read("/proc/cmdline")
        .and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("BOOTIF=").map(str::to_string)));
    let options = InventoryOptions {
        boot_interface,
        policy: policy(arguments.allow_device),
        simulated,
        ..InventoryOptions::default()
    };
    Ok(print::text(&serde_json::to_string_pretty(&inventory::collect(&machine, &options))?)?)
}
