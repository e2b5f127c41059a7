//! Root device hints in Ironic's words.

use crate::host::spec::RootDeviceHints;
use crate::node::Object;

/// The same hints with Ironic's keys and operators (baremetal-operator, `pkg/provisioner/ironic/devicehints`).
pub fn ironic(hints: &RootDeviceHints) -> Object {
    let mut map = Object::new();
    for (key, operator, value) in [
        ("name", "s==", &hints.device_name),
        ("hctl", "s==", &hints.hctl),
        ("model", "<in>", &hints.model),
        ("vendor", "<in>", &hints.vendor),
        ("serial", "s==", &hints.serial_number),
        ("wwn", "s==", &hints.wwn),
        ("wwn_with_extension", "s==", &hints.wwn_with_extension),
        ("wwn_vendor_extension", "s==", &hints.wwn_vendor_extension),
    ] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            map.insert(key.into(), format!("{operator} {value}").into());
        }
    }
    if let Some(size) = hints.min_size_gigabytes.filter(|size| *size > 0) {
        map.insert("size".into(), format!(">= {size}").into());
    }
    if let Some(rotational) = hints.rotational {
        map.insert("rotational".into(), rotational.to_string().into());
    }
    map
}
