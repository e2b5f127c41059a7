//! The one place that decides which block devices exist for a destructive act.

use std::collections::{HashMap, HashSet};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::busy::when_free;
use super::device::BlockDevice;
use super::eligible::EligibleDevice;
use super::graph::{Graph, Node};
use super::hints::{HintError, Hints};
use super::identity::Descriptions;
use super::kind::Kind;
use super::parallel;
use super::reason::{Reason, Rejection};
use super::usage::{Usage, Use};
use crate::machine::Machine;

/// How long one listing waits for devices that are open for a moment only.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// What limits the devices that may be touched.
#[derive(Debug, Clone, Default)]
pub struct DevicePolicy {
    /// When set, these (and what is built on them alone) are the only devices that exist; loop devices are admitted.
    pub allowed: Option<Vec<PathBuf>>,
    /// Devices to leave alone: a list of root device hints.
    pub skip: Vec<serde_json::Value>,
}

/// Every device of the machine, sorted into the two kinds. Order is that of `lsblk`: by device number.
#[derive(Debug)]
pub struct Listing {
    /// Devices that may be installed to or erased.
    pub eligible: Vec<EligibleDevice>,
    /// All others, each with the reason.
    pub rejected: Vec<Rejection>,
    /// Whether the policy named the devices that exist.
    pub allowlisted: bool,
    order: HashMap<String, usize>,
}

impl Listing {
    /// The disks of the inventory: the eligible ones and those that IPA would show although they must not be
    /// touched now (read-only, mounted, in use, skipped).
    pub fn disks(&self) -> Vec<BlockDevice> {
        let eligible = self.eligible.iter().map(|e| &e.device);
        let shown = self.rejected.iter().filter(|r| r.reason.is_listed()).map(|r| &r.device);
        let mut disks: Vec<BlockDevice> = eligible.chain(shown).cloned().collect();
        disks.sort_by_key(|disk| self.order.get(&disk.name));
        disks
    }

    /// The eligible device called `name` (a kernel path, or any link to it that `machine` knows).
    ///
    /// # Errors
    /// The reason, when there is no such eligible device.
    pub fn find(&self, machine: &Machine, name: &str) -> Result<&EligibleDevice, NotEligible> {
        let resolved = machine.resolve(name).and_then(|p| p.to_str().map(str::to_string));
        let name = resolved.as_deref().unwrap_or(name);
        if let Some(device) = self.eligible.iter().find(|d| d.name == name) {
            return Ok(device);
        }
        let reason = self.rejected.iter().find(|r| r.device.name == name).map(|r| Box::new(r.reason.clone()));
        Err(NotEligible { name: name.to_string(), reason })
    }
}

/// A device asked for by name that must not be touched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{name}: {}", .reason.as_ref().map_or("no such block device".to_string(), |r| r.to_string()))]
pub struct NotEligible {
    /// The device.
    pub name: String,
    /// Why not; nothing when it does not exist.
    pub reason: Option<Box<Reason>>,
}

/// Lists the block devices of `machine` under `policy`.
pub fn list(machine: &Machine, policy: &DevicePolicy) -> Listing {
    sort(Survey::take(machine, policy))
}

/// As [`list`], as if the volumes that a former system left active and nobody uses were not there. A device that they
/// hold can be looked at; to write to it, [`take_down`](super::leftover::take_down) comes first.
pub fn list_beneath_leftovers(machine: &Machine, policy: &DevicePolicy) -> Listing {
    sort(Survey { beneath_leftovers: true, ..Survey::take(machine, policy) })
}

fn sort(survey: Survey<'_>) -> Listing {
    let busy_until = Instant::now() + BUSY_LIMIT;
    let mut listing = Listing {
        eligible: Vec::new(),
        rejected: Vec::new(),
        allowlisted: survey.allowed.is_some(),
        order: HashMap::new(),
    };
    for (at, node) in survey.graph.nodes().iter().enumerate() {
        let device = survey.described(node).clone();
        listing.order.insert(device.name.clone(), at);
        let reason = survey.objection(node).or_else(|| survey.open_by_another(node, busy_until));
        match reason {
            Some(reason) => listing.rejected.push(Rejection { device, reason }),
            None => {
                let mut eligible = survey.eligible(node);
                let partitions = node.partitions.iter().filter_map(|name| survey.graph.get(name));
                eligible.partitions = partitions.map(|partition| survey.eligible(partition)).collect();
                listing.eligible.push(eligible);
            }
        }
    }
    listing
}

/// Everything the decision about one device needs to know about all of them.
pub(super) struct Survey<'a> {
    machine: &'a Machine,
    pub(super) graph: Graph,
    /// What each device is, by its kernel name.
    devices: HashMap<String, BlockDevice>,
    usage: Usage,
    /// Kernel names of the allowed devices.
    allowed: Option<HashSet<String>>,
    skip: Result<Vec<SkipEntry>, HintError>,
    virtual_media: Vec<PathBuf>,
    /// Whether volumes that could be taken down count for nothing.
    beneath_leftovers: bool,
}

/// One entry of the skip list.
struct SkipEntry {
    hints: Hints,
    /// As it was given.
    text: String,
}

impl<'a> Survey<'a> {
    pub(super) fn take(machine: &'a Machine, policy: &DevicePolicy) -> Self {
        let kname = |path: &PathBuf| {
            let path = machine.resolve(path).unwrap_or_else(|| path.clone());
            Some(path.strip_prefix("/dev").ok()?.to_str()?.replace('/', "!"))
        };
        let parse = |entry: &serde_json::Value| Ok(SkipEntry { hints: Hints::parse(entry)?, text: entry.to_string() });
        let graph = Graph::read(machine);
        let descriptions = Descriptions::new(machine);
        let described = parallel::map(graph.nodes(), |node| descriptions.describe(node));
        Self {
            machine,
            devices: graph.nodes().iter().map(|node| node.kname.clone()).zip(described).collect(),
            usage: Usage::read(machine, &graph),
            graph,
            allowed: policy.allowed.as_ref().map(|paths| paths.iter().filter_map(kname).collect()),
            skip: policy.skip.iter().map(parse).collect(),
            beneath_leftovers: false,
            virtual_media: ["ir-vfd-dev", "IR-VFD-DEV"]
                .iter()
                .filter_map(|label| machine.resolve(format!("/dev/disk/by-label/{label}")))
                .collect(),
        }
    }

    fn described(&self, node: &Node) -> &BlockDevice {
        &self.devices[&node.kname]
    }

    pub(super) fn eligible(&self, node: &Node) -> EligibleDevice {
        let device = self.described(node).clone();
        EligibleDevice {
            node: self.machine.path(&device.name),
            device,
            number: (node.major, node.minor),
            sequence: node.sequence.clone().map(|value| (self.machine.path(node.place.join("diskseq")), value)),
            partitions: Vec::new(),
        }
    }

    /// The first reason against `node`, the most fundamental first. A device that is to be skipped is that and nothing
    /// else, so that nobody is told to free it.
    fn objection(&self, node: &Node) -> Option<Reason> {
        self.by_allowlist(node)
            .or_else(|| self.by_kind(node))
            .or_else(|| (self.described(node).size_bytes == 0).then_some(Reason::Empty))
            .or_else(|| self.by_skip_list(node))
            .or_else(|| self.by_medium(node))
            .or_else(|| self.by_use(node))
    }

    /// Whether a device that is not for direct use may all the same be taken down: nothing is mounted from it or built
    /// on it, and neither the allowlist nor the skip list keeps it.
    pub(super) fn is_idle(&self, node: &Node) -> bool {
        self.by_allowlist(node).is_none() && self.by_use(node).is_none() && self.by_skip_list(node).is_none()
    }

    /// Whether it is a volume of a former system that could be taken down, after those on it.
    fn is_leftover(&self, kname: &str) -> bool {
        self.graph.get(kname).is_some_and(|node| node.is_made_anew() && self.is_idle(node))
    }

    fn by_allowlist(&self, node: &Node) -> Option<Reason> {
        let allowed = self.allowed.as_ref()?;
        let foundations = self.graph.foundations(node);
        let admitted = allowed.contains(&node.kname) || foundations.iter().all(|n| allowed.contains(&n.kname));
        (!admitted).then_some(Reason::NotAllowed)
    }

    fn by_kind(&self, node: &Node) -> Option<Reason> {
        match &node.kind {
            Kind::Disk | Kind::Raid(_) => self.multipath_map(node).map(Reason::MultipathPath),
            Kind::Multipath => None,
            Kind::Mapper(kind) => Some(Reason::Mapped(kind.clone())),
            Kind::Stacked(driver) => Some(Reason::Stacked(driver.clone())),
            Kind::Partition(of) => Some(Reason::Partition(format!("/dev/{of}"))),
            Kind::Loop => self.allowed.is_none().then_some(Reason::Loop),
            Kind::Md => Some(Reason::NotAnArray),
            Kind::Floppy => Some(Reason::Floppy),
            Kind::Ram => Some(Reason::Ram),
            Kind::Firmware(area) => Some(Reason::Firmware((*area).to_string())),
            Kind::OtherScsi(kind) => Some(Reason::NotADisk((*kind).to_string())),
        }
    }

    fn multipath_map(&self, node: &Node) -> Option<String> {
        let holders = node.holders.iter().filter_map(|name| self.graph.get(name));
        let mut maps = holders.filter(|n| n.kind == Kind::Multipath);
        maps.next().map(Node::path)
    }

    fn by_medium(&self, node: &Node) -> Option<Reason> {
        if self.virtual_media.iter().any(|path| path.as_os_str() == node.path().as_str()) {
            return Some(Reason::VirtualMedia);
        }
        node.read_only.then_some(Reason::ReadOnly)
    }

    fn by_use(&self, node: &Node) -> Option<Reason> {
        if !self.usage.known {
            return Some(Reason::UsageUnknown);
        }
        for n in self.graph.above(node) {
            let device = n.path();
            match self.usage.of(n) {
                Some(Use::Mounted(at)) => return Some(Reason::Mounted { device, at: at.to_string() }),
                Some(Use::Member(of)) => return Some(Reason::Member { device, file_system: of.to_string() }),
                Some(Use::Swap) => return Some(Reason::Swap(device)),
                None => {}
            }
        }
        // Only what sits on the device or its partitions directly; what sits on that follows from it.
        let partitions = node.partitions.iter().filter_map(|name| self.graph.get(name));
        let parts: Vec<&Node> = std::iter::once(node).chain(partitions).collect();
        let holders = parts.iter().flat_map(|n| &n.holders);
        let mut holders: Vec<String> = holders
            .filter(|name| !(self.beneath_leftovers && self.is_leftover(name)))
            .map(|name| format!("/dev/{}", name.replace('!', "/")))
            .collect();
        holders.sort();
        holders.dedup();
        if !holders.is_empty() {
            return Some(Reason::Held(holders));
        }
        parts.iter().find(|n| n.in_bcache).map(|n| Reason::Bcache(n.path()))
    }

    /// A skipped device takes with it what is built on it, as its data lives there, and the disks below it.
    fn by_skip_list(&self, node: &Node) -> Option<Reason> {
        let skip = match &self.skip {
            Ok(skip) => skip,
            Err(error) => return Some(Reason::BadSkipList(error.clone())),
        };
        if skip.is_empty() {
            return None;
        }
        let mut related = self.graph.foundations(node);
        related.extend(self.graph.above(node));
        for SkipEntry { hints, text } in skip {
            for n in &related {
                // What a partition has in common with others does not make its disk one that was meant.
                if matches!(n.kind, Kind::Partition(_)) && n.kname != node.kname && !hints.name_a_device() {
                    continue;
                }
                match hints.fit(self.described(n)) {
                    Ok(true) => return Some(Reason::Skipped(text.clone())),
                    Ok(false) => {}
                    Err(error) => return Some(Reason::BadSkipList(error)),
                }
            }
        }
        None
    }

    /// Asks the kernel whether the device can be had exclusively: that shows what no file tells, like file systems of
    /// other mount namespaces, ZFS pools and programs. Devices that are open for a moment get it, all together.
    fn open_by_another(&self, node: &Node, busy_until: Instant) -> Option<Reason> {
        // Partitions of a mapping are mappings, which hold it; idle ones go before it is opened for writing.
        let mapped = node.partitions.iter().any(|name| name.starts_with("dm-"));
        // Whatever holds it here is to be taken down.
        let partitions = node.partitions.iter().filter_map(|name| self.graph.get(name));
        let is_held = std::iter::once(node).chain(partitions).any(|part| !part.holders.is_empty());
        if !self.machine.is_host() || mapped || is_held {
            return None;
        }
        let mut options = OpenOptions::new();
        // Reading only: udev looks again at whatever was open for writing.
        options.read(true).custom_flags(libc::O_EXCL | libc::O_NONBLOCK);
        let limit = busy_until.saturating_duration_since(Instant::now());
        match when_free(limit, || options.open(node.path())) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Some(Reason::OpenExclusively),
            _ => None,
        }
    }
}
