//! Machines made of a few files, for what no machine at hand has. Layout and content are those of sysfs and procfs.
use std::fs;
use std::os::unix::fs::symlink;

use ferric_hardware::block::{DevicePolicy, Listing, Reason, list};
use ferric_hardware::machine::Machine;
use tempfile::TempDir;

/// Sectors of 512 bytes of a disk, unless something else is said: 200 GiB.
const SECTORS: &str = "419430400";

/// A machine that is being made.
pub(super) struct Tree(TempDir);

impl Tree {
    /// A machine with a root file system on nothing.
    pub(super) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for directory in ["sys/class/block", "run/udev/data", "dev/disk/by-path", "proc/1"] {
            fs::create_dir_all(tree.0.path().join(directory)).unwrap();
        }
        tree.file("proc/1/mountinfo", "1 1 0:2 / / rw - rootfs rootfs rw")
    }

    pub(super) fn machine(&self) -> Machine {
        Machine::at(self.0.path())
    }

    /// Writes a file.
    pub(super) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Makes a symbolic link.
    pub(super) fn link(self, path: &str, target: &str) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    /// A disk below `sys/devices/PLACE`.
    pub(super) fn disk(self, name: &str, number: &str, place: &str) -> Self {
        let own = format!("sys/devices/{place}/{name}");
        for directory in ["queue", "holders", "slaves"] {
            fs::create_dir_all(self.0.path().join(&own).join(directory)).unwrap();
        }
        self.link(&format!("sys/class/block/{name}"), &format!("../../devices/{place}/{name}"))
            .attributes(name, &[("dev", number), ("size", SECTORS), ("ro", "0"), ("queue/rotational", "0")])
            .file(&format!("dev/{}", name.replace('!', "/")), "")
    }

    /// A partition of a disk.
    pub(super) fn partition(self, disk: &str, name: &str, number: &str) -> Self {
        let place = fs::read_link(self.0.path().join("sys/class/block").join(disk)).unwrap();
        let place = place.to_str().unwrap().trim_start_matches("../../devices/").to_string();
        self.disk(name, number, &place).attributes(name, &[("partition", "1")])
    }

    /// Attributes of a block device.
    pub(super) fn attributes(mut self, name: &str, attributes: &[(&str, &str)]) -> Self {
        for (attribute, value) in attributes {
            self = self.file(&format!("sys/class/block/{name}/{attribute}"), format!("{value}\n"));
        }
        self
    }

    /// A device mapper target on other devices.
    pub(super) fn mapping(self, name: &str, number: &str, uuid: &str, title: &str, below: &[&str]) -> Self {
        let tree = self.disk(name, number, "virtual/block").attributes(name, &[("dm/uuid", uuid), ("dm/name", title)]);
        below.iter().fold(tree, |tree, below| tree.built_on(name, below))
    }

    /// The two links that say that `upper` is built on `lower`.
    pub(super) fn built_on(self, upper: &str, lower: &str) -> Self {
        self.link(&format!("sys/class/block/{lower}/holders/{upper}"), "x")
            .link(&format!("sys/class/block/{upper}/slaves/{lower}"), "x")
    }

    /// What udev recorded about a device.
    pub(super) fn udev(self, number: &str, lines: &[&str]) -> Self {
        self.file(&format!("run/udev/data/b{number}"), lines.join("\n"))
    }

    /// A link in `/dev/disk/by-path`.
    pub(super) fn by_path(self, link: &str, name: &str) -> Self {
        self.link(&format!("dev/disk/by-path/{link}"), &format!("../../{name}"))
    }

    /// Lists everything.
    pub(super) fn list(&self) -> Listing {
        list(&self.machine(), &DevicePolicy::default())
    }

    /// Lists as if idle volumes of a former system were not there.
    pub(super) fn list_beneath_leftovers(&self, skip: serde_json::Value) -> Listing {
        let policy = DevicePolicy { allowed: None, skip: skip.as_array().unwrap().clone() };
        ferric_hardware::block::list_beneath_leftovers(&self.machine(), &policy)
    }

    /// Lists with a skip list.
    pub(super) fn list_skipping(&self, entries: serde_json::Value) -> Listing {
        list(&self.machine(), &DevicePolicy { allowed: None, skip: entries.as_array().unwrap().clone() })
    }
}

/// Names of the eligible devices, without `/dev/`.
pub(super) fn eligible(listing: &Listing) -> Vec<&str> {
    listing.eligible.iter().map(|device| device.name.trim_start_matches("/dev/")).collect()
}

/// The reason against one device, for people; empty when it is eligible.
pub(super) fn reason(listing: &Listing, name: &str) -> String {
    let found = listing.rejected.iter().find(|rejection| rejection.device.name == format!("/dev/{name}"));
    found.map(|rejection| rejection.reason.to_string()).unwrap_or_default()
}

/// Whether one device is held by exactly these.
pub(super) fn is_held_by(listing: &Listing, name: &str, holders: &[&str]) -> bool {
    let wanted = Reason::Held(holders.iter().map(|name| format!("/dev/{name}")).collect());
    listing.rejected.iter().any(|r| r.device.name == format!("/dev/{name}") && r.reason == wanted)
}
