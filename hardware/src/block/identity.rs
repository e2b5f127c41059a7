//! What a block device is called: model, serial number, WWN, paths. From udev's database where there is one, else
//! from what the kernel read off the device itself.

use std::collections::BTreeMap;
use std::path::Path;

use super::device::BlockDevice;
use super::graph::Node;
use super::kind::Kind;
use super::transport::Transports;
use super::udev::{ByPath, Udev};
use super::vpd::Vpd;
use crate::machine::Machine;
use crate::printable::printable;

/// Properties of udev with a serial number, in `lsblk`'s order, and the names that multipath and other mappings have.
const SERIALS: [&str; 6] =
    ["SCSI_IDENT_SERIAL", "ID_SCSI_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL", "DM_SERIAL_SHORT", "DM_SERIAL"];
const WWNS: [&str; 3] = ["ID_WWN_WITH_EXTENSION", "ID_WWN", "DM_WWN"];
const WWNS_WITH_EXTENSION: [&str; 2] = ["ID_WWN_WITH_EXTENSION", "DM_WWN_WITH_EXTENSION"];
const WWN_EXTENSIONS: [&str; 2] = ["ID_WWN_VENDOR_EXTENSION", "DM_WWN_VENDOR_EXTENSION"];

/// Describes devices with the rules of `lsblk` and IPA, plus fallbacks that work without udev.
#[derive(Debug)]
pub(super) struct Descriptions<'a> {
    machine: &'a Machine,
    links: ByPath,
    transports: Transports<'a>,
}

impl<'a> Descriptions<'a> {
    pub(super) fn new(machine: &'a Machine) -> Self {
        Self { machine, links: ByPath::read(machine), transports: Transports::new(machine) }
    }

    pub(super) fn describe(&self, node: &Node) -> BlockDevice {
        let (machine, udev) = (self.machine, &node.udev);
        let directory = machine.directory(&node.place);
        let own = |attribute: &str| directory.as_ref()?.attribute(attribute).map(|text| printable(&text));
        let by_udev = |keys: &[&str]| udev.first(keys).map(|text| printable(&text));
        let is_partition = matches!(node.kind, Kind::Partition(_));
        // `lsblk` takes a partition's serial number from its disk.
        let serials = if is_partition { &SERIALS[2..] } else { &SERIALS[..] };
        let (of_disk, of_mapping) = serials.split_at(serials.len() - 2);
        let mut serial =
            by_udev(of_disk).or_else(|| own("device/serial")).or_else(|| by_udev(of_mapping)).or_else(|| own("serial"));
        let mut wwn = by_udev(&WWNS);
        let mut other_names = [("serial", others(udev, serials)), ("wwn", others(udev, &WWNS))];
        let mut wwn_with_extension = by_udev(&WWNS_WITH_EXTENSION);
        let mut wwn_vendor_extension = by_udev(&WWN_EXTENSIONS);
        if serial.is_none() || wwn.is_none() {
            let vpd = directory.as_ref().map(Vpd::read).unwrap_or_default();
            serial = serial.or(vpd.serial);
            if wwn.is_none() {
                wwn = vpd.wwn_with_extension.clone().or_else(|| own("wwid"));
                other_names[1].1.extend(vpd.wwn);
            }
            wwn_with_extension = wwn_with_extension.or(vpd.wwn_with_extension);
            wwn_vendor_extension = wwn_vendor_extension.or(vpd.wwn_extension);
        }
        let by_path = self.by_path(node);
        let mut alternatives: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for ((hint, others), first) in other_names.into_iter().zip([&serial, &wwn]) {
            alternatives.insert(hint.to_string(), distinct(first.iter().cloned().chain(others)));
        }
        if by_path.len() > 1 {
            alternatives.insert("by_path".to_string(), by_path.clone());
        }
        // Partitions have their disk's queue.
        let queue = match &node.kind {
            Kind::Partition(of) => machine.directory(Path::new("/sys/class/block").join(of)),
            _ => None,
        };
        let queue = |attribute: &str| queue.as_ref().or(directory.as_ref())?.number(&format!("queue/{attribute}"));
        let hctl = directory.as_ref().and_then(|own| own.names("device/scsi_device").into_iter().next());
        BlockDevice {
            name: node.path(),
            model: (!is_partition && node.slaves.is_empty())
                .then(|| udev.model().map(|text| printable(&text)).or_else(|| own("device/model")))
                .flatten(),
            size_bytes: own("size").and_then(|size| size.parse::<u64>().ok()).unwrap_or(0).saturating_mul(512),
            rotational: queue("rotational").map(|flag: u32| flag == 1),
            wwn,
            serial,
            vendor: own("device/vendor"),
            wwn_with_extension,
            wwn_vendor_extension,
            tran: self.transports.of(node, hctl.as_deref()).map(str::to_string),
            hctl,
            by_path: by_path.into_iter().next(),
            logical_sectors: queue("logical_block_size"),
            physical_sectors: queue("physical_block_size"),
            alternatives,
        }
    }

    /// The device's links in `/dev/disk/by-path`: the one udev calls its path first, then the last one found.
    fn by_path(&self, node: &Node) -> Vec<String> {
        let links = self.links.of(&node.path());
        if links.is_empty() {
            return Vec::new();
        }
        let number = self.machine.read(node.place.join("partition"));
        let stable = node.udev.get("ID_PATH").map(|path| match number {
            Some(number) => format!("/dev/disk/by-path/{path}-part{number}"),
            None => format!("/dev/disk/by-path/{path}"),
        });
        let stable = stable.filter(|stable| links.contains(stable));
        distinct(stable.into_iter().chain(links.iter().rev().cloned()))
    }
}

/// Every value that udev has under these keys.
fn others(udev: &Udev, keys: &[&str]) -> Vec<String> {
    keys.iter().filter_map(|key| udev.get(key)).map(printable).collect()
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    known
}
