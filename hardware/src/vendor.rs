//! Who made the machine and its firmware.

use serde::{Deserialize, Serialize};

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

/// Reads the kernel's DMI attributes, else the SMBIOS tables themselves, else the device tree's model.
pub fn read(machine: &Machine, smbios: &Smbios) -> SystemVendor {
    let text = |attribute: &str, structure: Option<&Structure>, offset: usize| {
        machine
            .read(format!("/sys/class/dmi/id/{attribute}"))
            .or_else(|| structure?.string(offset).map(str::to_string))
            .map(|text| printable(&text))
            .unwrap_or_default()
    };
    let (system, firmware) = (smbios.of_kind(1).next(), smbios.of_kind(0).next());
    let product = text("product_name", system, 5);
    let sku = text("product_sku", system, 0x19);
    let product_name = match (product.is_empty(), sku.is_empty()) {
        (true, _) => machine.read("/proc/device-tree/model").map(|model| printable(&model)).unwrap_or_default(),
        (false, true) => product,
        (false, false) => format!("{product} ({sku})"),
    };
    SystemVendor {
        product_name,
        serial_number: text("product_serial", system, 7),
        manufacturer: text("sys_vendor", system, 4),
        firmware: Firmware {
            vendor: text("bios_vendor", firmware, 4),
            version: text("bios_version", firmware, 5),
            build_date: text("bios_date", firmware, 8),
        },
    }
}
