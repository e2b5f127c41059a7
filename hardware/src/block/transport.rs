//! How a disk is connected, in `lsblk`'s words.

use std::collections::HashMap;
use std::sync::Mutex;

use super::graph::Node;
use super::kind::Kind;
use crate::machine::Machine;

/// Tells transports. Remembers what each SCSI host is: thousands of disks may be behind one.
#[derive(Debug)]
pub(super) struct Transports<'a> {
    machine: &'a Machine,
    hosts: Mutex<HashMap<String, Option<&'static str>>>,
}

impl<'a> Transports<'a> {
    pub(super) fn new(machine: &'a Machine) -> Self {
        Self { machine, hosts: Mutex::default() }
    }

    /// The transport of `node`, whose SCSI address is `hctl`.
    pub(super) fn of(&self, node: &Node, hctl: Option<&str>) -> Option<&'static str> {
        if node.kname.starts_with("nvme") {
            return Some("nvme");
        }
        if matches!(node.kind, Kind::Partition(_)) {
            return None;
        }
        let by_host = hctl.and_then(|hctl| self.of_host(node, &format!("host{}", hctl.split(':').next()?)));
        let by_name = || {
            if node.place.to_string_lossy().contains("/usb") {
                Some("usb")
            } else if node.kname.starts_with("vd") {
                Some("virtio")
            } else {
                node.kname.starts_with("mmcblk").then_some("mmc")
            }
        };
        by_host.or_else(by_name)
    }

    fn of_host(&self, node: &Node, host: &str) -> Option<&'static str> {
        let mut hosts = self.hosts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = hosts.get(host) {
            return *known;
        }
        let found = self.look_at_host(node, host);
        hosts.insert(host.to_string(), found);
        found
    }

    fn look_at_host(&self, node: &Node, host: &str) -> Option<&'static str> {
        let host_is = |class: &str| self.machine.exists(format!("/sys/class/{class}_host/{host}"));
        let device = node.place.join("device");
        if host_is("spi") {
            Some("spi")
        } else if host_is("fc") {
            let over = self.machine.read(format!("/sys/class/fc_host/{host}/symbolic_name"));
            Some(if over.is_some_and(|name| name.contains(" over ")) { "fcoe" } else { "fc" })
        } else if host_is("sas") || self.machine.exists(device.join("sas_device")) {
            Some("sas")
        } else if self.machine.exists(device.join("ieee1394_id")) {
            Some("sbp")
        } else if host_is("iscsi") {
            Some("iscsi")
        } else if node.place.to_string_lossy().contains("/usb") {
            Some("usb")
        } else if host_is("scsi") {
            let driver = self.machine.read(format!("/sys/class/scsi_host/{host}/proc_name")).unwrap_or_default();
            if driver.starts_with("ahci") || driver.ends_with("ata") {
                Some("sata")
            } else {
                driver.contains("ata").then_some("ata")
            }
        } else {
            None
        }
    }
}
