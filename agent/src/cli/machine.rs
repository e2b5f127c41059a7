//! The arguments that say which machine and which of its devices a subcommand looks at.

use std::path::PathBuf;

use anyhow::ensure;
use ferric_hardware::block::DevicePolicy;
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
    /// The machine, and what limits its devices.
    pub(super) fn resolve(self) -> anyhow::Result<(Machine, DevicePolicy)> {
        ensure!(self.root.is_dir(), "{} is not a directory", self.root.display());
        let allowed = (!self.allow_device.is_empty()).then_some(self.allow_device);
        Ok((Machine::at(self.root), DevicePolicy { allowed, skip: Vec::new() }))
    }
}
