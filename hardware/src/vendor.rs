//! Who made the machine and its firmware.

use serde::{Deserialize, Serialize};

use crate::device_tree::DeviceTree;
use crate::machine::Machine;
use crate::printable::printable;
use crate::smbios::{Smbios, Structure};

/// Who made the machine. All texts are empty when unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SystemVendor {
    /// Product, with the SKU in parentheses when there is one.
    pub product_name: String,
    /// Serial number.
    pub serial_number: String,
    /// Maker.
    pub manufacturer: String,
    /// Firmware.
    pub firmware: Firmware,
}

/// The system firmware.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Firmware {
    /// Maker.
    pub vendor: String,
    /// Version.
    pub version: String,
    /// Date as the firmware spells it.
    pub build_date: String,
}

/// Reads the device tree, the kernel's DMI attributes, else the SMBIOS tables themselves. A machine with both is what its
/// device tree says, as for lshw.
pub fn read(machine: &Machine, smbios: &Smbios) -> SystemVendor {
    let text = |attribute: &str, structure: Option<&Structure>, offset: usize| {
        machine
            .read(format!("/sys/class/dmi/id/{attribute}"))
            .or_else(|| structure?.string(offset))
            .map(|text| printable(&text))
            .unwrap_or_default()
    };
    let tree = DeviceTree::read(machine);
    let (system, firmware) = (smbios.of_kind(1).next(), smbios.of_kind(0).next());
    let product = text("product_name", system, 5);
    let sku = text("product_sku", system, 0x19);
    let version = text("bios_version", firmware, 5);
    SystemVendor {
        product_name: tree.model.unwrap_or(match product.is_empty() || sku.is_empty() {
            true => product,
            false => format!("{product} ({sku})"),
        }),
        serial_number: tree.serial.unwrap_or_else(|| text("product_serial", system, 7)),
        manufacturer: tree.vendor.unwrap_or_else(|| text("sys_vendor", system, 4)),
        firmware: Firmware {
            vendor: text("bios_vendor", firmware, 4),
            version: if version.is_empty() { tree.firmware_version.unwrap_or_default() } else { version },
            build_date: text("bios_date", firmware, 8),
        },
    }
}
