//! Which block devices the kernel has and how they sit on each other, read from sysfs.

use std::collections::BTreeSet;

use crate::machine::Machine;

/// What sort of device it is; the names are those of `lsblk`'s TYPE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Disk,
    /// A partition of the named device.
    Partition(String),
    /// An assembled md array; the level (`raid1`).
    Raid(String),
    /// An md device without a RAID level.
    Md,
    /// A device mapper target; the type out of its UUID (`lvm`, `crypt`, `mpath`, else `dm`).
    Mapper(String),
    Loop,
    Floppy,
    Ram,
    /// A SCSI device that is no disk (`rom`, `tape`…).
    OtherScsi(&'static str),
}

/// One device of the graph.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kname: String,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) kind: Kind,
    /// Devices this one is built on (md members, dm slaves).
    pub(super) slaves: Vec<String>,
    /// Devices built directly on this one.
    pub(super) holders: Vec<String>,
    pub(super) partitions: Vec<String>,
}

/// All devices, sorted by major and minor number.
#[derive(Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    pub(super) fn read(machine: &Machine) -> Self {
        let names = machine.names("/sys/class/block");
        let mut nodes: Vec<Node> = names.into_iter().filter_map(|kname| Node::read(machine, kname)).collect();
        nodes.sort_by_key(|n| (n.major, n.minor));
        let owned: Vec<(String, String)> = nodes
            .iter()
            .filter_map(|n| match &n.kind {
                Kind::Partition(of) => Some((of.clone(), n.kname.clone())),
                _ => None,
            })
            .collect();
        for (disk, partition) in owned {
            if let Some(node) = nodes.iter_mut().find(|n| n.kname == disk) {
                node.partitions.push(partition);
            }
        }
        Self { nodes }
    }

    pub(super) fn get(&self, kname: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.kname == kname)
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

impl Node {
    fn read(machine: &Machine, kname: String) -> Option<Self> {
        let sys = format!("/sys/class/block/{kname}");
        // Paths of a multipath NVMe namespace have no device node.
        if machine.read(format!("{sys}/hidden")).as_deref() == Some("1") {
            return None;
        }
        let number = machine.read(format!("{sys}/dev"))?;
        let (major, minor) = number.split_once(':')?;
        Some(Self {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            kind: kind(machine, &kname, &sys),
            slaves: machine.names(format!("{sys}/slaves")),
            holders: machine.names(format!("{sys}/holders")),
            partitions: Vec::new(),
            kname,
        })
    }

    /// The device node.
    pub(super) fn path(&self) -> String {
        format!("/dev/{}", self.kname.replace('!', "/"))
    }
}

/// Decides as `lsblk` does.
fn kind(machine: &Machine, kname: &str, sys: &str) -> Kind {
    if machine.exists(format!("{sys}/partition")) {
        let parent = machine.resolve(sys).and_then(|p| Some(p.parent()?.file_name()?.to_str()?.to_string()));
        return Kind::Partition(parent.unwrap_or_default());
    }
    if let Some(uuid) = machine.read(format!("{sys}/dm/uuid")) {
        let prefix = uuid.split('-').next().unwrap_or_default().to_lowercase();
        // kpartx: partitions of a mapping.
        return if prefix.starts_with("part") && uuid.contains('-') {
            let of = machine.names(format!("{sys}/slaves")).into_iter().next();
            Kind::Partition(of.unwrap_or_default())
        } else if uuid.contains('-') {
            Kind::Mapper(prefix)
        } else {
            Kind::Mapper("dm".into())
        };
    }
    if kname.starts_with("dm-") {
        return Kind::Mapper("dm".into());
    }
    if kname.starts_with("loop") {
        return Kind::Loop;
    }
    if kname.starts_with("fd") {
        return Kind::Floppy;
    }
    if kname.starts_with("ram") || kname.starts_with("zram") {
        return Kind::Ram;
    }
    if kname.starts_with("md") {
        return match machine.read(format!("{sys}/md/level")) {
            Some(level) if level.contains("raid") => Kind::Raid(level),
            _ => Kind::Md,
        };
    }
    match machine.read_number::<u8>(format!("{sys}/device/type")) {
        Some(1) => Kind::OtherScsi("tape"),
        Some(4) => Kind::OtherScsi("worm"),
        Some(5) => Kind::OtherScsi("rom"),
        Some(7) => Kind::OtherScsi("mo-disk"),
        Some(8) => Kind::OtherScsi("changer"),
        Some(12) => Kind::OtherScsi("raid controller"),
        Some(13) => Kind::OtherScsi("enclosure"),
        Some(14) => Kind::OtherScsi("rbc"),
        _ => Kind::Disk,
    }
}
