//! A machine and what is in it.

use serde_json::{Value, json};

use super::{ROOT, collection, link, resource, service, well};
use crate::bmc::definition::{Architecture, Bus, Disk, Kind, QemuMachine, Slot};
use crate::bmc::system::{Drive, Power, System};

fn path(system: &System) -> String {
    format!("{ROOT}/Systems/{}", system.definition.uuid)
}

fn qemu(system: &System) -> Option<&QemuMachine> {
    match &system.definition.kind {
        Kind::Qemu(qemu) => Some(qemu),
        Kind::Process(_) => None,
    }
}

fn disks(system: &System) -> &[Disk] {
    qemu(system).map_or(&[], |qemu| &qemu.disks)
}

/// A process machine is said to have 1 GiB.
fn memory_mib(system: &System) -> u32 {
    qemu(system).map_or(1024, |qemu| qemu.memory_mib)
}

pub(in crate::bmc) fn system(system: &mut System) -> Value {
    let power = system.power();
    let (id, path, boot) = (system.definition.uuid.to_string(), path(system), &system.boot);
    let legacy = system.settings.is_legacy();
    let modes: &[&str] = if system.knows_legacy() { &["UEFI", "Legacy"] } else { &["UEFI"] };
    let mut resets = vec!["On", "ForceOff", "GracefulShutdown", "ForceRestart", "GracefulRestart"];
    resets.extend(qemu(system).map(|_| "Nmi"));
    let state = if power == Power::On { "Enabled" } else { "StandbyOffline" };
    let below = |name: &str| link(&format!("{path}/{name}"));
    let rest = json!({
        "SystemType": "Virtual", "UUID": id, "Manufacturer": "Ferric", "Model": "Emulated machine", "SerialNumber": id,
        "AssetTag": system.settings.current()["AssetTag"], "BiosVersion": system.firmware.0,
        "PowerState": power, "Status": {"State": state, "Health": "OK"},
        "ProcessorSummary": {"Count": 1, "CoreCount": system.settings.cores()},
        "MemorySummary": {"TotalSystemMemoryGiB": f64::from(memory_mib(system)) / 1024.0},
        "Boot": {
            "BootSourceOverrideEnabled": boot.enabled,
            "BootSourceOverrideEnabled@Redfish.AllowableValues": ["Disabled", "Once", "Continuous"],
            "BootSourceOverrideTarget": boot.target,
            "BootSourceOverrideTarget@Redfish.AllowableValues": ["None", "Pxe", "Cd", "Usb", "Hdd", "UefiHttp"],
            "BootSourceOverrideMode": if legacy { "Legacy" } else { "UEFI" },
            "BootSourceOverrideMode@Redfish.AllowableValues": modes,
            "HttpBootUri": boot.http_boot_uri,
            "BootOrder": boot_options_of(system).iter().map(|(reference, ..)| reference).collect::<Vec<_>>(),
            "BootOptions": below("BootOptions"),
        },
        "Processors": below("Processors"), "Memory": below("Memory"), "Storage": below("Storage"),
        "EthernetInterfaces": below("EthernetInterfaces"), "VirtualMedia": below("VirtualMedia"), "Bios": below("Bios"),
        "SecureBoot": below("SecureBoot"),
        "Links": {"ManagedBy": [link(&format!("{ROOT}/Managers/{id}"))], "ManagedBy@odata.count": 1,
                  "Chassis": [link(&format!("{ROOT}/Chassis/{id}"))], "Chassis@odata.count": 1},
        "Actions": {"#ComputerSystem.Reset": {
            "target": format!("{path}/Actions/ComputerSystem.Reset"), "ResetType@Redfish.AllowableValues": resets}},
    });
    resource(&path, "ComputerSystem.v1_18_0", &id, &system.definition.name, rest)
}

pub(in crate::bmc) fn ethernet_interfaces(system: &System) -> Value {
    let path = format!("{}/EthernetInterfaces", path(system));
    let members = system.definition.macs.iter().map(|mac| format!("{path}/{mac}"));
    collection(&path, "EthernetInterface", "Ethernet interfaces", members)
}

pub(in crate::bmc) fn ethernet_interface(system: &System, mac: &str) -> Option<Value> {
    system.definition.macs.iter().find(|known| *known == mac)?;
    let path = format!("{}/EthernetInterfaces/{mac}", path(system));
    let rest = json!({"MACAddress": mac, "PermanentMACAddress": mac, "InterfaceEnabled": true, "LinkStatus": "LinkUp",
        "Status": well()});
    Some(resource(&path, "EthernetInterface.v1_6_0", mac, "Ethernet interface", rest))
}

pub(in crate::bmc) fn processors(system: &System) -> Value {
    let path = format!("{}/Processors", path(system));
    collection(&path, "Processor", "Processors", [format!("{path}/CPU0")])
}

pub(in crate::bmc) fn processor(system: &System) -> Value {
    let arm = qemu(system).is_some_and(|qemu| qemu.architecture == Architecture::Aarch64);
    let (architecture, instructions) = if arm { ("ARM", "ARM-A64") } else { ("x86", "x86-64") };
    let cores = system.settings.cores();
    let rest = json!({"Socket": "CPU 0", "ProcessorType": "CPU", "ProcessorArchitecture": architecture,
        "InstructionSet": instructions, "Manufacturer": "QEMU", "Model": "Emulated processor", "MaxSpeedMHz": 2000,
        "TotalCores": cores, "TotalThreads": cores, "Status": well()});
    resource(&format!("{}/Processors/CPU0", path(system)), "Processor.v1_7_0", "CPU0", "Processor", rest)
}

pub(in crate::bmc) fn memory(system: &System) -> Value {
    let path = format!("{}/Memory", path(system));
    collection(&path, "Memory", "Memory", [format!("{path}/DIMM0")])
}

pub(in crate::bmc) fn dimm(system: &System) -> Value {
    let rest = json!({"MemoryType": "DRAM", "CapacityMiB": memory_mib(system), "Status": well()});
    resource(&format!("{}/Memory/DIMM0", path(system)), "Memory.v1_9_0", "DIMM0", "Memory module", rest)
}

pub(in crate::bmc) fn storage_list(system: &System) -> Value {
    let path = format!("{}/Storage", path(system));
    collection(&path, "Storage", "Storage", [format!("{path}/1")])
}

pub(in crate::bmc) fn storage(system: &System) -> Value {
    let path = format!("{}/Storage/1", path(system));
    let drives: Vec<Value> = (0..disks(system).len()).map(|number| link(&format!("{path}/Drives/{number}"))).collect();
    let rest = json!({"Drives@odata.count": drives.len(), "Drives": drives, "Status": well()});
    resource(&path, "Storage.v1_8_1", "1", "Storage", rest)
}

pub(in crate::bmc) fn disk(system: &System, id: &str) -> Option<Value> {
    let number: usize = id.parse().ok()?;
    let disk = disks(system).get(number)?;
    let protocol = match disk.bus {
        Bus::Nvme => json!("NVMe"),
        Bus::Scsi => json!("SAS"),
        Bus::Ata => json!("SATA"),
        Bus::Virtio => Value::Null,
    };
    let rest = json!({"MediaType": "SSD", "Protocol": protocol, "CapacityBytes": disk.size(), "Manufacturer": "QEMU",
        "Model": "Emulated disk", "SerialNumber": disk.serial(number), "Status": well()});
    let path = format!("{}/Storage/1/Drives/{id}", path(system));
    Some(resource(&path, "Drive.v1_9_1", id, &format!("Disk {id}"), rest))
}

/// Reference, name, what it is as a boot target.
fn boot_options_of(system: &System) -> Vec<(String, String, &'static str)> {
    let disks = (0..disks(system).len()).map(|number| (format!("Disk {number}"), "Hdd"));
    let drives = system.drives.iter().map(|drive| match drive.slot {
        Slot::Cd => (format!("Virtual CD {}", drive.id), "Cd"),
        Slot::Usb | Slot::Floppy => (format!("Virtual stick {}", drive.id), "Usb"),
    });
    let nics = system.definition.macs.first().map(|mac| (format!("PXE {mac}"), "Pxe"));
    let all = disks.chain(drives).chain(nics).enumerate();
    all.map(|(number, (name, alias))| (format!("Boot{number:04X}"), name, alias)).collect()
}

pub(in crate::bmc) fn boot_options(system: &System) -> Value {
    let path = format!("{}/BootOptions", path(system));
    let members = boot_options_of(system).into_iter().map(|(reference, ..)| format!("{path}/{reference}"));
    collection(&path, "BootOption", "Boot options", members.collect::<Vec<_>>())
}

pub(in crate::bmc) fn boot_option(system: &System, id: &str) -> Option<Value> {
    let (reference, name, alias) = boot_options_of(system).into_iter().find(|(reference, ..)| reference == id)?;
    let rest =
        json!({"BootOptionReference": reference, "DisplayName": name, "Alias": alias, "BootOptionEnabled": true});
    Some(resource(&format!("{}/BootOptions/{id}", path(system)), "BootOption.v1_0_4", id, &name, rest))
}

pub(in crate::bmc) fn virtual_media(system: &System) -> Value {
    let path = format!("{}/VirtualMedia", path(system));
    let members = system.drives.iter().map(|drive| format!("{path}/{}", drive.id));
    collection(&path, "VirtualMedia", "Virtual media", members)
}

pub(in crate::bmc) fn virtual_drive(system: &System, drive: &Drive) -> Value {
    let path = format!("{}/VirtualMedia/{}", path(system), drive.id);
    let url = drive.medium.as_ref().map(|medium| medium.url.as_str());
    let types: &[&str] = match drive.slot {
        Slot::Cd => &["CD", "DVD"],
        Slot::Usb => &["USBStick"],
        Slot::Floppy => &["Floppy"],
    };
    let action = |name: &str| json!({"target": format!("{path}/Actions/VirtualMedia.{name}")});
    let rest = json!({"MediaTypes": types, "Inserted": url.is_some(), "WriteProtected": true, "Image": url,
        "ImageName": url.and_then(|url| url.rsplit('/').next()),
        "ConnectedVia": if url.is_some() { "URI" } else { "NotConnected" }, "TransferMethod": "Stream", "Status": well(),
        "Actions": {"#VirtualMedia.InsertMedia": action("InsertMedia"), "#VirtualMedia.EjectMedia": action("EjectMedia")}});
    resource(&path, "VirtualMedia.v1_4_0", &drive.id, "Virtual drive", rest)
}

pub(in crate::bmc) fn bios(system: &System) -> Value {
    let path = format!("{}/Bios", path(system));
    let rest = json!({"AttributeRegistry": service::registry_name(), "Attributes": system.settings.current(),
        "@Redfish.Settings": {"@odata.type": "#Settings.v1_3_0.Settings", "SettingsObject": link(&format!("{path}/Settings")),
            "SupportedApplyTimes": ["OnReset"]},
        "Actions": {"#Bios.ResetBios": {"target": format!("{path}/Actions/Bios.ResetBios")}}});
    resource(&path, "Bios.v1_1_1", "Bios", "Firmware settings", rest)
}

/// The settings as they will be after the next start.
pub(in crate::bmc) fn bios_settings(system: &System) -> Value {
    let path = format!("{}/Bios/Settings", path(system));
    let rest = json!({"AttributeRegistry": service::registry_name(), "Attributes": system.settings.pending()});
    resource(&path, "Bios.v1_1_1", "Settings", "Firmware settings from the next start on", rest)
}

pub(in crate::bmc) fn secure_boot(system: &System) -> Value {
    let path = format!("{}/SecureBoot", path(system));
    let now = if system.secure_boot_now { "Enabled" } else { "Disabled" };
    let rest = json!({"SecureBootEnable": system.secure_boot, "SecureBootCurrentBoot": now, "SecureBootMode": "UserMode",
        "Actions": {"#SecureBoot.ResetKeys": {"target": format!("{path}/Actions/SecureBoot.ResetKeys"),
            "ResetKeysType@Redfish.AllowableValues": ["ResetAllKeysToDefault"]}}});
    resource(&path, "SecureBoot.v1_1_0", "SecureBoot", "UEFI Secure Boot", rest)
}
