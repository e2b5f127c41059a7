//! How the machine was booted.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// How the machine was booted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Boot {
    /// `uefi` or `bios`.
    pub current_boot_mode: String,
    /// `BOOTIF`, verbatim.
    pub pxe_interface: Option<String>,
}

/// The boot mode is that of the firmware; the boot interface is what the boot loader said.
pub fn read(machine: &Machine, boot_interface: Option<String>) -> Boot {
    let mode = if machine.exists("/sys/firmware/efi") { "uefi" } else { "bios" };
    Boot { current_boot_mode: mode.to_string(), pxe_interface: boot_interface }
}
