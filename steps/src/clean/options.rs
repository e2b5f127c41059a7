//! How the node wants its devices erased: `driver_internal_info` as Ironic fills it, and the agent's own options.

use serde_json::Value;

use crate::step::Context;

/// Erase options of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EraseOptions {
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
    /// Discard instead of overwriting, when zeros then read back (`agent_enable_discard_erase`).
    pub discard: bool,
    /// Devices erased at the same time (`disk_erasure_concurrency`).
    pub concurrency: usize,
    /// Skip read-only devices instead of failing (`agent_erase_skip_read_only`).
    pub skip_read_only: bool,
    /// Refuse devices with shared-disk file systems (`guard_special_filesystems`, `wipe_special_filesystems`).
    pub guard: bool,
}

impl EraseOptions {
    /// The options of the context's node.
    pub fn of(context: &Context) -> Self {
        let info = &context.node["driver_internal_info"];
        let flag = |key: &str| as_flag(&info[key]);
        let option = |name: &str| context.options.values.get(name).and_then(|text| text_flag(text));
        Self {
            iterations: as_number(&info["agent_erase_devices_iterations"]).unwrap_or(1),
            zeroize: flag("agent_erase_devices_zeroize").unwrap_or(true),
            continue_if_secure_erase_failed: flag("agent_continue_if_secure_erase_failed")
                .or_else(|| flag("agent_continue_if_ata_erase_failed"))
                .unwrap_or(false),
            nvme: flag("agent_enable_nvme_secure_erase").unwrap_or(true),
            ata: flag("agent_enable_ata_secure_erase").unwrap_or(true),
            discard: flag("agent_enable_discard_erase").or_else(|| option("enable_discard_erase")).unwrap_or(false),
            concurrency: as_number(&info["disk_erasure_concurrency"]).map_or(1, |n| n.clamp(1, 64) as usize),
            skip_read_only: flag("agent_erase_skip_read_only").unwrap_or(false),
            // Only an explicit false switches the guard off, wherever it is said.
            guard: option("guard_special_filesystems").unwrap_or(true)
                && flag("wipe_special_filesystems").unwrap_or(true)
                && as_flag(&context.node["driver_info"]["wipe_special_filesystems"]).unwrap_or(true),
        }
    }
}

/// A boolean as JSON or as text; nothing when absent or null.
pub(crate) fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => number.as_i64().map(|n| n != 0),
        Value::String(text) => text_flag(text),
        _ => None,
    }
}

/// A whole number as JSON or as text.
pub(crate) fn as_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn text_flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}
