//! Inspection collectors: what inspection sends besides the inventory and the logs.

mod dmi;
mod extra;
mod numa;
mod pci;
mod usb;

use serde_json::Value;

use crate::lldp::Capture;
use crate::machine::Machine;
use crate::tool::{ToolError, Tools};

/// A collector, by what it looks at. `default` and `logs` are not here: they need more than the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collector {
    /// `pci-devices`: ids, class and place of every PCI device.
    PciDevices,
    /// `numa-topology`: memory, processors and interfaces by NUMA node.
    NumaTopology,
    /// `dmi-decode`: firmware, processors and memory of SMBIOS, in dmidecode's words.
    DmiDecode,
    /// `extra-hardware`: the output of the `hardware-detect` program.
    ExtraHardware,
    /// `lldp`: what the switches say of themselves.
    Lldp,
    /// `usb-devices`: USB devices that are no hubs.
    UsbDevices,
}

/// What collecting depends on besides the machine.
#[derive(Debug, Clone)]
pub struct CollectOptions {
    /// The capture that the collector `lldp` waits for.
    pub lldp: Option<Capture>,
    /// `ipa-inspection-benchmarks`, for `hardware-detect`.
    pub benchmarks: Option<String>,
    /// Where that program is looked for.
    pub tools: Tools,
}

/// Why a collector found nothing.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A program is missing or failed.
    #[error(transparent)]
    Program(#[from] ToolError),
    /// What a program printed is not JSON.
    #[error("the output of {program} is not JSON: {cause}")]
    NotJson {
        /// The program.
        program: &'static str,
        /// The cause.
        cause: serde_json::Error,
    },
    /// The machine has no such directory or table.
    #[error("cannot read {0}")]
    Missing(&'static str),
}

impl Collector {
    /// The collector that `ipa-inspection-collectors` calls `name`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pci-devices" => Self::PciDevices,
            "numa-topology" => Self::NumaTopology,
            "dmi-decode" => Self::DmiDecode,
            "extra-hardware" => Self::ExtraHardware,
            "lldp" => Self::Lldp,
            "usb-devices" => Self::UsbDevices,
            _ => return None,
        })
    }

    /// The key under which its findings are sent.
    pub fn key(self) -> &'static str {
        match self {
            Self::PciDevices => "pci_devices",
            Self::NumaTopology => "numa_topology",
            Self::DmiDecode => "dmi",
            Self::ExtraHardware => "data",
            Self::Lldp => "lldp_raw",
            Self::UsbDevices => "usb_devices",
        }
    }

    /// Collects; nothing when the machine has no such thing, which is no failure.
    ///
    /// # Errors
    /// A sentence for the inspection's list of errors.
    pub fn collect(self, machine: &Machine, options: &CollectOptions) -> Result<Option<Value>, CollectError> {
        match self {
            Self::PciDevices => pci::collect(machine).map(Some),
            Self::NumaTopology => Ok(numa::collect(machine)),
            Self::DmiDecode => dmi::collect(machine).map(Some),
            Self::ExtraHardware => extra::collect(&options.tools, options.benchmarks.as_deref()).map(Some),
            Self::Lldp => Ok(options.lldp.as_ref().map(|capture| serde_json::json!(capture.wait()))),
            Self::UsbDevices => Ok(Some(usb::collect(machine))),
        }
    }
}
