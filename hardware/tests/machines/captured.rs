//! What is said of the captured machines in `fixtures/` (INDEX.md tells what is in them).

use std::path::{Path, PathBuf};
use std::process::Command;

use ferric_hardware::block::hints::Hints;
use ferric_hardware::block::root_device::choose;
use ferric_hardware::block::{DevicePolicy, Listing, Reason, list};
use ferric_hardware::collect::{CollectOptions, Collector};
use ferric_hardware::inventory::{self, InventoryOptions};
use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn q35() -> Machine {
    Machine::at(fixture("qemu-q35"))
}

fn allowing(devices: &[&str]) -> DevicePolicy {
    DevicePolicy { allowed: Some(devices.iter().map(PathBuf::from).collect()), skip: Vec::new() }
}

fn skipping(entries: Value) -> DevicePolicy {
    DevicePolicy { allowed: None, skip: entries.as_array().cloned().unwrap_or_default() }
}

fn eligible(listing: &Listing) -> Vec<&str> {
    listing.eligible.iter().map(|d| d.name.as_str()).collect()
}

/// The reason against one device; nothing when it is eligible.
fn reason(listing: &Listing, name: &str) -> Option<Reason> {
    assert!(
        listing.eligible.iter().any(|d| d.name == name) ^ listing.rejected.iter().any(|r| r.device.name == name),
        "{name} is in neither list or in both"
    );
    listing.rejected.iter().find(|r| r.device.name == name).map(|r| r.reason.clone())
}

#[test]
fn every_device_is_eligible_or_rejected_for_its_own_reason() {
    let listing = list(&q35(), &DevicePolicy::default());
    assert_eq!(
        eligible(&listing),
        ["/dev/sdb", "/dev/sdg", "/dev/sdh", "/dev/md0", "/dev/dm-0", "/dev/vda", "/dev/nvme0n1"]
    );
    for (name, expected) in [
        ("/dev/fd0", Reason::Floppy),
        ("/dev/loop0", Reason::Loop),
        ("/dev/sda", Reason::Mounted { device: "/dev/sda2".into(), at: "/root/mnt/a b".into() }),
        ("/dev/sda1", Reason::Partition("/dev/sda".into())),
        ("/dev/sdc", Reason::Held(vec!["/dev/md0".into()])),
        ("/dev/sde", Reason::MultipathPath("/dev/dm-0".into())),
        ("/dev/sdf", Reason::MultipathPath("/dev/dm-0".into())),
        ("/dev/sr0", Reason::NotADisk("rom".into())),
        ("/dev/vdb", Reason::Held(vec!["/dev/dm-1".into()])),
        ("/dev/dm-1", Reason::Mapped("lvm".into())),
        ("/dev/vdc", Reason::ReadOnly),
        ("/dev/nvme1n1", Reason::Swap("/dev/nvme1n1".into())),
    ] {
        assert_eq!(reason(&listing, name), Some(expected), "{name}");
    }
}

#[test]
fn the_inventory_shows_disks_in_use_but_nothing_that_is_no_disk() {
    let names: Vec<String> = list(&q35(), &DevicePolicy::default()).disks().into_iter().map(|d| d.name).collect();
    let expected = "sda sdb sdc sdd sdg sdh md0 dm-0 vda vdb vdc nvme1n1 nvme0n1";
    assert_eq!(names, expected.split(' ').map(|name| format!("/dev/{name}")).collect::<Vec<_>>());
}

#[test]
fn only_allowed_devices_exist_and_what_is_built_on_them_alone() {
    let listing = list(&q35(), &allowing(&["/dev/loop0", "/dev/sdb"]));
    assert_eq!(eligible(&listing), ["/dev/loop0", "/dev/sdb"]);
    assert_eq!(listing.disks().len(), 2);
    assert_eq!(reason(&listing, "/dev/sdg"), Some(Reason::NotAllowed));

    assert_eq!(eligible(&list(&q35(), &allowing(&["/dev/sdc"]))), [""; 0]);
    assert_eq!(eligible(&list(&q35(), &allowing(&["/dev/sdc", "/dev/sdd"]))), ["/dev/md0"]);
    // An empty loop device stays out, and being allowed does not make a disk in use safe.
    let listing = list(&q35(), &allowing(&["/dev/loop1", "/dev/sda", "/dev/vdc"]));
    assert_eq!(eligible(&listing), [""; 0]);
    assert_eq!(reason(&listing, "/dev/loop1"), Some(Reason::Empty));
    assert_eq!(reason(&listing, "/dev/vdc"), Some(Reason::ReadOnly));
    // Links are followed.
    let link = "/dev/disk/by-id/wwn-0x5000c500aabbccdd";
    assert_eq!(eligible(&list(&q35(), &allowing(&[link]))), ["/dev/sdg"]);
}

#[test]
fn skipped_disks_take_what_is_built_on_them_along() {
    let listing = list(&q35(), &skipping(json!([{"name": "/dev/sdc"}, {"serial": "MPATH-SER"}, {"tran": "usb"}])));
    assert_eq!(eligible(&listing), ["/dev/sdb", "/dev/sdg", "/dev/vda", "/dev/nvme0n1"]);
    assert_eq!(reason(&listing, "/dev/md0"), Some(Reason::Skipped(r#"{"name":"/dev/sdc"}"#.into())));
    assert!(matches!(reason(&listing, "/dev/dm-0"), Some(Reason::Skipped(_))));
    // Skipped disks are still shown in the inventory.
    assert!(listing.disks().iter().any(|d| d.name == "/dev/sdh"));
}

#[test]
fn a_skip_list_that_is_not_understood_protects_everything() {
    for entry in [json!({}), json!({"nmae": "/dev/sdb"}), json!("sdb"), json!({"model": "== qemu"})] {
        let listing = list(&q35(), &skipping(json!([entry])));
        assert_eq!(eligible(&listing), [""; 0], "{entry}");
        assert!(matches!(reason(&listing, "/dev/sdb"), Some(Reason::BadSkipList(_))), "{entry}");
    }
}

#[test]
fn the_root_device_is_chosen_among_eligible_devices_only() {
    let listing = list(&q35(), &DevicePolicy::default());
    assert_eq!(choose(&listing, None).unwrap().name, "/dev/sdb");
    let hints = |value: Value| Hints::parse(&value).unwrap();
    assert_eq!(choose(&listing, Some(&hints(json!({"tran": "nvme"})))).unwrap().name, "/dev/nvme0n1");
    // Each of the three names of a SCSI disk is good.
    for serial in ["SCSI-SER-0", "600508b1001c4d2a", "3600508b1001c4d2a"] {
        assert_eq!(choose(&listing, Some(&hints(json!({"serial": serial})))).unwrap().name, "/dev/sdb");
    }
    let refused = choose(&listing, Some(&hints(json!({"serial": "SATA-SER-0"})))).unwrap_err();
    let sda = refused.reasons.iter().find(|(name, _)| name == "/dev/sda").unwrap();
    assert_eq!(sda.1, "/dev/sda2 is mounted at /root/mnt/a b");
    assert_eq!(refused.reasons.len(), listing.eligible.len() + listing.rejected.len());
}

#[test]
fn a_micro_vm_has_no_disk_to_spare() {
    let machine = Machine::at(fixture("firecracker"));
    let listing = list(&machine, &DevicePolicy::default());
    assert_eq!(eligible(&listing), [""; 0]);
    assert_eq!(reason(&listing, "/dev/vda"), Some(Reason::Mounted { device: "/dev/vda".into(), at: "/".into() }));
    assert_eq!(reason(&listing, "/dev/zram0"), Some(Reason::Ram));
    let refused = choose(&listing, None).unwrap_err();
    assert!(refused.reasons.contains(&("/dev/vda".to_string(), "/dev/vda is mounted at /".to_string())));

    let inventory = inventory::collect(&machine, &InventoryOptions::default());
    assert_eq!(inventory.boot.current_boot_mode, "bios");
    assert_eq!(inventory.cpu.count, 2);
    // Without SMBIOS, what is plugged in is taken from the kernel.
    assert_eq!(inventory.memory.physical_mib, inventory.memory.total_bytes.map(|bytes| bytes >> 20));
    assert_eq!(inventory.interfaces[0].mac_address, "02:fc:00:00:00:01");
}

/// A copy of a machine without some of its directories.
fn without(name: &str, missing: &[&str]) -> (tempfile::TempDir, Machine) {
    let copy = tempfile::tempdir().unwrap();
    let source = format!("{}/.", fixture(name).display());
    assert!(Command::new("cp").args(["-a", &source]).arg(copy.path()).status().unwrap().success());
    for path in missing {
        let path = copy.path().join(path);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }
    let machine = Machine::at(copy.path());
    (copy, machine)
}

#[test]
fn without_udev_disks_keep_their_names() {
    let (_copy, bare) = without("qemu-q35", &["run/udev"]);
    let (with, without) =
        (list(&q35(), &DevicePolicy::default()).disks(), list(&bare, &DevicePolicy::default()).disks());
    assert_eq!(with.len(), without.len());
    for (with, without) in with.iter().zip(&without) {
        // The USB stick's number is known to udev alone: the kernel does not keep the pages of USB disks.
        if with.tran.as_deref() != Some("usb") {
            assert_eq!(without.serial, with.serial, "{}", with.name);
        }
        assert_eq!(
            (&without.wwn, &without.model, &without.tran),
            (&with.wwn, &with.model, &with.tran),
            "{}",
            with.name
        );
    }
}

#[test]
fn nothing_is_eligible_while_mounts_are_unknown() {
    let (_copy, blind) = without("qemu-q35", &["proc/1/mountinfo"]);
    let listing = list(&blind, &DevicePolicy::default());
    assert_eq!(eligible(&listing), [""; 0]);
    assert_eq!(reason(&listing, "/dev/sdb"), Some(Reason::UsageUnknown));
}

#[test]
fn an_empty_directory_is_a_machine_with_nothing() {
    let empty = tempfile::tempdir().unwrap();
    let machine = Machine::at(empty.path());
    let listing = list(&machine, &DevicePolicy::default());
    assert!(listing.eligible.is_empty() && listing.rejected.is_empty());
    let inventory = serde_json::to_value(inventory::collect(&machine, &InventoryOptions::default())).unwrap();
    assert_eq!(inventory["system_vendor"]["serial_number"], "");
    assert_eq!(inventory["memory"], json!({"total": null, "physical_mb": null}));
    assert_eq!(inventory["bmc_address"], Value::Null);
    assert!(inventory.get("bmc_mac").is_none());
}

/// Every value of two documents that differs, as `path: theirs, ours`.
fn differences(path: &str, theirs: &Value, ours: &Value, found: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "keys of {path}");
            for (key, value) in a {
                differences(&format!("{path}/{key}"), value, &b[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, value) in a.iter().enumerate() {
                differences(&format!("{path}/{at}"), value, &b[at], found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(format!("{path}: {a}, {b}")),
    }
}

/// The inventory beside the one that IPA reported on the same machine, two boots apart.
#[test]
fn the_inventory_is_that_of_ipa() {
    let mut theirs: Value = serde_json::from_slice(&std::fs::read(fixture("qemu-q35.ipa.json")).unwrap()).unwrap();
    let options =
        InventoryOptions { boot_interface: Some("01-52-54-00-aa-00-01".into()), ..InventoryOptions::default() };
    let mut ours = serde_json::to_value(inventory::collect(&q35(), &options)).unwrap();
    // Letters of disks change between boots, so disks are compared by what they are.
    let identity = |disk: &Value| (disk["serial"].to_string(), disk["hctl"].to_string(), disk["name"].to_string());
    for inventory in [&mut theirs, &mut ours] {
        let disks = inventory["disks"].as_array_mut().unwrap();
        // IPA lists the two paths of a multipath disk unless multipath tools are at work.
        disks.retain(|disk| disk["serial"] != "MPATH-SER");
        disks.sort_by_key(identity);
        for disk in disks.iter_mut().filter(|disk| disk["name"].as_str().unwrap().starts_with("/dev/sd")) {
            disk["name"] = "/dev/sd?".into();
            disk["hctl"] = disk["hctl"].as_str().unwrap().split_once(':').unwrap().1.into();
        }
    }
    let mut found = Vec::new();
    differences("", &theirs, &ours, &mut found);
    let allowed = |difference: &String| {
        let is_of = |prefix: &str| difference.starts_with(prefix);
        // Only the running kernel tells addresses and speeds, and a captured machine has no BMC to ask.
        (is_of("/interfaces") && ["address: ", "speed_mbps: "].iter().any(|field| difference.contains(field)))
            || is_of("/bmc_")
            // The kernel reserves a little more or less in each boot.
            || is_of("/memory/total")
            // The agent there had an older lsblk, which knows no virtio.
            || (is_of("/disks") && difference.contains("tran: null, \"virtio\""))
    };
    found.retain(|difference| !allowed(difference));
    assert_eq!(found, Vec::<String>::new());
}

fn collect(collector: &str) -> Value {
    let tools = Tools::in_directories([], None);
    let options = CollectOptions { lldp: None, benchmarks: None, tools };
    Collector::named(collector).unwrap().collect(&q35(), &options).unwrap().unwrap()
}

#[test]
fn pci_devices_are_all_text() {
    let devices = collect("pci-devices");
    let nvme = devices.as_array().unwrap().iter().find(|d| d["bus"] == "0000:00:05.0").unwrap();
    assert_eq!(
        *nvme,
        json!({"vendor_id": "1b36", "product_id": "0010", "class": "010802", "revision": "02",
               "bus": "0000:00:05.0", "numa_node_id": "-1"})
    );
}

#[test]
fn the_numa_topology_has_two_nodes_of_two_cores() {
    let topology = collect("numa-topology");
    assert_eq!(topology["ram"].as_array().unwrap().len(), 2);
    let cpus = topology["cpus"].as_array().unwrap();
    assert_eq!(cpus.len(), 4);
    assert_eq!(cpus[3], json!({"thread_siblings": [3], "cpu": 1, "numa_node": 1}));
    assert_eq!(topology["nics"], json!([{"name": "enp0s13", "numa_node": -1}]));
}

#[test]
fn usb_devices_are_those_that_are_no_hubs() {
    assert_eq!(
        collect("usb-devices"),
        json!([{"product": "QEMU USB HARDDRIVE", "vendor": "QEMU", "handle": "USB:2:2"}])
    );
}

#[test]
fn a_missing_program_is_an_error_that_names_it() {
    let options = CollectOptions { lldp: None, benchmarks: Some("cpu".into()), tools: Tools::in_directories([], None) };
    let error = Collector::ExtraHardware.collect(&q35(), &options).unwrap_err();
    assert!(error.to_string().contains("hardware-detect"), "{error}");
    assert!(Collector::named("default").is_none());
}

/// What a reader of dmidecode's output makes of it: blocks of `key: value`, lists below keys without a value.
fn parse_dmidecode(text: &str, kind: u8) -> Vec<Value> {
    let marker = format!("DMI type {kind},");
    let blocks =
        text.split("\n\n").filter(|b| b.starts_with("Handle 0x") && b.lines().next().unwrap().contains(&marker));
    let parse = |block: &str| {
        let mut fields = serde_json::Map::new();
        let mut list: Option<String> = None;
        for line in block.lines().map(str::trim) {
            match line.split_once(':') {
                Some((key, value)) if value.trim().is_empty() => {
                    fields.insert(key.to_string(), json!([]));
                    list = Some(key.to_string());
                }
                Some((key, value)) => {
                    fields.insert(key.to_string(), json!(value.trim()));
                    list = None;
                }
                None if line.starts_with("Handle 0x") => {
                    fields.insert("Handle".to_string(), json!(line));
                }
                None => {
                    if let Some(Value::Array(items)) = list.as_ref().and_then(|key| fields.get_mut(key)) {
                        items.push(json!(line));
                    }
                }
            }
        }
        Value::Object(fields)
    };
    blocks.map(parse).collect()
}

#[test]
fn smbios_is_told_in_the_words_of_dmidecode() {
    let text = std::fs::read_to_string(fixture("qemu-q35.dmidecode.txt")).unwrap();
    let dmi = collect("dmi-decode");
    assert_eq!(dmi["bios"], parse_dmidecode(&text, 0)[0]);
    assert_eq!(dmi["cpu"], json!(parse_dmidecode(&text, 4)));
    assert_eq!(dmi["memory"]["devices"], json!(parse_dmidecode(&text, 17)));
    let mut array = parse_dmidecode(&text, 16).remove(0);
    array.as_object_mut().unwrap().remove("Handle");
    array["Number Of Devices"] = json!(1);
    array["devices"] = dmi["memory"]["devices"].clone();
    assert_eq!(dmi["memory"], array);
}
