//! The machines of `fixtures/record.sh` beside what others said of them in the same boot: the Python agent, lsblk, lshw, and
//! the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ferric_hardware::block::{DevicePolicy, list};
use ferric_hardware::inventory::{self, InventoryOptions};
use ferric_hardware::machine::Machine;
use serde_json::{Value, json};

const MACHINES: [&str; 8] = ["4kn", "arm64-virt", "lvm", "md", "nvme-multipath", "scsi-luns", "sriov", "virtio"];

/// Members of a bond show its address; what they had before, the kernel alone tells.
const BONDED: [(&str, &str); 2] = [("virtio", "ens10"), ("virtio", "ens11")];

struct Recorded(&'static str);

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

impl Recorded {
    fn machine(&self) -> Machine {
        Machine::at(fixtures().join(self.0))
    }

    fn inventory(&self) -> Value {
        serde_json::to_value(inventory::collect(&self.machine(), &InventoryOptions::default())).unwrap()
    }

    fn text(&self, suffix: &str) -> String {
        fs::read_to_string(fixtures().join(format!("{}.{suffix}.json", self.0))).unwrap()
    }

    /// What IPA reported.
    fn of_ipa(&self) -> Value {
        serde_json::from_str(&self.text("ipa")).unwrap()
    }

    /// A line for each device or part of the machine.
    fn lines_of(&self, program: &str) -> Vec<Value> {
        self.text(program).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn kernel_bytes(&self) -> u64 {
        let text = fs::read_to_string(fixtures().join(self.0).join("proc/meminfo")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    }
}

/// The disks of an inventory by their names.
fn disks(inventory: &Value) -> BTreeMap<String, Value> {
    let disks = inventory["disks"].as_array().unwrap();
    disks.iter().map(|disk| (disk["name"].as_str().unwrap().to_string(), disk.clone())).collect()
}

#[test]
fn every_recorded_machine_is_looked_at() {
    let names = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut recorded: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".lsblk.json").map(str::to_string)).collect();
    recorded.sort();
    assert_eq!(recorded, MACHINES);
}

#[test]
fn disks_are_those_of_ipa() {
    for recorded in MACHINES.map(Recorded) {
        let (theirs, ours) = (disks(&recorded.of_ipa()), disks(&recorded.inventory()));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>(), "{}", recorded.0);
        for (name, theirs) in &theirs {
            for (key, theirs) in theirs.as_object().unwrap() {
                let ours = &ours[name][key];
                let may_differ = match key.as_str() {
                    // The last of several valid names in the order of a directory; the first in the order of the alphabet.
                    "by_path" => [ours, theirs].iter().all(|path| leads_to(&recorded, path, name)),
                    // lsblk is silent about it.
                    "tran" => *theirs == json!(null) && *ours == json!("virtio"),
                    _ => false,
                };
                assert!(may_differ || ours == theirs, "{} {name} {key}: {theirs}, ours {ours}", recorded.0);
            }
        }
    }
}

/// Whether it is a link to this device.
fn leads_to(recorded: &Recorded, link: &Value, device: &str) -> bool {
    let root = fixtures().join(recorded.0);
    let (Some(link), Ok(device)) = (link.as_str(), root.join(device.trim_start_matches('/')).canonicalize()) else {
        return false;
    };
    root.join(link.trim_start_matches('/')).canonicalize().is_ok_and(|found| found == device)
}

#[test]
fn everything_else_is_as_ipa_says() {
    for recorded in MACHINES.map(Recorded) {
        let (mut theirs, mut ours) = (recorded.of_ipa(), recorded.inventory());
        for inventory in [&mut theirs, &mut ours] {
            inventory.as_object_mut().unwrap().remove("disks");
            let interfaces = inventory["interfaces"].as_array_mut().unwrap();
            interfaces.sort_by_key(|interface| interface["name"].to_string());
            for interface in interfaces {
                // Only a running kernel tells them.
                let mut keys = vec!["ipv4_address", "ipv6_address", "speed_mbps"];
                if BONDED.contains(&(recorded.0, interface["name"].as_str().unwrap())) {
                    keys.push("mac_address");
                }
                for key in keys {
                    interface.as_object_mut().unwrap().remove(key);
                }
            }
        }
        if theirs["cpu"]["error"].is_string() {
            // It dies of a board whose sockets lscpu cannot count.
            theirs["cpu"] = ours["cpu"].clone();
        }
        assert_eq!(ours, theirs, "{}", recorded.0);
    }
}

#[test]
fn a_machine_with_a_device_tree_is_known() {
    let inventory = Recorded("arm64-virt").inventory();
    let cpu = &inventory["cpu"];
    assert_eq!(
        json!([cpu["model_name"], cpu["architecture"], cpu["count"], cpu["socket_count"]]),
        json!(["Cortex-A72", "aarch64", 2, 1])
    );
    assert_eq!(inventory["system_vendor"]["product_name"], "linux,dummy-virt");
}

#[test]
fn lsblk_knows_the_same_disks() {
    for recorded in MACHINES.map(Recorded) {
        let ours = list(&recorded.machine(), &DevicePolicy::default()).disks();
        let is_disk = |line: &&Value| {
            let kind = line["type"].as_str().unwrap();
            // To IPA, too, a floppy disk is none.
            let is_floppy = line["kname"].as_str().unwrap().starts_with("fd");
            (kind == "disk" || kind.starts_with("raid")) && line["size"] != 0 && !is_floppy
        };
        let lines = recorded.lines_of("lsblk");
        let theirs: BTreeMap<String, &Value> = lines
            .iter()
            .filter(is_disk)
            .map(|line| (format!("/dev/{}", line["kname"].as_str().unwrap()), line))
            .collect();
        let names: BTreeSet<&String> = ours.iter().map(|disk| &disk.name).collect();
        assert_eq!(names, theirs.keys().collect(), "{}", recorded.0);
        for disk in &ours {
            let theirs = theirs[&disk.name];
            assert_eq!(
                json!([disk.size_bytes, disk.rotational, disk.model, disk.serial]),
                json!([theirs["size"], theirs["rota"], theirs["model"], theirs["serial"]]),
                "{} {}",
                recorded.0,
                disk.name
            );
        }
    }
}

#[test]
fn memory_is_that_of_lshw_and_never_less_than_the_kernel_has() {
    for recorded in MACHINES.map(Recorded) {
        let mib = recorded.inventory()["memory"]["physical_mb"].as_u64().unwrap();
        assert!(mib << 20 >= recorded.kernel_bytes(), "{}: {mib} MiB", recorded.0);
        let lines = recorded.lines_of("lshw");
        let theirs = lines.iter().find(|line| line["id"] == "memory").unwrap();
        assert_eq!(mib, theirs["size"].as_u64().unwrap() >> 20, "{}", recorded.0);
    }
}

#[test]
fn lshw_knows_the_same_machine_and_interfaces() {
    for recorded in MACHINES.map(Recorded) {
        let ours = recorded.inventory();
        let lines = recorded.lines_of("lshw");
        let machine = lines.iter().find(|line| line["id"] == recorded.0).unwrap();
        assert_eq!(ours["system_vendor"]["product_name"], machine["product"], "{}", recorded.0);
        let theirs: BTreeSet<&str> = lines
            .iter()
            .filter(|line| line["class"] == "network")
            .filter_map(|line| line["logicalname"].as_str())
            .collect();
        let interfaces = ours["interfaces"].as_array().unwrap().iter();
        // It knows hardware only.
        let devices = interfaces.filter(|interface| !interface["driver"].is_null());
        assert_eq!(
            devices.map(|interface| interface["name"].as_str().unwrap()).collect::<BTreeSet<_>>(),
            theirs,
            "{}",
            recorded.0
        );
    }
}
