//! `ferric-agent network`.

use std::path::PathBuf;

use anyhow::Context;
use ferric_hardware::link;
use ferric_hardware::machine::Machine;
use ferric_hardware::nic;
use tracing::{error, warn};

use super::print;
use crate::config::{Config, kernel};
use crate::network::data::NetworkData;
use crate::network::{self, Dynamic};
use crate::{logging, virtual_media};

/// Arguments of `network`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The configuration is /openstack/latest/network_data.json, or that file of the boot medium (boot_method=vmedia). Without
one, all interfaces are left to the network. Prints the interfaces that are, one a line, for a DHCP client: `eth0`, and
`eth1 ipv4only` or `eth1 ipv6only` where the configuration says so.")]
pub struct Arguments {
    /// The configuration, instead of the one that is looked for
    #[arg(long, value_name = "FILE")]
    network_data: Option<PathBuf>,
}

/// Configures the network of this machine. A configuration that cannot be used is reported and the network asked instead:
/// then somebody may still be reached.
///
/// # Errors
/// The result cannot be printed.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    logging::init(&Config::with_defaults().settings().log)?;
    let machine = Machine::host();
    // All of them, so that LLDP is heard everywhere.
    let devices = nic::names(&machine);
    for name in &devices {
        if let Err(error) = link::index(name).and_then(link::set_up) {
            warn!(interface = name, %error, "cannot be switched on");
        }
    }
    let lines: Vec<String> = match data(&machine, arguments.network_data) {
        Ok(Some(data)) => {
            network::apply(&machine, &data).into_iter().map(|(interface, dynamic)| line(&interface, &dynamic)).collect()
        }
        Ok(None) => devices,
        Err(error) => {
            error!("{error:#}; asking the network instead");
            devices
        }
    };
    if !lines.is_empty() {
        print::text(&lines.join("\n"))?;
    }
    Ok(())
}

fn data(machine: &Machine, file: Option<PathBuf>) -> anyhow::Result<Option<NetworkData>> {
    let text = match file {
        Some(file) => Some(std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?),
        None => {
            let kernel = kernel::parse(&machine.read("/proc/cmdline").unwrap_or_default());
            virtual_media::network_data(machine, &kernel)?
        }
    };
    text.map(|text| NetworkData::parse(&text)).transpose().context("the network data cannot be used")
}

fn line(interface: &str, dynamic: &Dynamic) -> String {
    match dynamic {
        Dynamic { ipv4: true, ipv6: false } => format!("{interface} ipv4only"),
        Dynamic { ipv4: false, ipv6: true } => format!("{interface} ipv6only"),
        Dynamic { .. } => interface.to_string(),
    }
}
