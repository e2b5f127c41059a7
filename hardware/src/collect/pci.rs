//! `pci-devices`.

use serde_json::{Value, json};

use super::CollectError;
use crate::machine::Machine;

const DIR: &str = "/sys/bus/pci/devices";

/// One entry per device whose ids can be read. Everything is text, the NUMA node too.
pub(super) fn collect(machine: &Machine) -> Result<Value, CollectError> {
    if !machine.exists(DIR) {
        return Err(CollectError::Missing(DIR));
    }
    let devices = machine.names(DIR).into_iter().filter_map(|bus| {
        let text = |attribute: &str| machine.read(format!("{DIR}/{bus}/{attribute}"));
        let hex = |attribute: &str| Some(text(attribute)?.strip_prefix("0x")?.to_string());
        Some(json!({
            "vendor_id": hex("vendor")?,
            "product_id": hex("device")?,
            "class": hex("class")?,
            "revision": hex("revision"),
            "bus": bus,
            "numa_node_id": text("numa_node"),
        }))
    });
    Ok(devices.collect())
}
