//! `dmi-decode`: firmware, processors and memory of SMBIOS, with the keys and words that dmidecode prints. Codes that the
//! specification has no name for are `<OUT OF SPEC>`, as there; the names are those of version 3.9.

mod block;
mod families;
mod firmware;
mod memory;
mod processor;

use serde_json::{Map, Value, json};

use super::CollectError;
use crate::machine::Machine;
use crate::smbios::Smbios;

/// `{"bios": {…}, "cpu": [{…}], "memory": {…, "devices": [{…}]}}`.
pub(super) fn collect(machine: &Machine) -> Result<Value, CollectError> {
    let smbios = Smbios::read(machine);
    if smbios.of_kind(0).next().is_none() {
        return Err(CollectError::Missing("the SMBIOS tables"));
    }
    let bios = smbios.of_kind(0).last().map(firmware::describe).unwrap_or_default();
    let cpus: Vec<Map<String, Value>> = smbios.of_kind(4).map(|s| processor::describe(s, &smbios)).collect();
    let devices: Vec<Map<String, Value>> = smbios.of_kind(17).map(memory::describe_device).collect();
    let mut memory = memory_arrays(&smbios);
    // An array without devices has no such key, for whatever reason; a machine without arrays has.
    if memory.is_empty() || !devices.is_empty() {
        memory.insert("devices".to_string(), json!(devices));
    }
    Ok(json!({"bios": bios, "cpu": cpus, "memory": memory}))
}

/// The first array, with the number of devices of all of them; its handle would be wrong then.
fn memory_arrays(smbios: &Smbios) -> Map<String, Value> {
    let mut arrays = smbios.of_kind(16).filter_map(memory::describe_array);
    let Some(mut memory) = arrays.next() else { return Map::new() };
    memory.shift_remove("Handle");
    let devices = |array: &Map<String, Value>| array["Number Of Devices"].as_u64().unwrap_or(0);
    let total = devices(&memory) + arrays.map(|array| devices(&array)).sum::<u64>();
    memory.insert("Number Of Devices".to_string(), json!(total));
    memory
}
