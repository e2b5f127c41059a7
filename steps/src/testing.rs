//! A machine in a directory, with programs that are shell scripts: what unit tests of this crate work on.

pub(crate) mod server;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use ferric_hardware::machine::Machine;
use ferric_hardware::tool::Tools;
use serde_json::Value;

use crate::options::Options;
use crate::site::Site;
use crate::step::Step;

/// A machine without disks, network and tools but those that a test gives it.
#[derive(Debug)]
pub(crate) struct Fake {
    root: tempfile::TempDir,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// A program by that name; its script runs in the machine's directory.
    pub(crate) fn program(&self, name: &str, script: &str) {
        self.executable(&format!("programs/{name}"), script);
    }

    /// A script anywhere in the machine.
    pub(crate) fn executable(&self, path: &str, script: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", self.path().display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Puts a file into the machine.
    pub(crate) fn file(&self, path: &str, content: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A disk of 200 GiB, or below `disk` a partition of it.
    pub(crate) fn disk(&self, name: &str, number: &str, disk: Option<&str>) {
        let place = disk.map_or(format!("sys/devices/{name}"), |disk| format!("sys/devices/{disk}/{name}"));
        let attributes = [("dev", number), ("size", "419430400"), ("ro", "0")];
        for (attribute, value) in attributes.into_iter().chain(disk.map(|_| ("partition", "1"))) {
            self.file(&format!("{place}/{attribute}"), value);
        }
        self.file(&format!("dev/{name}"), "");
        self.link(&format!("sys/class/block/{name}"), &format!("../../../{place}"));
        if disk.is_none() {
            self.link(&format!("sys/block/{name}"), &format!("../../{place}"));
        }
    }

    /// The arrays `data` (`/dev/md0`) and `root` (`/dev/md1`) on partitions of `/dev/sda`, `other` (`/dev/md2`) on
    /// `/dev/sdb`, and the free disk `/dev/sdc`.
    pub(crate) fn arrays_on_shared_disks(&self) {
        self.file("proc/1/mountinfo", "1 1 0:2 / / rw - rootfs rootfs rw");
        for (name, number) in [("sda", "8:0"), ("sdb", "8:16"), ("sdc", "8:32")] {
            self.disk(name, number, None);
        }
        self.disk("sda1", "8:1", Some("sda"));
        self.disk("sda2", "8:2", Some("sda"));
        for (name, number, member) in [("md0", "9:0", "sda1"), ("md1", "9:1", "sda2"), ("md2", "9:2", "sdb")] {
            self.disk(name, number, None);
            self.file(&format!("sys/devices/{name}/md/level"), "raid1");
            self.link(&format!("sys/class/block/{member}/holders/{name}"), "x");
            self.link(&format!("sys/class/block/{name}/slaves/{member}"), "x");
        }
        let names = "/dev/md0) echo data;; /dev/md1) echo root;; /dev/md2) echo other;;";
        self.program("mdadm", &format!("echo MD_NAME=host:$(case $3 in {names} esac)"));
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// The content of a file of the machine.
    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).unwrap()
    }

    /// The machine with the default options.
    pub(crate) fn site(&self) -> Site {
        self.step().site
    }

    /// A step on this machine, without a node.
    pub(crate) fn step(&self) -> Step {
        self.step_with(|_| {}, Value::Null)
    }

    /// A step on this machine with options and a node.
    pub(crate) fn step_with(&self, change: impl FnOnce(&mut Options), node: Value) -> Step {
        let mut options = Options {
            host_root: self.path().join("no-host"),
            steps_dir: self.path().join("steps.d"),
            ..Options::default()
        };
        change(&mut options);
        let tools = Tools::in_directories([self.path().join("programs")], None);
        let site = Site { tools, ..Site::new(Machine::at(self.path()), options) };
        Step { node: Arc::new(node), ..Step::new(site) }
    }
}
