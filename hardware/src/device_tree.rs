//! Facts about machines that describe themselves by a device tree: arm64 and riscv64 boards, POWER.

use crate::machine::Machine;
use crate::printable::printable;

/// Where the kernel shows it; the first is a link to the second.
const ROOTS: [&str; 2] = ["/proc/device-tree", "/sys/firmware/devicetree/base"];

/// What the device tree says of the whole machine. Everything is empty on a machine without one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceTree {
    /// Product.
    pub(crate) model: Option<String>,
    /// Serial number.
    pub(crate) serial: Option<String>,
    /// Maker; only POWER says it.
    pub(crate) vendor: Option<String>,
    /// Version of the firmware (OPAL, U-Boot).
    pub(crate) firmware_version: Option<String>,
}

impl DeviceTree {
    /// Reads the properties that lshw reads, with the same preference among them.
    pub(crate) fn read(machine: &Machine) -> Self {
        let Some(root) = ROOTS.into_iter().find(|root| machine.exists(root)) else { return Self::default() };
        let text = |property: &str| {
            let text = printable(&machine.read(format!("{root}/{property}"))?);
            (!text.is_empty()).then_some(text)
        };
        // A list of names, each ended by a zero byte.
        let compatible = machine.read(format!("{root}/compatible")).unwrap_or_default();
        let is = |name: &str| compatible.split('\0').any(|known| known == name);
        let model = text("ibm,vendor-model").or_else(|| text("model"));
        let serial = ["serial-number", "ibm,vendor-system-id", "system-id"].into_iter().find_map(text);
        let vendor = || text("vendor").or_else(|| Some("IBM".to_string()));
        let u_boot = || text("chosen/u-boot,version");
        if compatible.starts_with("ibm,powernv") {
            // Bare metal: `9006-12P (IBM Power System LC922)`.
            let name = text("model-name").map(|name| format!(" ({name})")).unwrap_or_default();
            Self {
                model: model.map(|model| model + &name),
                serial,
                vendor: vendor(),
                firmware_version: text("ibm,firmware-versions/skiboot"),
            }
        } else if is("qemu,pseries") {
            // A guest: what it runs on is told, too.
            let host = text("host-model").map(|host| format!(" Model# {host}")).unwrap_or_default();
            let guest = text("hypervisor/compatible").map(|hypervisor| hypervisor + &host);
            Self {
                model: guest.or(model),
                serial: text("host-serial").or(serial),
                vendor: vendor(),
                firmware_version: None,
            }
        } else {
            let is_ibm = model.as_ref().is_some_and(|model| model.starts_with("IBM,"));
            let firmware = text("openprom/model").or_else(u_boot);
            Self { model, serial, vendor: if is_ibm { vendor() } else { text("vendor") }, firmware_version: firmware }
        }
    }
}
