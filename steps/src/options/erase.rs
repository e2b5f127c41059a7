//! Options about erasing: the agent's own, and what the node says over them (`driver_internal_info`, as Ironic fills it).

use std::time::Duration;

use serde_json::Value;

use crate::loose;

/// How disks are erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erase {
    /// Passes of random data before the final one (`agent_erase_devices_iterations`).
    pub iterations: u64,
    /// A final pass of zeros (`agent_erase_devices_zeroize`).
    pub zeroize: bool,
    /// Overwrite when the device's own erase command failed (`agent_continue_if_secure_erase_failed`).
    pub continue_if_secure_erase_failed: bool,
    /// Let NVMe devices erase themselves (`agent_enable_nvme_secure_erase`).
    pub nvme: bool,
    /// Let ATA devices erase themselves (`agent_enable_ata_secure_erase`).
    pub ata: bool,
    /// Discard a device whose own erase command failed, which counts when zeros then read back (option
    /// `enable_discard_erase`, for one node `agent_enable_discard_erase`).
    pub discard: bool,
    /// Devices erased at the same time (`disk_erasure_concurrency`).
    pub concurrency: usize,
    /// Skip read-only devices instead of failing (`agent_erase_skip_read_only`).
    pub skip_read_only: bool,
    /// Refuse devices with shared-disk file systems (option `guard-special-filesystems`, for one node
    /// `wipe_special_filesystems`).
    pub guard: bool,
    /// How much of a device is read after it was erased, in percent (option `erase_verify_percent`); 0: 64 samples.
    pub verify_percent: u8,
    /// How long a device may show no sign of life, beyond what it was told to do by itself.
    pub stall: Duration,
}

impl Default for Erase {
    fn default() -> Self {
        Self {
            iterations: 1,
            zeroize: true,
            continue_if_secure_erase_failed: false,
            nvme: true,
            ata: true,
            discard: false,
            concurrency: 1,
            skip_read_only: false,
            guard: true,
            verify_percent: 0,
            stall: Duration::from_secs(600),
        }
    }
}

impl Erase {
    /// These, with what the node says over them.
    pub fn for_node(&self, node: &Value) -> Self {
        let info = &node["driver_internal_info"];
        let flag = |key: &str| loose::flag(&info[key]);
        Self {
            iterations: loose::number(&info["agent_erase_devices_iterations"]).unwrap_or(self.iterations),
            zeroize: flag("agent_erase_devices_zeroize").unwrap_or(self.zeroize),
            continue_if_secure_erase_failed: flag("agent_continue_if_secure_erase_failed")
                .or_else(|| flag("agent_continue_if_ata_erase_failed"))
                .unwrap_or(self.continue_if_secure_erase_failed),
            nvme: flag("agent_enable_nvme_secure_erase").unwrap_or(self.nvme),
            ata: flag("agent_enable_ata_secure_erase").unwrap_or(self.ata),
            discard: flag("agent_enable_discard_erase").unwrap_or(self.discard),
            concurrency: loose::number(&info["disk_erasure_concurrency"])
                .map_or(self.concurrency, |number| number.clamp(1, 64) as usize),
            skip_read_only: flag("agent_erase_skip_read_only").unwrap_or(self.skip_read_only),
            // Only an explicit false switches the guard off, wherever it is said.
            guard: self.guard
                && flag("wipe_special_filesystems").unwrap_or(true)
                && loose::flag(&node["driver_info"]["wipe_special_filesystems"]).unwrap_or(true),
            verify_percent: self.verify_percent,
            stall: self.stall,
        }
    }
}
