//! `usb-devices`.

use serde_json::{Value, json};

use crate::machine::Machine;

const DIR: &str = "/sys/bus/usb/devices";
/// `bDeviceClass` of hubs, root hubs among them.
const HUB: &str = "09";

/// One entry per device that is no hub. The handle is the one lshw would print.
pub(super) fn collect(machine: &Machine) -> Value {
    // Names with a colon are interfaces of devices.
    let names = machine.names(DIR).into_iter().filter(|name| !name.contains(':'));
    let devices = names.filter_map(|name| {
        let text = |attribute: &str| machine.read(format!("{DIR}/{name}/{attribute}"));
        let is_hub = text("bDeviceClass").as_deref() == Some(HUB);
        let (bus, device) = (text("busnum")?, text("devnum")?);
        (!is_hub).then(|| {
            json!({
                "product": text("product").unwrap_or_default(),
                "vendor": text("manufacturer").unwrap_or_default(),
                "handle": format!("USB:{bus}:{device}"),
            })
        })
    });
    devices.collect()
}
