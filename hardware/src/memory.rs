//! The memory.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::smbios::Smbios;

/// The memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// What the kernel can use, in bytes.
    #[serde(rename = "total")]
    pub total_bytes: Option<u64>,
    /// What is plugged in, in MiB.
    #[serde(rename = "physical_mb")]
    pub physical_mib: Option<u64>,
}

/// Reads the total from the kernel, and what is plugged in from SMBIOS. Where that says less than the kernel has (modules
/// of unknown size, no modules at all), the memory blocks that are online count, but never less than the total.
pub fn read(machine: &Machine, smbios: &Smbios) -> Memory {
    let total_bytes = total_bytes(machine);
    let total_mib = total_bytes.map(|bytes| bytes >> 20);
    let modules_mib = smbios.memory_mib().filter(|modules| Some(*modules) > total_mib);
    let by_kernel = || blocks_bytes(machine).map(|bytes| bytes >> 20).max(total_mib);
    Memory { total_bytes, physical_mib: modules_mib.or_else(by_kernel) }
}

fn total_bytes(machine: &Machine) -> Option<u64> {
    let info = machine.read("/proc/meminfo")?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn blocks_bytes(machine: &Machine) -> Option<u64> {
    const DIR: &str = "/sys/devices/system/memory";
    let block_bytes = u64::from_str_radix(&machine.read(format!("{DIR}/block_size_bytes"))?, 16).ok()?;
    let is_online = |name: &&String| machine.read(format!("{DIR}/{name}/online")).as_deref() == Some("1");
    let online = machine.names(DIR).iter().filter(is_online).count();
    block_bytes.checked_mul(online as u64)
}
