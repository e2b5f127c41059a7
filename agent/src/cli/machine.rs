//! The arguments that say which machine and which of its devices a subcommand looks at.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use ferric_hardware::block::{self, DevicePolicy};
use ferric_hardware::machine::Machine;

/// Arguments of every subcommand that only looks.
#[derive(Debug, clap::Args)]
pub struct MachineArguments {
    /// Make this the only block device that exists (repeatable); admits loop devices, and as root device any size
    #[arg(long, value_name = "DEV")]
    pub allow_device: Vec<PathBuf>,
    /// Read the machine below this directory instead of /
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

impl MachineArguments {
    /// The machine, and what limits its devices, each of which has to be there.
    pub(super) fn resolve(self) -> anyhow::Result<(Machine, DevicePolicy)> {
        ensure!(self.root.is_dir(), "{} is not a directory", self.root.display());
        let machine = Machine::at(self.root);
        let allowed = (!self.allow_device.is_empty()).then(|| self.allow_device.clone());
        let policy = DevicePolicy { allowed, skip: Vec::new() };
        if !self.allow_device.is_empty() {
            let listing = block::list(&machine, &policy);
            for device in &self.allow_device {
                let name = device.to_str().context("--allow-device: the device's name is not UTF-8")?;
                let is_there = listing.find(&machine, name).map_or_else(|error| error.reason.is_some(), |_| true);
                ensure!(is_there, "--allow-device {name}: no such block device");
            }
        }
        Ok((machine, policy))
    }
}
