//! The one place that decides which block devices exist for a destructive act.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use super::BlockDevice;
use super::busy::when_free;
use super::graph::{Graph, Kind, Node};
use super::hints::{HintError, Hints};
use super::identity;
use super::usage::Usage;
use crate::machine::Machine;

/// How long a device may be busy when it is opened.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// What limits the devices that may be touched.
#[derive(Debug, Clone, Default)]
pub struct DevicePolicy {
    /// When set, these (and what is built on them alone) are the only devices that exist; loop devices are admitted.
    pub allowed: Option<Vec<PathBuf>>,
    /// The node's `skip_block_devices`: a list of root device hints.
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
    order: Vec<String>,
}

impl Listing {
    /// The disks of the inventory: the eligible ones and those that IPA would show although they must not be
    /// touched now (read-only, mounted, in use, skipped).
    pub fn disks(&self) -> Vec<BlockDevice> {
        let eligible = self.eligible.iter().map(|e| &e.device);
        let shown = self.rejected.iter().filter(|r| r.reason.is_listed()).map(|r| &r.device);
        let mut disks: Vec<BlockDevice> = eligible.chain(shown).cloned().collect();
        disks.sort_by_key(|d| self.order.iter().position(|name| *name == d.name));
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

/// A device that passed every check of [`list`]; only the listing can make one.
#[derive(Debug, Clone)]
pub struct EligibleDevice {
    device: BlockDevice,
    node: PathBuf,
    number: (u32, u32),
    /// The kernel's running number of disks, where it has one: a new disk under an old name differs.
    sequence: Option<(PathBuf, String)>,
    partitions: Vec<EligibleDevice>,
}

impl std::ops::Deref for EligibleDevice {
    type Target = BlockDevice;
    fn deref(&self) -> &BlockDevice {
        &self.device
    }
}

impl EligibleDevice {
    /// Its partitions, as of the listing.
    pub fn partitions(&self) -> &[EligibleDevice] {
        &self.partitions
    }

    /// Major and minor number.
    pub fn number(&self) -> (u32, u32) {
        self.number
    }

    /// Opens the device for reading and writing, to the exclusion of mounts, md, dm, swap and other exclusive
    /// openers. `flags` are added to `O_EXCL` (`O_DIRECT`, `O_DSYNC`).
    ///
    /// # Errors
    /// `ResourceBusy` when something uses the device for longer than a moment; `NotFound` when the name now belongs to another device.
    pub fn open_exclusive(&self, flags: i32) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_EXCL | flags);
        let file = when_free(BUSY_LIMIT, || options.open(&self.node))?;
        let metadata = file.metadata()?;
        let number = (nix::sys::stat::major(metadata.rdev()) as u32, nix::sys::stat::minor(metadata.rdev()) as u32);
        let same_disk = self
            .sequence
            .as_ref()
            .is_none_or(|(path, before)| std::fs::read_to_string(path).is_ok_and(|now| now.trim() == before));
        if !metadata.file_type().is_block_device() || number != self.number || !same_disk {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is no longer the device that was chosen", self.name),
            ));
        }
        Ok(file)
    }
}

/// A device that must not be touched, and why.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// The device.
    pub device: BlockDevice,
    /// Why it must not be touched.
    pub reason: Reason,
}

/// Why a device must not be touched. `Display` is for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The policy names the devices that exist, and this is none of them.
    NotAllowed,
    /// A floppy drive.
    Floppy,
    /// A RAM disk or compressed swap.
    Ram,
    /// A loop device that the policy does not name.
    Loop,
    /// No disk: `rom`, `tape`…
    NotADisk(String),
    /// A partition of the device named.
    Partition(String),
    /// A device mapper target of the type named (`lvm`, `crypt`, `dm`).
    Mapped(String),
    /// An md device that is no assembled array.
    NotAnArray,
    /// One path of the multipath map named.
    MultipathPath(String),
    /// Size 0: no medium, or not set up.
    Empty,
    /// Media of the BMC.
    VirtualMedia,
    /// Write-protected.
    ReadOnly,
    /// It, or something on it, is mounted at the place named.
    Mounted {
        /// The device that is mounted.
        device: String,
        /// Where.
        at: String,
    },
    /// It, or something on it, is swap space in use.
    Swap(String),
    /// The devices named are built on it (md, device mapper).
    Held(Vec<String>),
    /// It, or what it is built on, is named by `skip_block_devices`; the entry.
    Skipped(String),
    /// `skip_block_devices` cannot be understood, so nothing is safe.
    BadSkipList(HintError),
    /// No mount table could be read, so nothing is known to be unused.
    UsageUnknown,
}

impl Reason {
    /// Whether the inventory shows such a device all the same, as IPA does.
    pub fn is_listed(&self) -> bool {
        matches!(
            self,
            Self::VirtualMedia
                | Self::ReadOnly
                | Self::Mounted { .. }
                | Self::Swap(_)
                | Self::Held(_)
                | Self::Skipped(_)
                | Self::BadSkipList(_)
                | Self::UsageUnknown
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed => write!(f, "not among the allowed devices"),
            Self::Floppy => write!(f, "a floppy drive"),
            Self::Ram => write!(f, "a RAM disk"),
            Self::Loop => write!(f, "a loop device that is not among the allowed devices"),
            Self::NotADisk(kind) => write!(f, "not a disk: {kind}"),
            Self::Partition(of) => write!(f, "a partition of {of}"),
            Self::Mapped(kind) => write!(f, "a device mapper target ({kind})"),
            Self::NotAnArray => write!(f, "an md device that is not an assembled array"),
            Self::MultipathPath(map) => write!(f, "a path of the multipath device {map}"),
            Self::Empty => write!(f, "its size is 0"),
            Self::VirtualMedia => write!(f, "virtual media of the BMC"),
            Self::ReadOnly => write!(f, "read-only"),
            Self::Mounted { device, at } => write!(f, "{device} is mounted at {at}"),
            Self::Swap(device) => write!(f, "{device} is swap space in use"),
            Self::Held(by) => write!(f, "in use by {}", by.join(", ")),
            Self::Skipped(entry) => write!(f, "skip_block_devices names it: {entry}"),
            Self::BadSkipList(error) => write!(f, "skip_block_devices cannot be understood: {error}"),
            Self::UsageUnknown => write!(f, "no mount table can be read, so it may be in use"),
        }
    }
}

/// Lists the block devices of `machine` under `policy`.
pub fn list(machine: &Machine, policy: &DevicePolicy) -> Listing {
    let survey = Survey::take(machine, policy);
    let mut listing = Listing {
        eligible: Vec::new(),
        rejected: Vec::new(),
        allowlisted: policy.allowed.is_some(),
        order: Vec::new(),
    };
    for node in survey.graph.nodes() {
        let device = identity::describe(machine, node);
        listing.order.push(device.name.clone());
        match survey.objection(node, &device) {
            Some(reason) => listing.rejected.push(Rejection { device, reason }),
            None => {
                let mut eligible = survey.eligible(node, device);
                let partitions = node.partitions.iter().filter_map(|name| survey.graph.get(name));
                eligible.partitions = partitions.map(|p| survey.eligible(p, identity::describe(machine, p))).collect();
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
    usage: Usage,
    /// Kernel names of the allowed devices.
    allowed: Option<Vec<String>>,
    skip: Result<Vec<(Hints, String)>, HintError>,
    virtual_media: Vec<PathBuf>,
}

impl<'a> Survey<'a> {
    pub(super) fn take(machine: &'a Machine, policy: &DevicePolicy) -> Self {
        let kname = |path: &PathBuf| {
            let path = machine.resolve(path).unwrap_or_else(|| path.clone());
            Some(path.strip_prefix("/dev").ok()?.to_str()?.replace('/', "!"))
        };
        let skip = policy
            .skip
            .iter()
            // Entries with a volume name protect software RAID volumes, not disks.
            .filter(|entry| entry.get("volume_name").is_none())
            .map(|entry| Ok((Hints::parse(entry)?, entry.to_string())))
            .collect();
        Self {
            machine,
            graph: Graph::read(machine),
            usage: Usage::read(machine),
            allowed: policy.allowed.as_ref().map(|paths| paths.iter().filter_map(kname).collect()),
            skip,
            virtual_media: ["ir-vfd-dev", "IR-VFD-DEV"]
                .iter()
                .filter_map(|label| machine.resolve(format!("/dev/disk/by-label/{label}")))
                .collect(),
        }
    }

    fn eligible(&self, node: &Node, device: BlockDevice) -> EligibleDevice {
        let sequence = format!("/sys/class/block/{}/diskseq", node.kname);
        EligibleDevice {
            node: self.machine.path(&device.name),
            device,
            number: (node.major, node.minor),
            sequence: self.machine.read(&sequence).map(|value| (self.machine.path(sequence), value)),
            partitions: Vec::new(),
        }
    }

    /// The first reason against `node`, the most fundamental first.
    fn objection(&self, node: &Node, device: &BlockDevice) -> Option<Reason> {
        self.by_allowlist(node)
            .or_else(|| self.by_kind(node))
            .or_else(|| (device.size_bytes == 0).then_some(Reason::Empty))
            .or_else(|| self.by_medium(node))
            .or_else(|| self.by_use(node))
            .or_else(|| self.by_skip_list(node))
    }

    /// Whether a device that is not for direct use may all the same be taken down: nothing is mounted from it or built
    /// on it, and neither the allowlist nor the skip list keeps it.
    pub(super) fn is_idle(&self, node: &Node) -> bool {
        self.by_allowlist(node).is_none() && self.by_use(node).is_none() && self.by_skip_list(node).is_none()
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
            Kind::Mapper(kind) if kind == "mpath" => None,
            Kind::Mapper(kind) => Some(Reason::Mapped(kind.clone())),
            Kind::Partition(of) => Some(Reason::Partition(format!("/dev/{of}"))),
            Kind::Loop => self.allowed.is_none().then_some(Reason::Loop),
            Kind::Md => Some(Reason::NotAnArray),
            Kind::Floppy => Some(Reason::Floppy),
            Kind::Ram => Some(Reason::Ram),
            Kind::OtherScsi(kind) => Some(Reason::NotADisk((*kind).to_string())),
        }
    }

    fn multipath_map(&self, node: &Node) -> Option<String> {
        let holders = node.holders.iter().filter_map(|name| self.graph.get(name));
        let mut maps = holders.filter(|n| matches!(&n.kind, Kind::Mapper(kind) if kind == "mpath"));
        maps.next().map(Node::path)
    }

    fn by_medium(&self, node: &Node) -> Option<Reason> {
        if self.virtual_media.iter().any(|path| path.as_os_str() == node.path().as_str()) {
            return Some(Reason::VirtualMedia);
        }
        let read_only = self.machine.read(format!("/sys/class/block/{}/ro", node.kname)).as_deref() == Some("1");
        read_only.then_some(Reason::ReadOnly)
    }

    fn by_use(&self, node: &Node) -> Option<Reason> {
        if !self.usage.known {
            return Some(Reason::UsageUnknown);
        }
        let above = self.graph.above(node);
        for n in &above {
            if let Some(at) = self.usage.mount_point(n) {
                return Some(Reason::Mounted { device: n.path(), at: at.to_string() });
            }
        }
        if let Some(swap) = above.iter().find(|n| self.usage.is_swap(n)) {
            return Some(Reason::Swap(swap.path()));
        }
        // Only what sits on the device or its partitions directly; what sits on that follows from it.
        let partitions = node.partitions.iter().filter_map(|name| self.graph.get(name));
        let mut holders: Vec<String> = std::iter::once(node)
            .chain(partitions)
            .flat_map(|n| &n.holders)
            .map(|name| format!("/dev/{name}"))
            .collect();
        holders.sort();
        holders.dedup();
        (!holders.is_empty()).then_some(Reason::Held(holders))
    }

    /// A skipped device takes with it what is built on it: its data lives there.
    fn by_skip_list(&self, node: &Node) -> Option<Reason> {
        let skip = match &self.skip {
            Ok(skip) => skip,
            Err(error) => return Some(Reason::BadSkipList(error.clone())),
        };
        let mut related = self.graph.foundations(node);
        related.push(node);
        for (hints, entry) in skip {
            for n in &related {
                match hints.fit(&identity::describe(self.machine, n)) {
                    Ok(true) => return Some(Reason::Skipped(entry.clone())),
                    Ok(false) => {}
                    Err(error) => return Some(Reason::BadSkipList(error)),
                }
            }
        }
        None
    }
}
