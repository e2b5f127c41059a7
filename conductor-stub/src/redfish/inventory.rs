//! What a BMC knows of its machine, in the shape of an agent's inventory (ironic/drivers/modules/redfish/inspect.py).

use serde_json::{Map, Value, json};

use super::error::RedfishError;
use super::system::System;

/// Of each kind of part, how many are looked at.
const PARTS: usize = 256;
/// A disk that is smaller is none to install on.
const SMALLEST_BYTES: u64 = 4 << 30;

/// The inventory, and the size in bytes of the smallest disk that is large enough to install on.
type Inventory = (Value, Option<u64>);

impl System<'_> {
    /// Asks for everything. What the BMC does not tell is left out.
    ///
    /// # Errors
    /// When the BMC cannot be asked.
    pub async fn inventory(&self) -> Result<Inventory, RedfishError> {
        let system = self.read().await?.body;
        let storage = self.parts(&system["Storage"]).await?;
        let mut controllers = Vec::new();
        let mut disks = Vec::new();
        let mut volumes = Vec::new();
        for controller in &storage {
            let mut drives = Vec::new();
            for link in controller["Drives"].as_array().into_iter().flatten().take(PARTS) {
                drives.extend(self.part(link).await?);
            }
            volumes.extend(
                self.parts(&controller["Volumes"]).await?.iter().map(|volume| volume["CapacityBytes"].as_u64()),
            );
            disks.extend(drives.iter().map(disk));
            controllers.push(controller_of(controller, &drives));
        }
        let simple = if disks.is_empty() { self.parts(&system["SimpleStorage"]).await? } else { Vec::new() };
        let devices = simple.iter().flat_map(|one| one["Devices"].as_array().into_iter().flatten());
        disks.extend(devices.map(|device| json!({"name": device["Name"], "size": device["CapacityBytes"]})));
        let smallest = |sizes: &mut dyn Iterator<Item = Option<u64>>| {
            sizes.flatten().filter(|bytes| *bytes >= SMALLEST_BYTES).min()
        };
        let of_disks = |disks: &[Value]| smallest(&mut disks.iter().map(|disk| disk["size"].as_u64()));
        let disk_bytes = smallest(&mut volumes.into_iter()).or_else(|| of_disks(&disks));

        let mut inventory = json!({"cpu": cpu(&self.parts(&system["Processors"]).await?),
            "interfaces": interfaces(&self.parts(&system["EthernetInterfaces"]).await?)});
        if let Some(mib) = memory_mib(&system) {
            inventory["memory"] = json!({"physical_mb": mib});
        }
        if !disks.is_empty() {
            inventory["disks"] = disks.into();
        }
        if !controllers.is_empty() {
            inventory["storage_controllers"] = controllers.into();
        }
        let vendor = known(
            &system,
            &[
                ("product_name", "Model"),
                ("serial_number", "SerialNumber"),
                ("manufacturer", "Manufacturer"),
                ("system_uuid", "UUID"),
            ],
        );
        if !vendor.is_empty() {
            inventory["system_vendor"] = vendor.into();
        }
        let mode = match system["Boot"]["BootSourceOverrideMode"].as_str() {
            Some("UEFI") => Some("uefi"),
            Some("Legacy") => Some("bios"),
            _ => None,
        };
        if let Some(mode) = mode {
            inventory["boot"] = json!({"current_boot_mode": mode});
        }
        Ok((inventory, disk_bytes))
    }

    /// The members of the collection that `link` leads to.
    async fn parts(&self, link: &Value) -> Result<Vec<Value>, RedfishError> {
        let Some(list) = link["@odata.id"].as_str() else { return Ok(Vec::new()) };
        let members = match self.client.members(list).await {
            Ok(members) => members,
            Err(error) => return told(error).map(|()| Vec::new()),
        };
        let mut parts = Vec::new();
        for member in members.iter().take(PARTS) {
            parts.extend(self.part(&json!({"@odata.id": member})).await?);
        }
        Ok(parts)
    }

    /// What `link` leads to, where that is there.
    async fn part(&self, link: &Value) -> Result<Option<Value>, RedfishError> {
        let Some(path) = link["@odata.id"].as_str() else { return Ok(None) };
        match self.client.get(path).await {
            Ok(part) => Ok(Some(part.body)),
            Err(error) => told(error).map(|()| None),
        }
    }
}

/// What the BMC refuses to tell, or tells in an odd way, is not known; that it cannot be asked is an error.
fn told(error: RedfishError) -> Result<(), RedfishError> {
    match error {
        RedfishError::Refused { .. } | RedfishError::Document { .. } => {
            tracing::info!(%error, "a part of the machine is not known");
            Ok(())
        }
        other => Err(other),
    }
}

fn memory_mib(system: &Value) -> Option<u64> {
    let gib = system["MemorySummary"]["TotalSystemMemoryGiB"].as_f64()?;
    let mib = (gib * 1024.0) as u64;
    (mib > 0).then_some(mib)
}

/// Threads of all processors; what the first one is stands for all.
fn cpu(processors: &[Value]) -> Value {
    let threads: u64 = processors.iter().filter_map(|one| one["TotalThreads"].as_u64()).sum();
    let first = processors.first().unwrap_or(&Value::Null);
    let architecture = match first["InstructionSet"].as_str() {
        Some("x86-64") => "x86_64",
        Some("x86") => "i686",
        Some("ARM-A64") => "aarch64",
        Some("ARM-A32") => "arm",
        Some("IA-64") => "ia64",
        Some("MIPS32") => "mips",
        Some("MIPS64") => "mips64",
        _ => "",
    };
    let mut cpu = known(first, &[("model_name", "Model"), ("frequency", "MaxSpeedMHz")]);
    cpu.insert("count".into(), threads.into());
    cpu.insert("architecture".into(), architecture.into());
    cpu.into()
}

fn interfaces(found: &[Value]) -> Vec<Value> {
    let interface = |one: &Value| {
        let address = one["MACAddress"].as_str().or(one["PermanentMACAddress"].as_str())?.to_ascii_lowercase();
        let mut interface = known(one, &[("name", "Id")]);
        if let Some(speed) = one["SpeedMbps"].as_u64() {
            interface.insert("speed_mbps".into(), speed.into());
        }
        interface.insert("mac_address".into(), address.into());
        Some(interface.into())
    };
    found.iter().filter_map(interface).collect()
}

fn disk(drive: &Value) -> Value {
    let mut disk = json!({"name": drive["Name"], "size": drive["CapacityBytes"], "vendor": drive["Manufacturer"],
        "model": drive["Model"], "serial": drive["SerialNumber"]});
    if let Some(kind) = drive["MediaType"].as_str() {
        disk["rotational"] = (kind == "HDD").into();
    }
    disk
}

fn controller_of(storage: &Value, drives: &[Value]) -> Value {
    let drive = |drive: &Value| {
        let mut shown = json!({"name": drive["Name"], "size": drive["CapacityBytes"], "id": drive["Id"],
            "media_type": drive["MediaType"], "serial_number": drive["SerialNumber"],
            "manufacturer": drive["Manufacturer"], "model": drive["Model"], "revision": drive["Revision"]});
        put_known(&mut shown, "protocol", &drive["Protocol"]);
        put_known(&mut shown, "status", &status(drive));
        shown
    };
    let controller = |one: &Value| {
        let list = |key: &str| one[key].as_array().cloned().unwrap_or_default();
        let mut shown = json!({"member_id": one["MemberId"], "name": one["Name"], "speed_gbps": one["SpeedGbps"],
            "raid_types": list("SupportedRAIDTypes"), "controller_protocols": list("SupportedControllerProtocols"),
            "device_protocols": list("SupportedDeviceProtocols")});
        put_known(&mut shown, "status", &status(one));
        shown
    };
    let controllers = storage["StorageControllers"].as_array().into_iter().flatten().take(PARTS).map(controller);
    json!({"id": storage["Id"], "name": storage["Name"], "storage_controllers": controllers.collect::<Vec<_>>(),
        "drives": drives.iter().map(drive).collect::<Vec<_>>()})
}

fn status(part: &Value) -> Value {
    let keys = [("health", "Health"), ("state", "State"), ("health_rollup", "HealthRollup")];
    let status = known(&part["Status"], &keys);
    if status.is_empty() { Value::Null } else { status.into() }
}

fn put_known(shown: &mut Value, key: &str, value: &Value) {
    if !value.is_null() {
        shown[key] = value.clone();
    }
}

/// What `document` has of these, under other names.
fn known(document: &Value, keys: &[(&str, &str)]) -> Map<String, Value> {
    let there = keys.iter().filter(|(_, key)| !document[*key].is_null() && document[*key] != "");
    there.map(|(name, key)| ((*name).to_owned(), document[*key].clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_told_is_left_out() {
        assert_eq!(cpu(&[]), json!({"count": 0, "architecture": ""}));
        let arm = json!({"InstructionSet": "ARM-A64", "TotalThreads": 8, "Model": ""});
        assert_eq!(cpu(&[arm, json!({"TotalThreads": 8})]), json!({"count": 16, "architecture": "aarch64"}));
        let nics = [json!({"Id": "1", "MACAddress": "AA:BB:CC:00:00:01", "SpeedMbps": 25000}), json!({"Id": "2"})];
        assert_eq!(
            json!(interfaces(&nics)),
            json!([{"name": "1", "speed_mbps": 25000, "mac_address": "aa:bb:cc:00:00:01"}])
        );
        assert_eq!(memory_mib(&json!({"MemorySummary": {"TotalSystemMemoryGiB": 0.5}})), Some(512));
        assert_eq!(memory_mib(&json!({"MemorySummary": {"TotalSystemMemoryGiB": null}})), None);
    }
}
