//! `ferric-agent root-device`.

use std::path::PathBuf;

use anyhow::Context;
use ferric_hardware::block::hints::Hints;
use ferric_hardware::block::root_device::{choose, choose_among};
use ferric_hardware::block::{self, BlockDevice};

use super::machine::MachineArguments;
use super::print;

/// Arguments of `root-device`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where it looks.
    #[command(flatten)]
    pub machine: MachineArguments,
    /// Root device hints, a JSON object; without them the smallest device of at least 4 GiB is chosen
    #[arg(long, value_name = "JSON")]
    pub hints: Option<String>,
    /// Choose among the devices of this file, a JSON list as in the inventory (`wwn` and `serial` may be lists)
    #[arg(long, value_name = "FILE")]
    pub devices: Option<PathBuf>,
}

/// Prints the name of the chosen device, or why each device does not fit.
///
/// # Errors
/// The reason, for people.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let hints = match arguments.hints {
        Some(text) => {
            let value = serde_json::from_str(&text).context("the root device hints are not JSON")?;
            Some(Hints::parse(&value)?)
        }
        None => None,
    };
    let name = match arguments.devices {
        Some(file) => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let devices: Vec<BlockDevice> = serde_json::from_str(&text)
                .with_context(|| format!("{} is not a JSON list of block devices", file.display()))?;
            choose_among(&devices, hints.as_ref())?.name.clone()
        }
        None => {
            let (machine, policy) = arguments.machine.resolve()?;
            let listing = block::list(&machine, &policy);
            choose(&listing, hints.as_ref())?.name.clone()
        }
    };
    Ok(print::text(&name)?)
}
