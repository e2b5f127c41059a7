//! What a machine is made of, and its firmware.

use conductor_stub::redfish::{Progress, RedfishError, System};
use serde_json::{Value, json};

use crate::replay::{File, Replay, file};

const SYSTEM: &str = "/redfish/v1/Systems/System.Embedded.1";
const CHASSIS: &str = "/redfish/v1/Chassis/System.Embedded.1";
const UPDATE: &str = "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate";

/// Adds documents, and a collection of them at `list`.
fn add(file: &mut File, list: &str, members: &[(&str, Value)]) {
    let links: Vec<Value> = members.iter().map(|(name, _)| json!({"@odata.id": format!("{list}/{name}")})).collect();
    file.tree.insert(list.to_owned(), json!({"Members": links}));
    for (name, document) in members {
        let mut document = document.clone();
        document["Id"] = (*name).into();
        file.tree.insert(format!("{list}/{name}"), document);
    }
}

/// An iDRAC that tells of everything.
fn talkative() -> File {
    let mut file = file("idrac9");
    let system = file.tree.get_mut(SYSTEM).unwrap();
    for part in ["Storage", "Processors", "EthernetInterfaces"] {
        system[part] = json!({"@odata.id": format!("{SYSTEM}/{part}")});
    }
    system["MemorySummary"] = json!({"TotalSystemMemoryGiB": 192});
    (system["BiosVersion"], system["Model"], system["SerialNumber"]) = (json!("2.19.1"), json!("R650"), json!("ABC"));
    system["Links"]["Chassis"] = json!([{"@odata.id": CHASSIS}]);
    let processor =
        |model: &str| json!({"Model": model, "InstructionSet": "x86-64", "MaxSpeedMHz": 4000, "TotalThreads": 32});
    add(&mut file, &format!("{SYSTEM}/Processors"), &[("CPU.1", processor("Xeon")), ("CPU.2", processor("Xeon"))]);
    let nics = [
        ("NIC.1", json!({"MACAddress": "AA:BB:CC:00:00:01", "SpeedMbps": 25000})),
        ("NIC.2", json!({"MACAddress": null})),
    ];
    add(&mut file, &format!("{SYSTEM}/EthernetInterfaces"), &nics);
    let storage = format!("{SYSTEM}/Storage");
    let drives: Vec<Value> = ["0", "1", "gone"].map(|id| json!({"@odata.id": format!("{storage}/Drives/{id}")})).into();
    let raid = json!({"Name": "PERC", "Drives": drives, "Volumes": {"@odata.id": format!("{storage}/RAID.1/Volumes")},
        "StorageControllers": [{"MemberId": "0", "Name": "PERC", "SupportedRAIDTypes": ["RAID1"], "Status": {"Health": "OK"}}]});
    add(&mut file, &storage, &[("RAID.1", raid)]);
    let drive = |gib: u64| {
        json!({"Name": format!("Disk of {gib}"), "CapacityBytes": gib << 30, "MediaType": "HDD",
        "Manufacturer": "SEAGATE", "Model": "ST", "SerialNumber": "S", "Protocol": "SAS", "Status": {"State": "Enabled"}})
    };
    add(&mut file, &format!("{storage}/Drives"), &[("0", drive(2)), ("1", drive(1000))]);
    add(
        &mut file,
        &format!("{storage}/RAID.1/Volumes"),
        &[("0", json!({"CapacityBytes": 900_u64 << 30})), ("1", json!({}))],
    );
    let adapters = format!("{CHASSIS}/NetworkAdapters");
    file.tree.insert(CHASSIS.into(), json!({"NetworkAdapters": {"@odata.id": adapters}}));
    let adapter = json!({"SerialNumber": "VN123", "Manufacturer": "Broadcom", "Model": "BCM57414",
        "Controllers": [{}, {"FirmwarePackageVersion": "22.31"}]});
    add(
        &mut file,
        &adapters,
        &[("NIC.Integrated.1", adapter), ("NIC.Slot.2", json!({"Controllers": [{"FirmwarePackageVersion": "1.2"}]}))],
    );
    file
}

#[tokio::test]
async fn a_machine_is_known_by_its_bmc() {
    let bmc = Replay::start(talkative()).await;
    let client = bmc.client();
    let (inventory, disk_bytes) = System::find(&client).await.unwrap().inventory().await.unwrap();
    assert_eq!(disk_bytes, Some(900 << 30), "what is installed on is the volume");
    assert_eq!(inventory["memory"], json!({"physical_mb": 196_608}));
    assert_eq!(
        inventory["cpu"],
        json!({"model_name": "Xeon", "frequency": 4000, "count": 64, "architecture": "x86_64"})
    );
    assert_eq!(
        inventory["interfaces"],
        json!([{"name": "NIC.1", "speed_mbps": 25000, "mac_address": "aa:bb:cc:00:00:01"}])
    );
    assert_eq!(
        inventory["disks"][1],
        json!({"name": "Disk of 1000", "size": 1000_u64 << 30, "vendor": "SEAGATE", "model": "ST",
        "serial": "S", "rotational": true})
    );
    assert_eq!(inventory["disks"].as_array().unwrap().len(), 2, "a drive that is not there is left out");
    let controller = &inventory["storage_controllers"][0];
    assert_eq!(
        (&controller["id"], &controller["storage_controllers"][0]["raid_types"]),
        (&json!("RAID.1"), &json!(["RAID1"]))
    );
    assert_eq!(
        (&controller["drives"][0]["protocol"], &controller["drives"][0]["status"]),
        (&json!("SAS"), &json!({"state": "Enabled"}))
    );
    assert_eq!(
        inventory["system_vendor"],
        json!({"product_name": "R650", "serial_number": "ABC", "manufacturer": "Dell Inc."})
    );
    assert_eq!(inventory["boot"], json!({"current_boot_mode": "uefi"}));
}

#[tokio::test]
async fn firmware_is_known_by_its_parts() {
    let mut file = talkative();
    let versions = |firmware: Vec<conductor_stub::redfish::firmware::Firmware>| -> Vec<(String, String)> {
        firmware.into_iter().map(|one| (one.component, one.version)).collect()
    };
    let pair = |component: &str, version: &str| (component.to_owned(), version.to_owned());
    let (bios, own) = (pair("bios", "2.19.1"), pair("bmc", "7.00.00.00"));
    {
        let bmc = Replay::start(file.clone()).await;
        let client = bmc.client();
        let found = System::find(&client).await.unwrap().firmware().await.unwrap();
        let nic = &found[2];
        assert_eq!((nic.vendor.as_deref(), nic.serial_number.as_deref()), (Some("Broadcom"), Some("VN123")));
        let nics = [pair("nic:VN123", "22.31"), pair("nic:NIC.Slot.2", "1.2")];
        assert_eq!(versions(found), [&[bios.clone(), own.clone()], nics.as_slice()].concat());
    }
    // As HPE's, while no operating system runs.
    file.habits.answers.insert(format!("GET {CHASSIS}/NetworkAdapters"), (400, json!({})));
    let bmc = Replay::start(file).await;
    let client = bmc.client();
    assert_eq!(versions(System::find(&client).await.unwrap().firmware().await.unwrap()), [bios, own]);
}

#[tokio::test]
async fn an_update_is_watched() {
    let mut file = talkative();
    let service = json!({"Actions": {"#UpdateService.SimpleUpdate": {"target": UPDATE,
        "TransferProtocol@Redfish.AllowableValues": ["HTTP", "NFS"]}}});
    let url = "http://files.example/bios.exe";
    let start = async |file: File| {
        let bmc = Replay::start(file).await;
        let client = bmc.client();
        let task = System::find(&client).await.unwrap().update(url).await;
        (bmc, client, task)
    };
    let (.., refused) = start(file.clone()).await;
    assert!(refused.unwrap_err().to_string().contains("no service for updates"));

    file.tree.get_mut("/redfish/v1").unwrap()["UpdateService"] = json!({"@odata.id": "/redfish/v1/UpdateService"});
    file.tree.insert("/redfish/v1/UpdateService".into(), service);
    let task = |state: &str| {
        json!({"@odata.id": "/redfish/v1/TaskService/Tasks/JID_1", "TaskState": state,
        "Messages": [{"Message": "the image is for another machine"}]})
    };
    file.habits.answers.insert(format!("POST {UPDATE}"), (202, task("New")));
    let looked_at = "GET /redfish/v1/TaskService/Tasks/JID_1".to_owned();
    for (state, seen) in [("Starting", Ok(Some("Starting"))), ("Completed", Ok(None)), ("Exception", Err(()))] {
        file.habits.answers.insert(looked_at.clone(), (200, task(state)));
        let (bmc, client, task) = start(file.clone()).await;
        let mut task = task.unwrap().unwrap();
        assert_eq!(bmc.bodies("POST", "SimpleUpdate"), [json!({"ImageURI": url, "TransferProtocol": "HTTP"})]);
        match (client.look(&mut task).await, seen) {
            (Ok(Progress::Running { state, .. }), Ok(seen)) => assert_eq!(state.as_deref(), seen),
            (Ok(Progress::Done(_)), Ok(None)) => {}
            (Err(RedfishError::Task { text, .. }), Err(())) => assert_eq!(text, "the image is for another machine"),
            (other, _) => panic!("{state}: {other:?}"),
        }
    }

    // Several machines behind one BMC: it is told which.
    let members = json!([{"@odata.id": SYSTEM}, {"@odata.id": "/redfish/v1/Systems/2"}]);
    file.tree.get_mut("/redfish/v1/Systems").unwrap()["Members"] = members;
    let bmc = Replay::start(file).await;
    let client = bmc.client_with(json!({"redfish_system_id": SYSTEM}));
    System::find(&client).await.unwrap().update(url).await.unwrap();
    assert_eq!(bmc.bodies("POST", "SimpleUpdate")[0]["Targets"], json!([SYSTEM]));
}
