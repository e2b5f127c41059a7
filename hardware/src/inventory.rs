//! The inventory: what a machine is, in the document that look-up and inspection use.

mod document;
mod simulated;

pub use document::Inventory;
pub use simulated::{Simulated, SimulatedError};

use crate::block::{self, DevicePolicy};
use crate::lldp::Capture;
use crate::machine::Machine;
use crate::nic::{self, Interface};
use crate::smbios::Smbios;
use crate::{bmc, boot, cpu, memory, vendor};

/// What the inventory depends on besides the machine itself.
#[derive(Debug, Clone, Default)]
pub struct InventoryOptions {
    /// Which block devices exist (only `allowed` counts here; skipped devices are still shown).
    pub policy: DevicePolicy,
    /// `BOOTIF` of the agent's parameters, verbatim; becomes `boot.pxe_interface`.
    pub boot_interface: Option<String>,
    /// The capture of LLDP whose end is waited for (`collect_lldp`).
    pub lldp: Option<Capture>,
    /// Leave the BMC alone (`agent_skip_bmc_detect`): its addresses are null.
    pub skip_bmc: bool,
    /// Drivers whose interfaces are not shown (USB links to the BMC: `cdc_ether`, `cdc_ncm`).
    pub ignored_drivers: Vec<String>,
    /// Facts that replace real ones.
    pub simulated: Option<Simulated>,
}

/// Collects the inventory of `machine`. Never fails: what cannot be read is null or empty.
pub fn collect(machine: &Machine, options: &InventoryOptions) -> Inventory {
    let smbios = Smbios::read(machine);
    let bmc = if options.skip_bmc { bmc::Bmc::default() } else { bmc::read(machine) };
    let policy = DevicePolicy { allowed: options.policy.allowed.clone(), skip: Vec::new() };
    let real = Inventory {
        interfaces: interfaces(machine, options),
        cpu: cpu::read(machine, &smbios),
        disks: block::list(machine, &policy).disks(),
        memory: memory::read(machine, &smbios),
        bmc_address: bmc.address,
        bmc_v6address: bmc.v6address,
        system_vendor: vendor::read(machine, &smbios),
        boot: boot::read(machine, options.boot_interface.clone()),
        hostname: machine.read("/proc/sys/kernel/hostname").unwrap_or_default(),
        bmc_mac: bmc.mac,
    };
    match options.simulated.as_ref().map(|facts| facts.over(&real)) {
        Some(Ok(shown)) => shown,
        // Facts are checked when they are read; what still fails leaves the real ones.
        Some(Err(_)) | None => real,
    }
}

fn interfaces(machine: &Machine, options: &InventoryOptions) -> Vec<Interface> {
    let nic::Interfaces { shown: mut interfaces, left_out } = nic::sort_out(machine, &options.ignored_drivers);
    for (interface, reason) in left_out {
        tracing::info!(interface, %reason, "the inventory leaves an interface out");
    }
    if let Some(capture) = &options.lldp {
        let mut heard = capture.wait();
        for interface in &mut interfaces {
            interface.lldp = heard.remove(&interface.name);
        }
    }
    interfaces
}
