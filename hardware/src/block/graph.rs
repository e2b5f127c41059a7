//! Which block devices the kernel has and how they sit on each other, read from sysfs.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use super::kind::Kind;
use super::parallel;
use super::udev::Udev;
use crate::machine::{Directory, Machine};

/// Starts of the names of devices that are never made of other devices: nothing to read there on machines with thousands.
const PHYSICAL: [&str; 4] = ["sd", "nvme", "vd", "mmcblk"];

/// Mappings that are made anew from what is on the disk, by the device mapper's own word for them.
const MADE_ANEW: [&str; 2] = ["lvm", "crypt"];

/// One device of the graph.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kname: String,
    /// Its directory in sysfs, without links on the way.
    pub(super) place: PathBuf,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) kind: Kind,
    /// Devices this one is built on (md members, dm slaves, what a loop device shows again).
    pub(super) slaves: Vec<String>,
    /// Devices built directly on this one; its partitions are none.
    pub(super) holders: Vec<String>,
    pub(super) partitions: Vec<String>,
    pub(super) read_only: bool,
    /// Registered with bcache, as a cache or a cached device.
    pub(super) in_bcache: bool,
    /// The kernel's running number of disks, where it has one.
    pub(super) sequence: Option<String>,
    pub(super) udev: Udev,
}

/// All devices, sorted by major and minor number.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    by_name: HashMap<String, usize>,
}

impl Graph {
    pub(super) fn read(machine: &Machine) -> Self {
        let names = machine.names("/sys/class/block");
        let read = parallel::map(&names, |kname| Node::read(machine, kname.clone()));
        let mut nodes: Vec<Node> = read.into_iter().flatten().collect();
        nodes.sort_by_key(|n| (n.major, n.minor));
        let by_name: HashMap<String, usize> = nodes.iter().enumerate().map(|(at, n)| (n.kname.clone(), at)).collect();
        for at in 0..nodes.len() {
            let kname = nodes[at].kname.clone();
            match nodes[at].kind.clone() {
                Kind::Partition(of) => {
                    if let Some(disk) = by_name.get(&of) {
                        nodes[*disk].holders.retain(|holder| *holder != kname);
                        nodes[*disk].partitions.push(kname);
                    }
                }
                // The kernel keeps no link from a disk to the loop device that shows it again.
                Kind::Loop => {
                    for below in nodes[at].slaves.clone() {
                        if let Some(disk) = by_name.get(&below) {
                            nodes[*disk].holders.push(kname.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        Self { nodes, by_name }
    }

    pub(super) fn get(&self, kname: &str) -> Option<&Node> {
        self.by_name.get(kname).map(|at| &self.nodes[*at])
    }

    /// All devices in the order of `lsblk`, by device number.
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn visit<'a>(&'a self, node: &'a Node, seen: &mut BTreeSet<&'a str>, order: &mut Vec<&'a Node>) {
        if !seen.insert(&node.kname) {
            return;
        }
        order.push(node);
        let mut children: Vec<&Node> =
            node.partitions.iter().chain(&node.holders).filter_map(|n| self.get(n)).collect();
        children.sort_by_key(|n| (n.major, n.minor));
        for child in children {
            self.visit(child, seen, order);
        }
    }

    /// The device itself and everything on it: partitions, arrays, mappings and their partitions.
    pub(super) fn above<'a>(&'a self, node: &'a Node) -> Vec<&'a Node> {
        let mut order = Vec::new();
        self.visit(node, &mut BTreeSet::new(), &mut order);
        order
    }

    /// Whether it is an array of the kernel's own.
    pub(super) fn is_array(&self, node: &Node) -> bool {
        matches!(node.kind, Kind::Raid(_)) && node.kname.starts_with("md")
    }

    /// The whole devices that this one rests on: itself, or the disks of its partition, members and slaves.
    pub(super) fn foundations<'a>(&'a self, node: &'a Node) -> Vec<&'a Node> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            if !seen.insert(node.kname.as_str()) {
                continue;
            }
            let below: Vec<&Node> = match &node.kind {
                Kind::Partition(of) => self.get(of).into_iter().collect(),
                _ => node.slaves.iter().filter_map(|n| self.get(n)).collect(),
            };
            if below.is_empty() {
                found.push(node);
            }
            open.extend(below);
        }
        found
    }
}

/// The device that a loop device shows again, when it shows no file.
fn shown_by_loop(machine: &Machine, own: &Directory) -> Option<String> {
    let path = own.attribute("loop/backing_file").filter(|file| file.starts_with("/dev/"))?;
    let path = machine.resolve(&path).unwrap_or_else(|| path.into());
    Some(path.strip_prefix("/dev").ok()?.to_str()?.replace('/', "!"))
}

impl Node {
    /// Whether it is made anew from what is on the disk: a logical volume, an encrypted mapping, a mapped partition.
    pub(super) fn is_made_anew(&self) -> bool {
        match &self.kind {
            Kind::Mapper(kind) => MADE_ANEW.contains(&kind.as_str()),
            // Partitions of a multipath disk or of firmware RAID hold the disk; those of other disks are no mappings.
            Kind::Partition(_) => self.kname.starts_with("dm-"),
            _ => false,
        }
    }

    fn read(machine: &Machine, kname: String) -> Option<Self> {
        let place = place(machine, &kname);
        let own = machine.directory(&place)?;
        // Paths of a multipath NVMe namespace have no device node.
        if kname.starts_with("nvme") && own.attribute("hidden").as_deref() == Some("1") {
            return None;
        }
        let number = own.attribute("dev")?;
        let (major, minor) = number.split_once(':')?;
        let is_made_of_others = !PHYSICAL.iter().any(|driver| kname.starts_with(driver));
        let mut slaves = if is_made_of_others { own.names("slaves") } else { Vec::new() };
        if kname.starts_with("loop") {
            slaves.extend(shown_by_loop(machine, &own));
        }
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        Some(Self {
            major,
            minor,
            kind: Kind::of(machine, &kname, &place, &own, &slaves),
            slaves,
            holders: own.names("holders"),
            partitions: Vec::new(),
            read_only: own.attribute("ro").as_deref() == Some("1"),
            in_bcache: own.exists("bcache"),
            sequence: own.attribute("diskseq"),
            udev: Udev::read(machine, major, minor),
            kname,
            place,
        })
    }

    /// The device node.
    pub(super) fn path(&self) -> String {
        format!("/dev/{}", self.kname.replace('!', "/"))
    }
}

/// Where the link in `/sys/class/block` leads.
fn place(machine: &Machine, kname: &str) -> PathBuf {
    let link = Path::new("/sys/class/block").join(kname);
    let Some(target) = machine.link_target(&link) else { return link };
    let mut place = PathBuf::from("/sys/class/block");
    for step in target.components() {
        match step {
            Component::ParentDir => {
                place.pop();
            }
            step => place.push(step),
        }
    }
    place
}
