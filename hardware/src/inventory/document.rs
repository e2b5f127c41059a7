//! The document.

use serde::{Deserialize, Serialize};

use crate::block::BlockDevice;
use crate::boot::Boot;
use crate::cpu::Cpu;
use crate::memory::Memory;
use crate::nic::Interface;
use crate::vendor::SystemVendor;

/// The inventory. Keys, their order and their types are IPA's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Network interfaces that belong to hardware, bonds or VLANs.
    pub interfaces: Vec<Interface>,
    /// Processors.
    pub cpu: Cpu,
    /// Disks as IPA lists them; being listed does not make a disk eligible for destruction.
    pub disks: Vec<BlockDevice>,
    /// Memory.
    pub memory: Memory,
    /// IPv4 address of the BMC; `0.0.0.0` when the BMC has none, null without a BMC.
    pub bmc_address: Option<String>,
    /// IPv6 address of the BMC; `::/0` when the BMC has none, null without a BMC.
    pub bmc_v6address: Option<String>,
    /// Product, serial number, maker and firmware.
    pub system_vendor: SystemVendor,
    /// How the machine was booted.
    pub boot: Boot,
    /// Host name.
    pub hostname: String,
    /// MAC address of the BMC; the key is absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc_mac: Option<String>,
}
